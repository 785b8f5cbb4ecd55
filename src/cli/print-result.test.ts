import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { textOf } from '#test/support/output.ts'
import { runScript, scriptEnvironment } from '#test/support/processes.ts'
import { databaseName } from '#test/support/shop.ts'

let dataDir: string
let environment: Record<string, string>
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'trivet-result-'))
  environment = {
    MONGODB_URI: mongodbUri,
    MONGODB_DATABASE: databaseName(),
    DATA_DIR: dataDir,
    LOG_LEVEL: 'silent',
  }
  // The admin command creates the databases, which the audit needs.
  expect(await runScript('cli/admin.ts', ['list'], environment)).toMatchObject({ code: 0 })
})
afterAll(() => rm(dataDir, { recursive: true, force: true }))

const commands: [string, string[]][] = [
  ['audit', ['audit.ts', '--json']],
  ['admin', ['admin.ts', 'list', '--json']],
]

const start = ([file = '', ...args]: string[], stdout: number | 'pipe') =>
  spawn(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args], {
    env: { ...scriptEnvironment, ...environment },
    stdio: ['ignore', stdout, 'pipe'],
  })

it.each(commands)(
  'npm run %s exits with 2 if the disk is too full for its result',
  async (_name, command) => {
    const full = await open('/dev/full', 'w')
    const child = start(command, full.fd)
    const errors = textOf(child.stderr)
    expect(await once(child, 'close')).toEqual([2, null])
    expect(errors()).toContain('ENOSPC')
    await full.close()
  },
)

it.each(commands)(
  'npm run %s exits with 2 if the reader of its result has closed the pipe',
  async (_name, command) => {
    const child = start(command, 'pipe')
    child.stdout?.destroy()
    const errors = textOf(child.stderr)
    expect(await once(child, 'close')).toEqual([2, null])
    expect(errors()).toContain('EPIPE')
  },
)
