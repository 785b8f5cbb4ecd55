import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { urlVariable } from '#kernel/config/general-settings.ts'
import { createGateway } from '#src/dev/gateway.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import { type Audit, auditReport } from '#test/support/audit-command.ts'
import { type Client, createClient } from '#test/support/client.ts'
import { type Collections, type Db, openCollections } from '#test/support/collections.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import type { Shape } from '#test/support/processes.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { admin, databaseName, manyClients } from '#test/support/shop.ts'
import { type FaultyProxy, startFaultyProxy } from './faulty-proxy.ts'
import { createService, type Service } from './fleet-service.ts'
import { sendUntilFinal } from './outcomes.ts'

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
  /** The default is short, so that leases are short too, but a request still has the time to end a dead process's transaction. */
  requestTimeoutMs?: number
  /** Whether the services can be killed at a step of a request. */
  watchSteps?: boolean
}

/** Starts the program as processes that tests can kill and restart, with databases of their own. */
export async function startFleet(
  shape: Shape,
  { settings = {}, requestTimeoutMs = 1_500, watchSteps = false }: Options = {},
): Promise<Fleet> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-fleet-'))
  const database = databaseName()
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    MONGODB_URI: mongodbUri,
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
  const proxies = new Map<string, FaultyProxy>()
  for (const name of names) proxies.set(name, await startFaultyProxy())
  const urls = Object.fromEntries([...proxies].map(([name, { url }]) => [name, url]))
  const remote = Object.entries(urls).map(([name, url]) => [urlVariable(name), url])

  const services = [...proxies].map(([name, proxy]) => {
    const env = { ...environment, SERVICE: name, HOST: '127.0.0.1', PORT: '0' }
    if (shape === 'one process') return createService(name, proxy, env, { watchSteps })
    const secret = { INTERNAL_SECRET: 'a secret that only this fleet knows' }
    return createService(name, proxy, { ...env, ...secret, ...Object.fromEntries(remote) }, { watchSteps })
  })
  const databases = await openCollections(environment.MONGODB_URI, database)

  const stop = async () => {
    await Promise.all(services.map((service) => service.stop()))
    await Promise.all([...proxies.values()].map((proxy) => proxy.close()))
    await endTransactions(await databases.collections('order'), database)
    for (const { name } of registry) await (await databases.collections(name)).dropDatabase()
    await databases.close()
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
        if (!found) throw new Error(`no service hosts ${module}`)
        return found
      },
      adminToken: await client.login(admin.email, admin.password),
      collections: databases.collections,
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
  const { status } = await sendUntilFinal(() => client.post('/register', { body }), 30_000)
  // 409: an earlier attempt registered the account, and its answer came too late.
  if (status !== 201 && status !== 409) throw new Error(`the first registration was answered ${status}`)
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
