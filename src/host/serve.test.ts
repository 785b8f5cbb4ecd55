import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished, vi } from 'vitest'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment } from '#test/support/processes.ts'

const main = fileURLToPath(new URL('../../test/fixtures/banner-main.ts', import.meta.url))

/** Starts the program with one more module, and waits until it is ready. */
async function start(banner: 'fails' | 'never') {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-banner-'))
  const env = { ...processEnvironment(), DATA_DIR: dataDir, BANNER: banner }
  const child = fork(main, { env, silent: true, execArgv: [] })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  })
  const output = outputOf(child)
  const ready = await Promise.race([once(child, 'message'), ended])
  if (!Array.isArray(ready)) throw new Error(`the program did not start:\n${output()}`)
  const [{ port }] = ready as [{ port: number }]
  return { child, ended, output, readyz: () => fetch(`http://127.0.0.1:${port}/readyz`) }
}

it('a process runs on, and says why, if a module has no lines for the banner', async () => {
  const { child, ended, output, readyz } = await start('fails')
  await vi.waitFor(() => expect(output()).toMatch(/the sign has fallen.*the banner is incomplete/), {
    timeout: 20_000,
  })
  expect((await readyz()).status).toBe(200)
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
})

it('a process is ready and stops in order while a module still computes its lines for the banner', async () => {
  const { child, ended, readyz } = await start('never')
  expect((await readyz()).status).toBe(200)
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
})
