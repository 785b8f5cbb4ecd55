import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { expect, it, onTestFinished, vi } from 'vitest'
import { createClient } from '#test/support/client.ts'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment } from '#test/support/processes.ts'

/** Starts the program on a pseudo-terminal of 80 columns (`script` of util-linux), with the demo data. */
async function atTerminal(program: 'main.ts' | 'dev/split.ts', settings: Record<string, string> = {}) {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-terminal-'))
  const file = fileURLToPath(new URL(`../${program}`, import.meta.url))
  const env = { TERM: 'xterm', ...processEnvironment(), DATA_DIR: dataDir, DEMO: 'true', ...settings }
  const line = `stty cols 80; exec '${process.execPath}' '${file}'`
  const child = spawn('script', ['-qefc', line, '/dev/null'], { env, stdio: 'pipe' })
  const ended = once(child, 'close').then(([code]) => code as number)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  })
  const output = outputOf(child)
  const shown = () => stripVTControlCharacters(output()).replaceAll('\r', '')
  const url = await vi.waitFor(
    () => {
      const [banner, found] = shown().match(/http:\/\/localhost:(\d+)[\s\S]*?\n\n/) ?? []
      expect(banner, shown()).toBeDefined()
      return `http://127.0.0.1:${found}`
    },
    { timeout: 30_000, interval: 50 },
  )
  return { child, ended, shown, ...createClient((path, init) => fetch(`${url}${path}`, init)) }
}

const press = (child: ChildProcess, key: string) => child.stdin?.write(key)

it('one process prints a banner, no line for a request that succeeds, and a message when it stops', async () => {
  const { child, ended, shown, get } = await atTerminal('main.ts')
  expect(shown()).toMatch(/^\nTrivet is ready \(one process\)\n {2}API /)
  const banner = shown()
  expect(banner).toContain('LOG_LEVEL=info shows each request')
  expect((await get('/products')).status).toBe(200)
  expect((await get('/none')).status).toBe(404)
  press(child, '\u0003')
  expect(await ended).toBe(0)
  expect(shown().slice(banner.length)).toBe('^C\nTrivet is stopping. Press Ctrl-C again to end it at once.\n')
})

it('one process logs each request with LOG_LEVEL=info', async () => {
  const { child, ended, shown, get } = await atTerminal('main.ts', { LOG_LEVEL: 'info' })
  expect(shown()).toContain('migration applied')
  expect(shown()).not.toContain('LOG_LEVEL')
  expect((await get('/products')).status).toBe(200)
  press(child, '\u0003')
  expect(await ended).toBe(0)
  expect(shown()).toContain('"path":"/products"')
})

it('the split shape prints its processes, one line for a request that failed, and the restart of a service', async () => {
  const { child, ended, shown, get } = await atTerminal('dev/split.ts')
  expect(shown()).toMatch(/^\nTrivet is ready \(split\)\n/)
  const banner = shown()
  expect(banner.split('\n').filter((line) => line.length > 80)).toEqual([])
  const [, pid] = banner.match(/^ {2}product +http:\/\/localhost:\d+ +\(process (\d+)\)$/m) ?? []
  process.kill(Number(pid), 'SIGKILL')
  await vi.waitFor(() => expect(shown()).toContain('service exited, restarting'))
  const { status } = await get('/products')
  await vi.waitFor(() => expect(shown()).toMatch(/product: service restarted pid=\d+\n/), { timeout: 20_000 })
  expect((await get('/products')).status).toBe(200)
  press(child, '\u0003')
  expect(await ended).toBe(0)
  const lines = shown().slice(banner.length).split('\n')
  const failed = lines.filter((line) => line.includes('/products'))
  expect(failed).toEqual([
    expect.stringMatching(/WARN {2}gateway: 503 GET \/products: \/products is not available: /),
  ])
  expect(status).toBe(503)
  expect(lines.filter((line) => line.length > 80)).toEqual([])
  expect(lines.filter((line) => /WARN|ERROR/.test(line))).toHaveLength(3)
})
