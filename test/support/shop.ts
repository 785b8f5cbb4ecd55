import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCall } from '#kernel/call.ts'
import { loadConfig } from '#kernel/config/load-config.ts'
import type { Logger } from '#kernel/logger.ts'
import { createMetrics, type Metrics } from '#kernel/metrics.ts'
import { createMongo, type Mongo } from '#kernel/mongo/connection.ts'
import type { Port } from '#kernel/ports/port.ts'
import { compose } from '#src/host/compose.ts'
import { findWeakness } from '#src/modules/auth/passwords/find-weakness.ts'
import { registry } from '#src/registry.ts'
import { checkedPort } from './checked-port.ts'
import { type Client, createClient } from './client.ts'
import { type Collections, openCollections } from './collections.ts'
import { mongodbUri } from './mongodb-uri.ts'
import { quiet } from './quiet-log.ts'
import { recordAnswers } from './recorded-answers.ts'

export const admin = { username: 'boss', email: 'boss@example.com', password: 'the head of all shops' }

/** Loads the password dictionaries before a test with short request timeouts begins. */
export const loadPasswordCheck = (): Promise<unknown> =>
  findWeakness(admin.password, admin, createCall(30_000, 'test'))

/** All users of a test have the same address, so these limits are high. */
export const manyClients = {
  LOGIN_FAILURES_PER_ADDRESS: '100000/15m',
  REGISTRATIONS_PER_ADDRESS: '100000/1h',
}

/** Returns a database name that no other test has. */
export const databaseName = (): string => `test_${randomBytes(6).toString('hex')}`

/** Connects to the MongoDB of the tests as the program does. The caller closes the connection. */
export async function connectMongo(database = databaseName()): Promise<Mongo> {
  const mongo = createMongo({
    uri: mongodbUri,
    database,
    requestTimeoutMs: 20_000,
    logger: await quiet,
    metrics: createMetrics(),
  })
  await mongo.connect(new AbortController().signal)
  return mongo
}

export interface Shop extends Client, Collections {
  /** The application, without a socket. */
  fetch(request: Request): Response | Promise<Response>
  /** Returns a client whose socket has this address. */
  from(address: string): Client
  /** An admin's access token. */
  adminToken: string
  database: string
  dataDir: string
  close(): Promise<void>
}

interface Options {
  environment?: Record<string, string>
  logger?: Logger
  metrics?: Metrics
  /** Wraps each port. The default checks that HTTP could carry each call. */
  wrapPort?: (port: Port<object>, implementation: object) => object
  /** The clock of readiness. It returns milliseconds. */
  now?: () => number
}

/** Composes the program in this process, with databases of its own. It is not connected yet. */
export async function startComposition(options: Options = {}) {
  const { environment, logger, metrics = createMetrics(), wrapPort = checkedPort, now } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-shop-'))
  const config = loadConfig(
    {
      MONGODB_URI: mongodbUri,
      MONGODB_DATABASE: databaseName(),
      DATA_DIR: dataDir,
      BCRYPT_COST: '4',
      ADMIN_USERNAME: admin.username,
      ADMIN_EMAIL: admin.email,
      ADMIN_PASSWORD: admin.password,
      // Tests share two cores, so requests may be slow.
      REQUEST_TIMEOUT: '20s',
      ...manyClients,
      ...environment,
    },
    registry,
  )
  const mongodb = { ...config.mongodb, uri: config.mongodb.uri ?? mongodbUri }
  const composition = await compose({
    config: { ...config, mongodb },
    modules: registry,
    logger: logger ?? (await quiet),
    metrics,
    wrapPort,
    ...(now && { now }),
  })
  const close = async () => {
    await composition.close()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { config, composition, close }
}

/** Starts the whole program in this process, waits until it is ready, and signs an admin in. */
export async function startShop(options: Options = {}): Promise<Shop> {
  const { config, composition, close } = await startComposition(options)
  await composition.prepare(new AbortController().signal)
  const client = createClient(recordAnswers((path, init) => composition.app.request(path, init)))
  const { database } = config.mongodb
  const own = await openCollections(mongodbUri, database)

  return {
    ...client,
    fetch: (request) => composition.app.fetch(request),
    from(address) {
      const env = { incoming: { socket: { remoteAddress: address } } }
      return createClient(recordAnswers((path, init) => composition.app.request(path, init, env)))
    },
    adminToken: await client.login(admin.email, options.environment?.ADMIN_PASSWORD ?? admin.password),
    database,
    dataDir: config.dataDir,
    collections: own.collections,
    async close() {
      for (const name of config.hosted) await (await own.collections(name)).dropDatabase()
      await own.close()
      await close()
    },
  }
}
