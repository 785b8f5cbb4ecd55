import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { PassThrough, type Readable } from 'node:stream'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { textOf } from '#test/support/output.ts'
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
    expect(linesOf(stdout).map((line) => JSON.parse(line).msg)).toEqual(['one', 'two', 'three'])
  })

  const linesOf = (log: string) => log.trimEnd().split('\n')

  /** A program, its log on `stdout`. */
  const started = (script: string, stdout: 'pipe' | number = 'pipe') => {
    const child = spawn(process.execPath, program(script), { stdio: ['pipe', stdout, 'pipe'] })
    onTestFinished(() => {
      child.kill('SIGKILL')
    })
    return child
  }
  const ended = (child: ChildProcess) => once(child, 'exit', { signal: AbortSignal.timeout(10_000) })
  const said = (child: ChildProcess) => once(child.stderr as Readable, 'data').then(String)
  const alive = 'process.stdin.resume()'

  it('is there before the program ends', async () => {
    const child = started(`logger.info('one'); ${alive}`)
    const log = textOf(child.stdout)
    await vi.waitFor(() => expect(log()).toContain('"msg":"one"'), { timeout: 5_000 })
    expect(child.exitCode).toBeNull()
  })

  const muchMore = `
for (let round = 0; round < 400; round++) {
  logger.info('ä'.repeat(50_000))
  await new Promise(setImmediate)
}
console.error('goes on')`

  it('holds nobody up whose log is not read, and is kept for its reader as far as there is room', async () => {
    const child = started(`${muchMore}\n${alive}`)
    expect(await said(child)).toBe('goes on\n')
    const log = textOf(child.stdout)
    const closed = once(child, 'close')
    child.stdin?.end()
    await closed
    const lines = linesOf(log())
    // Some 16 million characters of them, and what the pipe and the program's end have taken.
    expect(lines.length).toBeGreaterThan(150)
    expect(lines.length).toBeLessThan(380)
    for (const line of lines) expect(JSON.parse(line).msg).toBe('ä'.repeat(50_000))
  })

  it('is whole for a reader who is only slow', async () => {
    const script = `for (let n = 0; n < 20; n++) logger.info({ n }, 'x'.repeat(9_000))\nprocess.exit(0)`
    const slow = ['-c', '"$0" "$@" | { sleep 0.4; cat; }', process.execPath, ...program(script)]
    const { stdout } = await promisify(execFile)('sh', slow)
    const numbers = linesOf(stdout).map((line) => JSON.parse(line).n)
    expect(numbers).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })

  it('holds nobody up whose log is not read, and who shares it with a child that has ended', async () => {
    const sharing = `
import { spawnSync } from 'node:child_process'
spawnSync(process.execPath, ['-e', 'console.log(1)'], { stdio: 'inherit' })
${muchMore}
${alive}`
    const unread = ['-c', '"$0" "$@" | sleep 60', process.execPath, ...program(sharing)]
    const shell = spawn('sh', unread, { stdio: ['pipe', 'ignore', 'pipe'], detached: true })
    onTestFinished(() => {
      if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL')
    })
    expect(await said(shell)).toBe('goes on\n')
  })

  it('keeps no program from ending whose log is not read', async () => {
    const child = started(`${muchMore}\nprocess.exit(3)`)
    expect(await ended(child)).toEqual([3, null])
  })

  it('keeps no program from ending, and from going on, whose reader is gone', async () => {
    const child = started(`${muchMore}\nprocess.exit(3)`)
    child.stdout?.destroy()
    expect(await said(child)).toBe('goes on\n')
    expect(await ended(child)).toEqual([3, null])
  })

  it('keeps no program from ending, and from going on, where there is no room', async () => {
    const full = await open('/dev/full', 'w')
    const child = started(`${muchMore}\nprocess.exit(3)`, full.fd)
    expect(await said(child)).toBe('goes on\n')
    expect(await ended(child)).toEqual([3, null])
    await full.close()
  })
})
