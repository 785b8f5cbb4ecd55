import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '#src/embedded/free-port.ts'
import type { Stage } from './stage.ts'

/** A program under measurement: a process of its own, which answers on `url`. */
export interface Program {
  url: string
  pid: number
  /** From its start to its first answer that it is ready. Milliseconds. */
  readyAfter: number
  stop(): Promise<void>
}

export const admin = { username: 'boss', email: 'boss@example.com', password: 'the head of all shops' }

/** Settings that measuring needs: many accounts on one address, and tokens that outlive the run. */
const settingsOf = (stage: Stage, database: string) => ({
  MONGODB_URI: stage.uri,
  MONGODB_DATABASE: database,
  // Processes of one shop share its keys.
  DATA_DIR: join(stage.folder, database),
  DEMO: 'false',
  LOG_LEVEL: 'info',
  ACCESS_TOKEN_TTL: '1d',
  LOGIN_FAILURES_PER_ACCOUNT: '1000000/1h',
  LOGIN_FAILURES_PER_ADDRESS: '1000000/1h',
  REGISTRATIONS_PER_ADDRESS: '1000000/1h',
  // Where sign-ins are measured it is what it is by default.
  BCRYPT_COST: '4',
  ADMIN_USERNAME: admin.username,
  ADMIN_EMAIL: admin.email,
  ADMIN_PASSWORD: admin.password,
})

/** `node src/main.ts` on a shop of its own, or beside others on the same one. */
export const startTrivet = (
  stage: Stage,
  database: string,
  settings: Record<string, string> = {},
): Promise<Program> => startProgram(stage, '../src/main.ts', { ...settingsOf(stage, database), ...settings })

/** One process per module, that call each other directly. */
export async function startSplitTrivet(stage: Stage, database: string) {
  const secret = { INTERNAL_SECRET: randomBytes(32).toString('base64url') }
  const auth = await startTrivet(stage, database, { SERVICE: 'auth', ...secret })
  const urls = { AUTH_URL: auth.url, ...secret }
  const product = await startTrivet(stage, database, { SERVICE: 'product', ...urls })
  const order = await startTrivet(stage, database, { SERVICE: 'order', PRODUCT_URL: product.url, ...urls })
  return { auth, product, order }
}

export type Peer = 'hand-written' | 'express-mongoose' | 'transaction-per-order' | 'version-retry'

/** A program of peers/, on the one database that it knows. */
export const startPeer = (stage: Stage, peer: Peer, database: string): Promise<Program> =>
  startProgram(stage, `peers/${peer}.ts`, {
    MONGODB_URI: stage.uri,
    MONGODB_DATABASE: database,
    NODE_ENV: 'production',
  })

/** `node src/cli/audit.ts`: @returns whether it finds that all is in order, and what it says */
export async function audit(stage: Stage, database: string): Promise<{ ok: boolean; says: string }> {
  const child = spawn(process.execPath, [pathOf('../src/cli/audit.ts')], {
    env: { ...environment(), ...settingsOf(stage, database) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let says = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      says += chunk.toString()
    })
  }
  const code = await new Promise((resolve) => child.once('close', resolve))
  return { ok: code === 0, says: says.trim() }
}

const environment = () => ({ PATH: process.env.PATH, HOME: process.env.HOME })
const pathOf = (script: string) => fileURLToPath(new URL(script, import.meta.url))

// How finely the start is timed, and how long it may take. Milliseconds.
const between = 5
const startsWithin = 30_000
const endsWithin = 15_000

let started = 0

async function startProgram(
  stage: Stage,
  script: string,
  settings: Record<string, string>,
): Promise<Program> {
  const port = await freePort()
  started += 1
  const logFile = join(stage.folder, `${started}.log`)
  const log = await open(logFile, 'w')
  const begun = performance.now()
  const child = spawn(process.execPath, [pathOf(script)], {
    env: { ...environment(), HOST: '127.0.0.1', ...settings, PORT: String(port) },
    // The log goes to a file, as operators have it. The channel ends the program when this process ends, however that
    // is; a group of its own, since Ctrl-C is for this process, which ends its programs in order.
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
    detached: true,
  })
  await log.close()
  let running = true
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      running = false
      resolve()
    })
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const end = setTimeout(() => child.kill('SIGKILL'), endsWithin)
    await ended
    clearTimeout(end)
    await rm(logFile, { force: true })
  }
  stage.atEnd(stop)

  const url = `http://127.0.0.1:${port}`
  while (!(await answers(`${url}/readyz`))) {
    if (!running || performance.now() - begun > startsWithin)
      throw new Error(`${script} did not start:\n${(await readFile(logFile, 'utf8')).slice(-2_000)}`)
    await sleep(between)
  }
  return { url, pid: child.pid ?? 0, readyAfter: performance.now() - begun, stop }
}

/** Peers know no /readyz: they listen once they are ready, and say 404. */
const answers = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    get(url, { agent: false }, (response) => {
      response.resume()
      resolve((response.statusCode ?? 500) < 500)
    }).once('error', () => resolve(false))
  })
