import { setTimeout as sleep } from 'node:timers/promises'
import mongoose from 'mongoose'
import { callWithin, withinDeadline } from '#kernel/call.ts'
import { ConfigError } from '#kernel/config/config-error.ts'
import { dependencyUnavailable, isDomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import { assertUsable, createDatabase, type Database, type Db } from './database.ts'
import { createDeployment, refuseOldVersion, unauthorizedFault, verifyWriteAccess } from './deployment.ts'
import { isUnavailable } from './errors.ts'
import { createStallWatch } from './stalled-transactions.ts'

/** The process's one connection pool. */
export interface Mongo {
  database(module: string): Database
  /**
   * Waits for the server with backoff, as long as it takes: a process without one is alive but not ready. Then does the
   * work, once more if the server goes away meanwhile.
   * @param work is safe to repeat
   * @throws ConfigError that says what to do, if no waiting mends what is found
   */
  connect<T = void>(signal: AbortSignal, work?: () => Promise<T>): Promise<T>
  /** @throws ConfigError if the account may not write to each of the modules' databases in a transaction */
  verifyWriteAccess(modules: readonly string[]): Promise<void>
  /** @throws if the server does not answer within two seconds, or cannot be used */
  ping(): Promise<void>
  /** Why the server that answers now, instead of the one that was connected to, cannot be used. */
  unusableReason(): string | undefined
  /**
   * A module's database over a connection of its own, with an hour's socket timeout: building an index takes as long as
   * it takes.
   */
  withLongTimeout<T>(module: string, work: (db: Db) => Promise<T>): Promise<T>
  close(): Promise<void>
}

const selectionTimeoutMs = 2_000
// How long building an index may keep its caller waiting: the server goes on with it, and the next boot waits again.
const longTimeoutMs = 3_600_000

export function createMongo(options: {
  uri: string
  database: string
  requestTimeoutMs: number
  logger: Logger
  /** Milliseconds that a replica set may take to be initiated, and its accounts to be created. */
  setupTimeoutMs?: number
}): Mongo {
  const { uri, logger, setupTimeoutMs = 10_000 } = options
  const deployment = createDeployment()
  // Names the shop too: two on one cluster leave each other's transactions alone.
  const appName = `trivet ${options.database}`
  const limits: mongoose.ConnectOptions = {
    autoIndex: false,
    autoCreate: false,
    bufferCommands: false,
    appName,
    serverSelectionTimeoutMS: selectionTimeoutMs,
    connectTimeoutMS: selectionTimeoutMs,
    waitQueueTimeoutMS: options.requestTimeoutMs,
    readPreference: 'primary',
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
  }
  const connection = mongoose.createConnection()
  const watch = createStallWatch(connection, { appName, logger })
  const databaseName = (module: string) => `${options.database}_${module}`
  const database = (module: string) => connection.useDb(databaseName(module), { useCache: true })

  let isOpen = false
  let isClosed = false
  /** Returns at once where there is a client: the driver itself finds its servers again, unless it has given up all. */
  const open = async (): Promise<void> => {
    if (isOpen && !deployment.isAbandoned()) return
    if (isOpen) await connection.close()
    isOpen = false
    // Longer than any request may take, so that it only ever ends what a dead server left hanging.
    const socketTimeoutMS = options.requestTimeoutMs + 5_000
    const opening = connection.openUri(uri, { ...limits, socketTimeoutMS, maxPoolSize: 100 })
    // The driver forgets a server that it cannot use: what that says of itself is heard before.
    deployment.follow(connection.getClient())
    await opening
    isOpen = true
    if (isClosed) await connection.close()
  }

  /** Why an attempt to connect, or what followed it, is to be repeated. What need not be is thrown. */
  const passing = (error: unknown, isConnected: boolean) => {
    if (error instanceof ConfigError) throw error
    const refusal = unauthorizedFault(error, connection)
    if (refusal) throw refusal
    const isPassing = isUnavailable(error) || isDomainError(error, 'dependency_unavailable')
    const fault = deployment.fault(error) ?? {
      kind: 'temporary',
      message: error instanceof Error ? error.message : String(error),
    }
    if (fault.kind === 'permanent') throw new ConfigError([fault.message])
    if (isConnected && !isPassing) throw error
    return fault
  }

  return {
    database: (module) => createDatabase(database(module), watch, deployment),

    async connect(signal, work = async () => undefined as never) {
      refuseUnreadable(uri)
      let setUpBy = Number.POSITIVE_INFINITY
      for (let wait = 100; ; wait = Math.min(wait * 2, 5_000)) {
        let isConnected = false
        try {
          await open()
          const found = deployment.fault()
          if (found) throw dependencyUnavailable(found.message)
          isConnected = true
          await refuseOldVersion(connection)
          await warnOfLongTransactions(connection, logger)
          return await work()
        } catch (error) {
          const { kind, message } = passing(error, isConnected)
          if (kind === 'temporary') setUpBy = Number.POSITIVE_INFINITY
          else setUpBy = Math.min(setUpBy, performance.now() + setupTimeoutMs)
          const giveUp = () =>
            kind === 'temporary' ? dependencyUnavailable(message, error) : new ConfigError([message])
          if (signal.aborted || performance.now() >= setUpBy) throw giveUp()
          logger.warn({ error: message, retryInMs: wait }, 'waiting for MongoDB')
          await sleep(wait, undefined, { signal }).catch(() => {
            throw giveUp()
          })
        }
      }
    },

    async verifyWriteAccess(modules) {
      const tried = await Promise.allSettled(modules.map((module) => verifyWriteAccess(database(module))))
      const failures = tried.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
      const faults = failures.flatMap((failure) => (failure instanceof ConfigError ? failure.faults : []))
      if (faults.length > 0) throw new ConfigError([...new Set(faults)])
      if (failures.length > 0) throw failures[0]
    },

    async ping() {
      if (isClosed) throw dependencyUnavailable('the connection is closed')
      await open()
      assertUsable(deployment)
      const call = callWithin(selectionTimeoutMs, 'ping')
      await withinDeadline(
        call,
        'the database',
        connection.getClient().db('admin').command({ ping: 1, maxTimeMS: selectionTimeoutMs }),
      )
    },

    unusableReason: deployment.unusableReason,

    async withLongTimeout(module, work) {
      const patient = { ...limits, socketTimeoutMS: longTimeoutMs }
      const own = await mongoose.createConnection(uri, patient).asPromise()
      try {
        const { db } = own.useDb(databaseName(module))
        if (!db) throw new Error('a connected database has a handle')
        return await work(db)
      } finally {
        await own.close()
      }
    },

    close() {
      isClosed = true
      return connection.close()
    },
  }
}

/**
 * No wait mends a URI that cannot be read. What the driver says of one is not repeated: it quotes parts of it, the
 * password where the `@host` is missing.
 */
function refuseUnreadable(uri: string): void {
  try {
    new mongoose.mongo.MongoClient(uri)
  } catch {
    throw new ConfigError([
      'MONGODB_URI is not valid: it must be mongodb://user:password@host/?option=value, with options that the driver knows, and everything percent-encoded in user and password but letters, digits and - . _ ~',
    ])
  }
}

const maxTransactionSeconds = 10

async function warnOfLongTransactions(connection: mongoose.Connection, logger: Logger): Promise<void> {
  try {
    const parameter = 'transactionLifetimeLimitSeconds'
    const answer = await connection.db
      ?.admin()
      .command({ getParameter: 1, [parameter]: 1, maxTimeMS: selectionTimeoutMs })
    const seconds = Number(answer?.[parameter])
    if (seconds > maxTransactionSeconds) {
      logger.warn(
        { [parameter]: seconds },
        `MongoDB keeps what a killed process had locked for ${seconds} s: set ${parameter} to ${maxTransactionSeconds} or less`,
      )
    }
  } catch (error) {
    logger.debug({ error: String(error) }, 'MongoDB does not let this account read its parameters')
  }
}
