import { expect, it } from 'vitest'
import { takeLoggedErrors } from './logged-errors.ts'
import { quiet } from './quiet-log.ts'

it('the errors that are logged during a test are kept with their stack', async () => {
  const logger = await quiet
  takeLoggedErrors()
  logger.info({ status: 200 }, 'request')
  for (const kind of ['one', 'two']) {
    const error = new TypeError('x is undefined')
    logger.repeatable(kind, 'error', { method: 'GET', route: '/cups', err: error }, 'request')
  }
  const failure = expect.stringMatching(/^GET \/cups request: TypeError: x is undefined\n {4}at /)
  expect(takeLoggedErrors()).toEqual([failure, failure])
  expect(takeLoggedErrors()).toEqual([])
})
