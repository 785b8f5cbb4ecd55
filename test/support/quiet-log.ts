import { createLogger, type Logger } from '#kernel/logger.ts'
import { loggedErrors } from './logged-errors.ts'

/** Prints nothing but the errors of a test that fails. Other lines would cost CPU time beside the tests that measure. */
export const quiet: Promise<Logger> = createLogger({
  level: 'error',
  human: false,
  service: 'test',
  output: loggedErrors,
})
