import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inject } from 'vitest'
import { urlVariable } from '#kernel/config/general-settings.ts'
import { createGateway } from '#src/dev/gateway.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import { type Audit, auditReport } from '#test/support/audit-command.ts'
import { type Client, createClient } from '#test/support/client.ts'
import { type Collections, type Db, openCollections } from '#test/support/collections.ts'
import { outputOf } from '#test/support/output.ts'
import type { Shape } from '#test/support/processes.ts'
import { admin, databaseName, manyClients, quiet } from '#test/support/shop.ts'
import { persist } from './attempts.ts'
import type { Arming } from './kill-at.ts'
import { type Link, startLink } from './link.ts'

/** One service of the fleet. After a kill, it restarts as another process at the same address. */
export interface Service {
  name: string
  /** The network link that clients and the other services reach the service through. */
  link: Link
  /** Starts a spare process, so that the next `start` takes no time. */
  prepareNext(): Promise<void>
  /** Resolves when the process is ready and the link leads to it. The previous process must be dead. */
  start(): Promise<void>
  /** Sends SIGKILL, and resolves when the process and its connections have ended. */
  kill(): Promise<void>
  /** Stops the process with SIGSTOP: its sockets stay open, and messages wait in them. */
  freeze(): void
  thaw(): void
  /** Resolves when the current process has ended for any reason. */
  death(): Promise<void>
  /** Arms the current process (see kill-at.ts). The fleet must have been started with `steps`. */
  arm(arming: Arming): Promise<Armed>
  /** The output of all processes of the service. */
  output(): string
}

/** A process that watches the steps of a request. */
export interface Armed {
  /** The steps of the request so far. */
  steps(): Promise<string[]>
  /**
   * Disarms the process, so that the step no longer kills it.
   * @returns true if the request had reached the step, and the process is dead
   */
  disarm(): Promise<boolean>
}

/** A running shop with a client, an admin's token and access to its databases. */
export interface RunningShop extends Client, Collections {
  adminToken: string
}

export interface Fleet extends RunningShop {
  shape: Shape
  services: readonly Service[]
  /** The process that hosts a module. */
  service(module: string): Service
  /** `npm run audit -- --json` on the fleet's databases. */
  audit(...options: string[]): Promise<Audit>
  stop(): Promise<void>
}

interface Options {
  /** Environment variables of every service. */
  settings?: Record<string, string>
  /** It is short by default, as leases are then, but long enough for a request to end the transaction of a dead process. */
  requestTimeoutMs?: number
  /** Whether the services can be killed at a step of a request. */
  steps?: boolean
}

/** Starts the program as processes that tests can kill and restart, with databases of their own. */
export async function startFleet(
  shape: Shape,
  { settings = {}, requestTimeoutMs = 1_500, steps = false }: Options = {},
): Promise<Fleet> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-fleet-'))
  const database = databaseName()
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    MONGODB_URI: inject('mongodbUri'),
    MONGODB_DATABASE: database,
    DATA_DIR: dataDir,
    // Half of a start is the same compilation of TypeScript each time. Killed processes never write the cache; the audit does.
    NODE_COMPILE_CACHE: join(tmpdir(), 'trivet-compile-cache'),
    REQUEST_TIMEOUT: `${requestTimeoutMs}ms`,
    // With a fixed key and a long lifetime, access tokens stay valid whichever process dies.
    JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
    ACCESS_TOKEN_TTL: '1d',
    BCRYPT_COST: '4',
    ADMIN_USERNAME: admin.username,
    ADMIN_EMAIL: admin.email,
    ADMIN_PASSWORD: admin.password,
    ...manyClients,
    ...settings,
  }
  const names = shape === 'split' ? registry.map((module) => module.name) : ['all']
  const links = new Map<string, Link>()
  for (const name of names) links.set(name, await startLink())
  const urls = Object.fromEntries([...links].map(([name, { url }]) => [name, url]))
  const remote = Object.entries(urls).map(([name, url]) => [urlVariable(name), url])

  const services = [...links].map(([name, link]) => {
    const env = { ...environment, SERVICE: name, HOST: '127.0.0.1', PORT: '0' }
    if (shape === 'one process') return createService(name, link, env, steps)
    const secret = { INTERNAL_SECRET: 'a secret that only this fleet knows' }
    return createService(name, link, { ...env, ...secret, ...Object.fromEntries(remote) }, steps)
  })
  const own = await openCollections(environment.MONGODB_URI, database)

  const stop = async () => {
    await Promise.all(services.map((service) => service.stop()))
    await Promise.all([...links.values()].map((link) => link.close()))
    await endTransactions(await own.collections('order'), database)
    for (const { name } of registry) await (await own.collections(name)).dropDatabase()
    await own.close()
    await rm(dataDir, { recursive: true, force: true })
  }

  try {
    await Promise.all(services.map((service) => service.start()))
    const timeoutMs = requestTimeoutMs + 500
    const gateway = createGateway({
      modules: registry,
      urls,
      timeoutMs,
      trustedProxies: [],
      corsOrigins: [],
      logger: await quiet,
    })
    const client = createClient((path, init) =>
      shape === 'split'
        ? gateway.request(path, init)
        : fetch(`${urls.all}${path}`, { ...init, signal: AbortSignal.timeout(timeoutMs) }),
    )
    await loadPasswordCheck(client)
    return {
      ...client,
      shape,
      services,
      service(module) {
        const found = services.find(({ name }) => name === module || name === 'all')
        if (!found) throw new Error(`nothing hosts ${module}`)
        return found
      },
      adminToken: await client.login(admin.email, admin.password),
      collections: own.collections,
      audit: (...options) => auditReport(environment, ...options),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * Registers an account until the service answers. The first check of a password loads dictionaries, which takes longer on
 * busy cores than a short request may take.
 */
async function loadPasswordCheck(client: Client): Promise<void> {
  const body = { username: 'first', email: 'first@example.com', password: admin.password }
  const { status } = await persist(() => client.post('/register', { body }), 30_000)
  if (status !== 201) throw new Error(`the first registration was answered ${status}`)
}

/** Ends transactions that dead processes left open: until the server expires them, they would keep databases from being dropped. */
async function endTransactions(db: Db, database: string): Promise<void> {
  const application = { 'clientMetadata.application.name': `trivet ${database}` }
  const pipeline = [
    { $currentOp: { idleSessions: true } },
    { $match: { type: 'idleSession', ...application } },
  ]
  const { cursor } = await db.admin().command({ aggregate: 1, pipeline, cursor: {} })
  const sessions = cursor.firstBatch.map(({ lsid }: { lsid: { id: unknown } }) => ({ id: lsid.id }))
  if (sessions.length > 0) await db.admin().command({ killSessions: sessions })
}

const script = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** One process of a service, from its fork to its end. */
interface ServiceProcess {
  child: ChildProcess
  /** Resolves to the port once the process is ready. */
  ready: Promise<number>
  ended: Promise<void>
}

function createService(
  name: string,
  link: Link,
  env: Record<string, string>,
  steps: boolean,
): Service & { stop(): Promise<void> } {
  const living = new Set<ServiceProcess>()
  const outputs: (() => string)[] = []
  const output = () => outputs.map((each) => each()).join('')
  let current: ServiceProcess | undefined
  let next: ServiceProcess | undefined

  const launch = (): ServiceProcess => {
    const execArgv = steps ? ['--import', new URL('kill-at.ts', import.meta.url).href] : []
    const child = fork(script('../../src/main.ts'), { env, silent: true, execArgv })
    outputs.push(outputOf(child))
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const ready = new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve((message as { port: number }).port))
      child.once('exit', (code, signal) =>
        reject(new Error(`${name} ended (${code ?? signal}):\n${output()}`)),
      )
    })
    // Callers that await `ready` still see the failure.
    ready.catch(() => undefined)
    const started = { child, ready, ended }
    living.add(started)
    void ended.then(() => {
      living.delete(started)
      if (current === started) link.leadTo(undefined)
    })
    return started
  }

  const present = (): ServiceProcess => {
    if (!current) throw new Error(`${name} has not been started`)
    return current
  }

  const ask = async <Reply>({ child, ended }: ServiceProcess, question: object): Promise<Reply> => {
    const reply = new Promise<Reply>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Reply))
      child.send(question, (error) => error && reject(error))
    })
    const dead = ended.then(() => Promise.reject(new Error(`${name} died before it answered`)))
    return Promise.race([reply, dead])
  }

  return {
    name,
    link,
    async prepareNext() {
      next ??= launch()
      await next.ready
    },
    async start() {
      if (current && living.has(current)) throw new Error(`${name} still runs`)
      const started = next ?? launch()
      next = undefined
      current = started
      link.leadTo(await started.ready)
    },
    async kill() {
      const { child, ended } = present()
      child.kill('SIGKILL')
      await ended
    },
    freeze() {
      present().child.kill('SIGSTOP')
    },
    thaw() {
      present().child.kill('SIGCONT')
    },
    death: () => present().ended,
    async arm(arming) {
      const armed = present()
      await ask(armed, { arm: arming })
      return {
        steps: async () => (await ask<{ steps: string[] }>(armed, { report: true })).steps,
        // The process is asked, because the end of a process is known later than the end of its connections.
        disarm: () =>
          ask(armed, { arm: { requestId: '' } }).then(
            () => false,
            () => armed.ended.then(() => true),
          ),
      }
    },
    output,
    async stop() {
      const all = [...living]
      for (const { child } of all) child.kill('SIGKILL')
      await Promise.all(all.map(({ ended }) => ended))
    },
  }
}
