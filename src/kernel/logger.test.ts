import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
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
  const program = (script: string) => [
    '--input-type=module',
    '-e',
    `import { createLogger } from '${new URL('./logger.ts', import.meta.url).href}'
const logger = await createLogger({ level: 'info', human: false, service: 'test' })
${script}`,
  ]

  it.each(
    ['process.exit(1)', "throw new Error('no')", ''].flatMap((end) => [
      [end, 0],
      [end, 10_000],
    ]),
  )('is everything if it ends by "%s", after %i characters that are being written', async (end, length) => {
    const script = `logger.info({ x: 'x'.repeat(${length}) }, 'one'); logger.error('two'); logger.info('three'); ${end}`
    const { stdout } = await promisify(execFile)(process.execPath, program(script)).catch((error) => error)
    const messages = stdout
      .split('\n')
      .filter(Boolean)
      .map((line: string) => JSON.parse(line).msg)
    // What another thread is just writing may come last.
    expect(messages.sort()).toEqual(['one', 'three', 'two'])
  })

  it('holds nobody up whose log is not read', async () => {
    const script = `
for (let round = 0; round < 100; round++) {
  logger.info('x'.repeat(10_000))
  await new Promise(setImmediate)
}
console.error('goes on')`
    const child = spawn(process.execPath, program(script), { stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      const [said] = await once(child.stderr, 'data')
      expect(String(said)).toBe('goes on\n')
    } finally {
      child.kill('SIGKILL')
    }
  })
})
