import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { expect, it, onTestFinished, vi } from 'vitest'
import { textOf } from '#test/support/output.ts'

/** The arguments of Node.js for a program with a logger. */
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
)(
  'a program that ends by "%s" while %i characters are being written writes all lines of its log',
  async (end, length) => {
    const script = `logger.info({ reason: 'x'.repeat(${length}) }, 'one'); logger.error('two'); logger.info('three'); ${end}`
    const { stdout } = await promisify(execFile)(process.execPath, program(script)).catch((error) => error)
    expect(linesOf(stdout).map((line) => JSON.parse(line).msg)).toEqual(['one', 'two', 'three'])
  },
)

const linesOf = (log: string) => log.trimEnd().split('\n')

/** Starts a program that logs to `stdout`. */
const startProgram = (script: string, stdout: 'pipe' | number = 'pipe') => {
  const child = spawn(process.execPath, program(script), { stdio: ['pipe', stdout, 'pipe'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return child
}
const exitOf = (child: ChildProcess) => once(child, 'exit', { signal: AbortSignal.timeout(10_000) })
const firstErrorOutput = (child: ChildProcess) => once(child.stderr as Readable, 'data').then(String)
const keepRunning = 'process.stdin.resume()'

it('a program writes the lines of its log while it runs', async () => {
  const child = startProgram(`logger.info('one'); ${keepRunning}`)
  const log = textOf(child.stdout)
  await vi.waitFor(() => expect(log()).toContain('"msg":"one"'), { timeout: 5_000 })
  expect(child.exitCode).toBeNull()
})

const logBeyondBacklog = `
for (let round = 0; round < 400; round++) {
  logger.info('ä'.repeat(50_000))
  await new Promise(setImmediate)
}
console.error('goes on')`

it('a program whose log is not read is not blocked, keeps the lines up to a bound, and counts the others', async () => {
  const child = startProgram(`${logBeyondBacklog}\n${keepRunning}`)
  expect(await firstErrorOutput(child)).toBe('goes on\n')
  let log = ''
  for await (const chunk of child.stdout?.setEncoding('utf8') ?? []) {
    log += chunk
    if (chunk.includes('linesLost')) break
  }
  const lines = linesOf(log).map((line) => JSON.parse(line))
  const written = lines.slice(0, -1)
  // The written lines are the backlog of some 16 million characters, and those that the pipe took.
  expect(written.length).toBeGreaterThan(150)
  expect(written.length).toBeLessThan(380)
  for (const line of written) expect(line.msg).toBe('ä'.repeat(50_000))
  expect(lines.at(-1)).toMatchObject({ level: 40, linesLost: 400 - written.length })
})

it('the lines that were lost while the file of the log could not grow are counted', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-log-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'log')
  const script = `
process.stdin.on('data', (data) => logger.info(String(data)))
for (let n = 0; n < 100; n++) logger.info('x'.repeat(1_000))
setTimeout(() => console.error('logged'), 100)`
  // With this limit of the shell, the file accepts some kilobytes and no more.
  const limited = ['-c', `trap '' XFSZ; ulimit -f 8; exec "$0" "$@" >> '${file}'`, process.execPath]
  const child = spawn('sh', [...limited, ...program(script)], { stdio: ['pipe', 'ignore', 'pipe'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  await firstErrorOutput(child)
  await truncate(file)
  child.stdin?.write('one')
  await vi.waitFor(async () => expect(await readFile(file, 'utf8')).toContain('linesLost'), {
    timeout: 5_000,
  })
  const lines = linesOf(await readFile(file, 'utf8')).map((line) => JSON.parse(line))
  expect(lines).toMatchObject([{ msg: 'one' }, { level: 40, linesLost: expect.any(Number) }])
  expect(lines[1].linesLost).toBeGreaterThan(90)
})

it('a slow reader gets all lines of the log', async () => {
  const script = `for (let n = 0; n < 20; n++) logger.info({ pid: n }, 'x'.repeat(9_000))\nprocess.exit(0)`
  const slow = ['-c', '"$0" "$@" | { sleep 0.4; cat; }', process.execPath, ...program(script)]
  const { stdout } = await promisify(execFile)('sh', slow)
  const numbers = linesOf(stdout).map((line) => JSON.parse(line).pid)
  expect(numbers).toEqual(Array.from({ length: 20 }, (_, n) => n))
})

it('a program that shared its pipe with a child process is not blocked', async () => {
  const sharing = `
import { spawnSync } from 'node:child_process'
spawnSync(process.execPath, ['-e', 'console.log(1)'], { stdio: 'inherit' })
${logBeyondBacklog}
${keepRunning}`
  const unread = ['-c', '"$0" "$@" | sleep 60', process.execPath, ...program(sharing)]
  const shell = spawn('sh', unread, { stdio: ['pipe', 'ignore', 'pipe'], detached: true })
  onTestFinished(() => {
    if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL')
  })
  expect(await firstErrorOutput(shell)).toBe('goes on\n')
})

it('a program whose log is not read can exit', async () => {
  const child = startProgram(`${logBeyondBacklog}\nprocess.exit(3)`)
  expect(await exitOf(child)).toEqual([3, null])
})

it('a program can go on and exit after the reader of its log has closed the pipe', async () => {
  const child = startProgram(`${logBeyondBacklog}\nprocess.exit(3)`)
  child.stdout?.destroy()
  expect(await firstErrorOutput(child)).toBe('goes on\n')
  expect(await exitOf(child)).toEqual([3, null])
})

it('a program can go on and exit when the disk of its log is full', async () => {
  const full = await open('/dev/full', 'w')
  const child = startProgram(`${logBeyondBacklog}\nprocess.exit(3)`, full.fd)
  expect(await firstErrorOutput(child)).toBe('goes on\n')
  expect(await exitOf(child)).toEqual([3, null])
  await full.close()
})
