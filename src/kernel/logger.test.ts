import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { createLogger } from './logger.ts'

/** The log line of an error. */
async function lineOf(err: unknown): Promise<string> {
  const output = new PassThrough()
  const logger = await createLogger({ level: 'trace', human: false, service: 'test', output })
  logger.error({ err }, 'it failed')
  return String(output.read())
}

it('the logger logs the type, the message, the code and the stack of an error, with its causes', async () => {
  const cause = Object.assign(new RangeError('too far'), { code: 'ERR_FAR' })
  const error = Object.assign(new TypeError('it cannot go on', { cause }), { code: 'ERR_HALT' })
  expect(JSON.parse(await lineOf(error))).toMatchObject({
    msg: 'it failed',
    err: {
      type: 'TypeError',
      message: 'it cannot go on: too far',
      code: 'ERR_HALT',
      stack: expect.stringMatching(
        /TypeError: it cannot go on\n +at (.|\n)*caused by: RangeError: too far\n +at /,
      ),
    },
  })
})

it('the logger logs no other members of an error or of its causes', async () => {
  const details = { errInfo: { details: [{ consideredValue: 'a hash of old' }] }, keyValue: 'a hash of old' }
  const cause = Object.assign(new Error('Document failed validation'), details)
  const error = Object.assign(new Error('not now', { cause }), details)
  expect(await lineOf(error)).not.toContain('a hash of old')
})

it('the logger logs a thrown value that is not an error as its message', async () => {
  expect(JSON.parse(await lineOf('a string'))).toMatchObject({ err: { message: 'a string' } })
})
