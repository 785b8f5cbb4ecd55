import { fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from '#test/support/client.ts'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment } from '#test/support/processes.ts'
import { admin } from '#test/support/shop.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Starts the program with an embedded MongoDB in this folder. */
export async function startEmbeddedShop(dataDir: string) {
  const { MONGODB_URI, MONGODB_DATABASE, ...environment } = processEnvironment()
  const child = fork(main, { env: { ...environment, DATA_DIR: dataDir }, silent: true, execArgv: [] })
  const output = outputOf(child)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const ready = new Promise<{ port: number }>((resolve) => {
    child.once('message', (message) => resolve(message as { port: number }))
  })
  const started = await Promise.race([ready, ended])
  if (started === null || typeof started === 'number') throw new Error(`did not start:\n${output()}`)
  const url = `http://127.0.0.1:${started.port}`
  const client = createClient((path, init) => fetch(`${url}${path}`, init))
  return {
    ...client,
    url,
    adminToken: await client.login(admin.email, admin.password),
    output,
    /** Resolves with the exit code once the process has ended. */
    ended,
    async killMongod() {
      const { mongod } = JSON.parse(await readFile(join(dataDir, 'mongod.json'), 'utf8'))
      process.kill(mongod, 'SIGKILL')
    },
    async stop() {
      child.kill('SIGTERM')
      return ended
    },
  }
}
