import mongoose from 'mongoose'
import { createCall } from '#kernel/call.ts'
import { createCircuitBreaker, type Neighbour, probeTimeoutMs } from '#kernel/circuit-breaker.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import {
  refuseInvalidUri,
  refuseOldVersion,
  verifyWriteAccessToAll,
  warnOfLongTransactions,
} from './boot-checks.ts'
import { assertUsable, createDatabase, type Database, type Db } from './database.ts'
import { createDeployment, type Deployment } from './deployment.ts'
import { createPoolMetrics } from './pool-metrics.ts'
import { repeatUntilConnected, retryableFault } from './repeat-until-connected.ts'
import { createStallCheck } from './stalled-transactions.ts'

/** The process's only connection pool. */
export interface Mongo extends Neighbour {
  database(module: string): Database
  /**
   * Waits for the server with backoff and without an upper limit, because a process without MongoDB is alive but not ready.
   * Then runs `work`, and repeats it if the server fails meanwhile.
   * @param work must be safe to repeat
   * @throws ConfigError that says what to change, if waiting does not repair the fault
   */
  connect<T = void>(signal: AbortSignal, work?: () => Promise<T>): Promise<T>
  /** @throws ConfigError if the account may not write to each of the modules' databases in a transaction */
  verifyWriteAccess(modules: readonly string[]): Promise<void>
  /**
   * @throws DomainError or an error of the driver if the server does not answer within two seconds, or cannot be used; at once
   * while the circuit to it is open
   */
  ping(): Promise<void>
  /**
   * Returns why the present server cannot be used, if that is so. It may have replaced the server that the process
   * connected to.
   */
  unusableReason(): string | undefined
  /**
   * Runs `work` on a module's database over a separate connection with a socket timeout of one hour, because building an
   * index can take long.
   */
  withLongTimeout<T>(module: string, work: (db: Db) => Promise<T>): Promise<T>
  close(): Promise<void>
}

const selectionTimeoutMs = 2_000

const primary = {
  name: 'trivet_mongodb_primary',
  help: '1 while the driver knows a primary of MongoDB or a mongos, 0 otherwise',
}
// After this time the boot fails, while the server continues to build an index. The next boot waits for the index
// again.
const longTimeoutMs = 3_600_000

export function createMongo(options: {
  uri: string
  database: string
  requestTimeoutMs: number
  logger: Logger
  metrics: Metrics
  /** The time that the operator's script has to initiate the replica set and to create its accounts. */
  setupTimeoutMs?: number
}): Mongo {
  const { uri, requestTimeoutMs, logger, metrics, setupTimeoutMs = 10_000 } = options
  const deployment = createDeployment()
  metrics.gauge(primary, () => (deployment.hasPrimary() ? 1 : 0))
  // The name includes the shop, so that two shops on one cluster do not end each other's transactions.
  const appName = `trivet ${options.database}`
  const connectOptions = connectOptionsOf(appName, requestTimeoutMs)
  const followPool = createPoolMetrics(metrics)
  const client = createClient(uri, connectOptions, { requestTimeoutMs, deployment, followPool })
  const { connection } = client
  const closing = new AbortController()
  const breaker = createCircuitBreaker({
    name: 'database',
    title: 'the database',
    probe: (signal) => client.ping(probeTimeoutMs, { signal }),
    onSlow: createStallCheck(connection, { appName, logger }),
    logger,
    metrics,
    signal: closing.signal,
  })
  const databaseName = (module: string) => `${options.database}_${module}`
  const connectionOf = (module: string) => connection.useDb(databaseName(module), { useCache: true })

  const connectOnce = async (): Promise<void> => {
    await client.open()
    const fault = deployment.fault()
    if (fault) throw dependencyUnavailable(fault.message)
  }

  return {
    name: breaker.name,
    isAway: breaker.isAway,
    database: (module) => createDatabase(connectionOf(module), breaker, deployment, metrics),

    connect(signal, work = async () => undefined as never) {
      let isConnected = false
      const attempt = async () => {
        isConnected = false
        refuseInvalidUri(uri)
        await connectOnce()
        isConnected = true
        await refuseOldVersion(connection)
        await warnOfLongTransactions(connection, logger)
        return work()
      }
      const classify = (error: unknown) => retryableFault(error, { isConnected, connection, deployment })
      return repeatUntilConnected(attempt, classify, { signal, setupTimeoutMs, logger })
    },

    verifyWriteAccess: (modules) => verifyWriteAccessToAll(modules.map(connectionOf)),

    async ping() {
      const refusal = breaker.refusal()
      if (refusal) throw refusal
      await breaker.waitFor(createCall(selectionTimeoutMs, 'ping'), client.ping(selectionTimeoutMs))
    },

    unusableReason: deployment.unusableReason,

    withLongTimeout: (module, work) =>
      onSeparateConnection(
        uri,
        { ...connectOptions, socketTimeoutMS: longTimeoutMs },
        { databaseName: databaseName(module), work },
      ),

    close() {
      closing.abort()
      return client.close()
    },
  }
}

async function onSeparateConnection<T>(
  uri: string,
  connectOptions: mongoose.ConnectOptions,
  { databaseName, work }: { databaseName: string; work: (db: Db) => Promise<T> },
): Promise<T> {
  const separate = await mongoose.createConnection(uri, connectOptions).asPromise()
  try {
    const { db } = separate.useDb(databaseName)
    if (!db) throw new Error('the connected database has no handle')
    return await work(db)
  } finally {
    await separate.close()
  }
}

// Migrations alone create collections and indexes. The connection of a module's database ignores these options of the
// connection that it comes from.
mongoose.set({ autoCreate: false, autoIndex: false })

const connectOptionsOf = (appName: string, requestTimeoutMs: number): mongoose.ConnectOptions => ({
  bufferCommands: false,
  appName,
  serverSelectionTimeoutMS: selectionTimeoutMs,
  connectTimeoutMS: selectionTimeoutMs,
  waitQueueTimeoutMS: requestTimeoutMs,
  readPreference: 'primary',
  readConcern: { level: 'majority' },
  writeConcern: { w: 'majority', journal: true },
})

/** Creates the driver's client. It is replaced by a new one if the driver has dropped all its servers. */
function createClient(
  uri: string,
  connectOptions: mongoose.ConnectOptions,
  {
    requestTimeoutMs,
    deployment,
    followPool,
  }: {
    requestTimeoutMs: number
    deployment: Deployment
    followPool: ReturnType<typeof createPoolMetrics>
  },
) {
  const connection = mongoose.createConnection()
  let isOpen = false
  let isClosed = false
  let opening: Promise<void> | undefined

  const openAgain = async (): Promise<void> => {
    if (isOpen) await connection.close()
    isOpen = false
    // The socket timeout exceeds the time of every request, so that it ends only operations of a dead server.
    const socketTimeoutMS = requestTimeoutMs + 5_000
    const connecting = connection.openUri(uri, { ...connectOptions, socketTimeoutMS, maxPoolSize: 100 })
    // Recording starts before the connection is open, because the driver drops a server that it cannot use.
    deployment.follow(connection.getClient())
    followPool(connection.getClient())
    await connecting
    isOpen = true
    if (isClosed) await connection.close()
  }

  /**
   * Connects. Returns at once if the client is open, because the driver finds its servers again, unless it has
   * dropped all of them. Concurrent calls share one attempt.
   */
  const open = async (): Promise<void> => {
    if (isOpen && !deployment.isAbandoned()) return
    opening ??= openAgain().finally(() => {
      opening = undefined
    })
    await opening
  }

  return {
    connection,
    open,

    /** @throws DomainError or an error of the driver if the server does not answer, or cannot be used */
    async ping(maxTimeMS: number, options: { signal?: AbortSignal } = {}): Promise<void> {
      if (isClosed) throw dependencyUnavailable('the connection is closed')
      await open()
      assertUsable(deployment)
      await connection.getClient().db('admin').command({ ping: 1, maxTimeMS }, options)
    },

    close(): Promise<void> {
      isClosed = true
      return connection.close()
    },
  }
}
