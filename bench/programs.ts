import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '#src/embedded/free-port.ts'
import type { BenchContext } from './context.ts'

/** A running program that is measured, in a process of its own. */
export interface Program {
  url: string
  pid: number
  /** The time from the start of the process to its first answer that says that it is ready. */
  readyAfterMs: number
  stop(): Promise<void>
}

export const admin = { username: 'boss', email: 'boss@example.com', password: 'the head of all shops' }

/** The limits are high because all clients have the same address. Access tokens stay valid for the whole run. */
const settingsFor = (context: BenchContext, database: string) => ({
  MONGODB_URI: context.uri,
  MONGODB_DATABASE: database,
  // The keys are in this folder. All processes with the same database share them.
  DATA_DIR: join(context.folder, database),
  DEMO: 'false',
  LOG_LEVEL: 'info',
  ACCESS_TOKEN_TTL: '1d',
  LOGIN_FAILURES_PER_ACCOUNT: '1000000/1h',
  LOGIN_FAILURES_PER_ADDRESS: '1000000/1h',
  REGISTRATIONS_PER_ADDRESS: '1000000/1h',
  // A low cost makes the set-up fast. The scenario that measures sign-ins sets the default of 12.
  BCRYPT_COST: '4',
  ADMIN_USERNAME: admin.username,
  ADMIN_EMAIL: admin.email,
  ADMIN_PASSWORD: admin.password,
})

/** Starts `node src/main.ts`. Several processes may share a database. */
export const startTrivet = (
  context: BenchContext,
  database: string,
  settings: Record<string, string> = {},
): Promise<Program> =>
  startProgram(context, '../src/main.ts', { ...settingsFor(context, database), ...settings })

/** Starts one process per module. They call each other without a gateway. */
export async function startSplitTrivet(context: BenchContext, database: string) {
  const secret = { INTERNAL_SECRET: randomBytes(32).toString('base64url') }
  const auth = await startTrivet(context, database, { SERVICE: 'auth', ...secret })
  const urls = { AUTH_URL: auth.url, ...secret }
  const product = await startTrivet(context, database, { SERVICE: 'product', ...urls })
  const order = await startTrivet(context, database, { SERVICE: 'order', PRODUCT_URL: product.url, ...urls })
  return { auth, product, order }
}

export type Peer = 'hand-written' | 'express-mongoose' | 'transaction-per-order' | 'version-retry'

export const startPeer = (context: BenchContext, peer: Peer, database: string): Promise<Program> =>
  startProgram(context, `peers/${peer}.ts`, {
    MONGODB_URI: context.uri,
    MONGODB_DATABASE: database,
    NODE_ENV: 'production',
  })

/** Runs `node src/cli/audit.ts`. */
export async function runAudit(
  context: BenchContext,
  database: string,
): Promise<{ hasFindings: boolean; output: string }> {
  const child = spawn(process.execPath, [pathOf('../src/cli/audit.ts')], {
    env: { ...environment(), ...settingsFor(context, database) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  const exitCode = await new Promise((resolve) => child.once('close', resolve))
  return { hasFindings: exitCode !== 0, output: output.trim() }
}

const environment = () => ({ PATH: process.env.PATH, HOME: process.env.HOME })
const pathOf = (script: string) => fileURLToPath(new URL(script, import.meta.url))

const pollReadinessEveryMs = 5
const startTimeoutMs = 30_000
const stopTimeoutMs = 15_000

let startedPrograms = 0

async function startProgram(
  context: BenchContext,
  script: string,
  settings: Record<string, string>,
): Promise<Program> {
  const port = await freePort()
  startedPrograms += 1
  const logFile = join(context.folder, `${startedPrograms}.log`)
  const log = await open(logFile, 'w')
  const startedAt = performance.now()
  const child = spawn(process.execPath, [pathOf(script)], {
    env: { ...environment(), HOST: '127.0.0.1', ...settings, PORT: String(port) },
    // Operators write the log to a file, too. The IPC channel closes when this process ends, and the program then
    // ends as well.
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
    // In a process group of its own, the program does not receive Ctrl-C. This process stops its programs in order.
    detached: true,
  })
  await log.close()
  let isRunning = true
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      isRunning = false
      resolve()
    })
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const timeout = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await exited
    clearTimeout(timeout)
    await rm(logFile, { force: true })
  }
  context.onCleanup(stop)

  const url = `http://127.0.0.1:${port}`
  while (!(await isReady(url))) {
    if (!isRunning || performance.now() - startedAt > startTimeoutMs)
      throw new Error(`${script} did not start:\n${(await readFile(logFile, 'utf8')).slice(-2_000)}`)
    await sleep(pollReadinessEveryMs)
  }
  return { url, pid: child.pid ?? 0, readyAfterMs: performance.now() - startedAt, stop }
}

/** A peer has no /readyz and answers 404. It listens only when it is ready. */
const isReady = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    get(`${url}/readyz`, { agent: false }, (response) => {
      response.resume()
      resolve((response.statusCode ?? 500) < 500)
    }).once('error', () => resolve(false))
  })
