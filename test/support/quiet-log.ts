import { createLogger, type Logger } from '#kernel/logger.ts'
import { loggedErrors } from './logged-errors.ts'

/** Prints nothing but the errors of a test that fails. At other levels it would only count a failure that repeats. */
export const quiet: Promise<Logger> = createLogger({
  level: 'debug',
  human: false,
  service: 'test',
  output: loggedErrors,
})
