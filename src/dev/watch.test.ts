import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Json } from '#test/support/client.ts'
import { outputOf } from '#test/support/output.ts'
import { freePort } from '../embedded/free-port.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A copy of the program, whose files the tests change. */
let folder: string
let child: ChildProcess
let output: () => string
let url: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-dev-'))
  await cp(join(root, 'src'), join(folder, 'src'), { recursive: true })
  await cp(join(root, 'package.json'), join(folder, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const { PATH = '', HOME = '' } = process.env
  child = spawn(process.execPath, [join(folder, 'src', 'dev', 'watch.ts')], {
    env: { PATH, HOME, DATA_DIR: join(folder, 'data'), PORT: String(port), BCRYPT_COST: '4' },
    // A process group of its own, like the foreground group of a terminal.
    detached: true,
  })
  output = outputOf(child)
  await printed('is ready (development)')
})
afterAll(async () => {
  if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  await rm(folder, { recursive: true, force: true, maxRetries: 20 })
})

const printed = (text: string | RegExp) =>
  vi.waitFor(() => expect(output()).toMatch(text), { timeout: 50_000, interval: 50 })

/** The title in the OpenAPI document, which the tests change in the source. */
const title = async () => ((await (await fetch(`${url}/openapi.json`)).json()) as Json).info.title

const mongod = async () => JSON.parse(await readFile(join(folder, 'data', 'mongod.json'), 'utf8'))

async function replaceInSource(file: string, text: string, replacement: string): Promise<void> {
  const path = join(folder, 'src', file)
  const source = await readFile(path, 'utf8')
  expect(source).toContain(text)
  await writeFile(path, source.replace(text, replacement))
}

/** The ids of the processes of the copy that run the program, or are kept for its next restart. */
async function programs(): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'pid,args'])
  return stdout
    .split('\n')
    .filter((line) => line.includes(join(folder, 'src', 'main.ts')))
    .map((line) => Number.parseInt(line, 10))
}

const document = 'http/openapi-document.ts'

it('npm run dev restarts the program when a source file is saved, not when a test is saved, and keeps MongoDB running', async () => {
  const before = await mongod()
  const programAndSpare = await vi.waitFor(
    async () => {
      const found = await programs()
      expect(found).toHaveLength(2)
      return found
    },
    { timeout: 50_000 },
  )
  await writeFile(join(folder, 'src', 'http', 'new.test.ts'), '')
  await replaceInSource(document, "title: 'Trivet'", "title: 'Trivet of a developer'")
  await printed(/http\/openapi-document\.ts has changed: Trivet restarted in \d+ ms/)
  expect(output()).not.toContain('new.test.ts has changed')
  expect(await title()).toBe('Trivet of a developer')
  expect(await mongod()).toEqual(before)
  // The process that was kept for the restart has become the program.
  expect((await programs()).filter((pid) => programAndSpare.includes(pid))).toHaveLength(1)
})

it('npm run dev waits for the next change after the program has exited because of a fault in a source file', async () => {
  await replaceInSource(document, 'import', 'imprt')
  await printed('the program has exited: it starts again at the next change')
  await replaceInSource(document, 'imprt', 'import')
  await vi.waitFor(async () => expect(await title()).toBe('Trivet of a developer'), {
    timeout: 50_000,
    interval: 50,
  })
})

it('npm run dev ends the program, the process for the next restart and MongoDB in order after one Ctrl-C, which a terminal and npm signal twice', async () => {
  const { mongod: pid } = await mongod()
  await vi.waitFor(async () => expect(await programs()).toHaveLength(2), { timeout: 50_000 })
  const exited = once(child, 'exit')
  for (let times = 0; times < 2; times++) process.kill(-(child.pid ?? 0), 'SIGINT')
  expect(await exited).toEqual([0, null])
  expect(output()).toContain('"msg":"stopped"')
  await expect(fetch(url)).rejects.toThrow()
  expect(() => process.kill(pid, 0)).toThrow()
  expect(await programs()).toEqual([])
})
