import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { createLogger } from './logger.ts'

async function logged(err: unknown): Promise<string> {
  const output = new PassThrough()
  const logger = await createLogger({ level: 'trace', human: false, service: 'test', output })
  logger.error({ err }, 'it failed')
  return String(output.read())
}

it('says of an error what it is and where it came from, with its causes', async () => {
  const cause = Object.assign(new RangeError('too far'), { code: 'ERR_FAR' })
  const error = Object.assign(new TypeError('it cannot go on', { cause }), { code: 'ERR_HALT' })
  expect(JSON.parse(await logged(error))).toMatchObject({
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

it('says nothing of what else an error carries, or its causes do', async () => {
  const details = { errInfo: { details: [{ consideredValue: 'a hash of old' }] }, keyValue: 'a hash of old' }
  const cause = Object.assign(new Error('Document failed validation'), details)
  const error = Object.assign(new Error('not now', { cause }), details)
  expect(await logged(error)).not.toContain('a hash of old')
})

it('says what was thrown that is no error', async () => {
  expect(JSON.parse(await logged('a string'))).toMatchObject({ err: { message: 'a string' } })
})
