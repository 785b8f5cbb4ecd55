import { execFile } from 'node:child_process'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
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

describe('on standard output', () => {
  /** The messages of a process that logs, as they are there once it has ended, however that was. */
  async function left(script: string): Promise<string[]> {
    const program = `
import { createLogger } from '${new URL('./logger.ts', import.meta.url).href}'
const logger = await createLogger({ level: 'info', human: false, service: 'test' })
${script}`
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
    const { stdout } = await run.catch((error) => error)
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((line: string) => JSON.parse(line).msg)
  }
  const end = "process.kill(process.pid, 'SIGKILL')"

  it('is all that was said before the round of the event loop ended', async () => {
    const said = "logger.info('one'); logger.info('two'); "
    expect(await left(`${said} setImmediate(() => { ${end} })`)).toEqual(['one', 'two'])
  })

  it('is a warning at once, with what was said before it', async () => {
    expect(await left(`logger.info('one'); logger.warn('two'); logger.info('three'); ${end}`)).toEqual([
      'one',
      'two',
    ])
  })

  it.each(['process.exit(1)', "throw new Error('no')", ''])(
    'is everything if it ends by "%s"',
    async (ending) => {
      expect(await left(`logger.info('one'); logger.error('two'); logger.info('three'); ${ending}`)).toEqual([
        'one',
        'two',
        'three',
      ])
    },
  )
})
