import { ConfigError } from '#kernel/config/config-error.ts'

/**
 * Refuses arguments, because all settings come from the environment. The message contains no argument, because an
 * argument may be a password.
 * @throws ConfigError if this process was started with arguments
 */
export function refuseArguments(): void {
  if (process.argv.length > 2)
    throw new ConfigError([
      'the command line has arguments, but settings are environment variables (PORT=4000 npm start) or lines of .env',
    ])
}
