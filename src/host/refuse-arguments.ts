import { ConfigError } from '#kernel/config/config-error.ts'

/**
 * For a program whose settings all come from the environment. The message repeats no argument: it may hold a password.
 * @throws ConfigError if this process was started with arguments
 */
export function refuseArguments(): void {
  if (process.argv.length > 2)
    throw new ConfigError([
      'there are arguments, and none is read: settings are environment variables (PORT=4000 npm start) or lines of .env',
    ])
}
