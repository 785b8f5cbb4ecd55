import { expect, it } from 'vitest'
import { takeLoggedErrors } from './logged-errors.ts'
import { quiet } from './quiet-log.ts'

it('the errors that are logged during a test are kept with their stack, also those that the logger would only count', async () => {
  const logger = await quiet
  takeLoggedErrors()
  logger.info({ status: 200 }, 'request')
  for (let times = 0; times < 2; times++) {
    const error = new TypeError('x is undefined')
    logger.repeatable('x', 'error', { method: 'GET', route: '/cups', err: error }, 'request')
  }
  const failure = expect.stringMatching(/^GET \/cups request: TypeError: x is undefined\n {4}at /)
  expect(takeLoggedErrors()).toEqual([failure, failure])
  expect(takeLoggedErrors()).toEqual([])
})
