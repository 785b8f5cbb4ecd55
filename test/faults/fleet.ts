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
import type { Shape } from '#test/support/processes.ts'
import { admin, databaseName, manyClients, quiet } from '#test/support/shop.ts'
import type { Arming } from './kill-at.ts'
import { type Link, startLink } from './link.ts'

/** One service of the fleet: what is killed comes back at the same address, as another process. */
export interface Service {
  name: string
  /** The way to it, for clients and for the other services. */
  link: Link
  /** Has another process ready that waits for its turn, so that the next `start` takes no time. */
  prepareNext(): Promise<void>
  /** Ready, and reached by the link, when it resolves. The one before must be dead. */
  start(): Promise<void>
  /** SIGKILL; resolves when the process is gone and its connections with it. */
  kill(): Promise<void>
  /** Stopped as by a very long pause: its sockets stay open, what arrives waits in them. */
  freeze(): void
  thaw(): void
  /** Resolves when the present process has ended, by whatever hand. */
  death(): Promise<void>
  /** @see kill-at.ts; the fleet has been started with `steps` */
  arm(arming: Arming): Promise<Armed>
  /** All that its processes have printed. */
  output(): string
}

/** A process that watches the steps of a request. */
export interface Armed {
  /** The steps of the request so far. */
  steps(): Promise<string[]>
  /**
   * From then on nothing kills it, also if the request gets to that step later.
   * @returns whether it has got there, and is dead
   */
  disarm(): Promise<boolean>
}

/** A program that customers, an admin and whoever looks into its databases can do with as they like. */
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
  /** Milliseconds; short, and so is every lease, but enough for a request to end what a dead process left open. */
  requestTimeout?: number
  /** Whether the services can be killed at a step of a request. */
  steps?: boolean
}

/** The program as processes that die and come back, in databases of its own. */
export async function startFleet(
  shape: Shape,
  { settings = {}, requestTimeout = 1_500, steps = false }: Options = {},
): Promise<Fleet> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-fleet-'))
  const database = databaseName()
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    MONGODB_URI: inject('mongodbUri'),
    MONGODB_DATABASE: database,
    DATA_DIR: dataDir,
    // Half of a start is reading TypeScript, the same each time. What is killed never writes the cache; an audit does.
    NODE_COMPILE_CACHE: join(tmpdir(), 'trivet-compile-cache'),
    REQUEST_TIMEOUT: `${requestTimeout}ms`,
    // Signed in once, signed in until the end, whoever dies.
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
    const timeout = requestTimeout + 500
    const front = createGateway({
      modules: registry,
      urls,
      timeout,
      trustedProxies: [],
      corsOrigins: [],
      logger: await quiet,
    })
    const client = createClient((path, init) =>
      shape === 'split'
        ? front.request(path, init)
        : fetch(`${urls.all}${path}`, { ...init, signal: AbortSignal.timeout(timeout) }),
    )
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

/** What the dead have left open would keep their databases from being dropped for as long as the server lets it. */
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
interface Incarnation {
  child: ChildProcess
  /** Its port, once it is ready. */
  ready: Promise<number>
  ended: Promise<void>
}

function createService(
  name: string,
  link: Link,
  env: Record<string, string>,
  steps: boolean,
): Service & { stop(): Promise<void> } {
  const living = new Set<Incarnation>()
  let printed = ''
  let current: Incarnation | undefined
  let next: Incarnation | undefined

  const launch = (): Incarnation => {
    const execArgv = steps ? ['--import', new URL('kill-at.ts', import.meta.url).href] : []
    const child = fork(script('../../src/main.ts'), { env, silent: true, execArgv })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        printed += chunk.toString()
      })
    }
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const ready = new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve((message as { port: number }).port))
      child.once('exit', (code, signal) =>
        reject(new Error(`${name} ended (${code ?? signal}):\n${printed}`)),
      )
    })
    // Whoever waits for it hears of it.
    ready.catch(() => undefined)
    const incarnation = { child, ready, ended }
    living.add(incarnation)
    void ended.then(() => {
      living.delete(incarnation)
      if (current === incarnation) link.leadTo(undefined)
    })
    return incarnation
  }

  const present = (): Incarnation => {
    if (!current) throw new Error(`${name} has not been started`)
    return current
  }

  const ask = async <Reply>({ child, ended }: Incarnation, question: object): Promise<Reply> => {
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
      const incarnation = next ?? launch()
      next = undefined
      current = incarnation
      link.leadTo(await incarnation.ready)
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
        // Told rather than looked up: that a process is gone is known later than its connections are cut.
        disarm: () =>
          ask(armed, { arm: { requestId: '' } }).then(
            () => false,
            () => armed.ended.then(() => true),
          ),
      }
    },
    output: () => printed,
    async stop() {
      const all = [...living]
      for (const { child } of all) child.kill('SIGKILL')
      await Promise.all(all.map(({ ended }) => ended))
    },
  }
}
