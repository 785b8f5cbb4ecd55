import { setTimeout as sleep } from 'node:timers/promises'
import mongoose from 'mongoose'
import { type Call, callWithin, remaining, shortened, withinDeadline } from './call.ts'
import { ConfigError } from './config-error.ts'
import { dependencyUnavailable, isDomainError } from './errors.ts'
import type { Logger } from './logger.ts'
import {
  createDeployment,
  type Deployment,
  refuseOldVersion,
  tryWriting,
  unauthorizedFault,
} from './mongo-deployment.ts'
import { hasLabel, isCutOff, isDuplicateKey, isSocketError, isUnavailable } from './mongo-errors.ts'
import { createStallWatch, type StallWatch } from './stalled-transactions.ts'

/** A database as the driver has it, without models: what migrations work on. */
export type Db = NonNullable<mongoose.Connection['db']>
/** An index, as it is asked for and as the server lists it. */
export type IndexDescription = mongoose.mongo.IndexDescription
export type IndexInDatabase = mongoose.mongo.IndexDescriptionInfo

/** One module's own database. Reads are `majority`, writes `w: majority, j: true`, each with a time limit. */
export interface Database {
  /** For repositories to register their models on. */
  readonly connection: mongoose.Connection
  /**
   * One operation outside a transaction.
   * @param work gets the milliseconds left, for `maxTimeMS`
   * @throws DomainError `dependency_unavailable` if the database fails or the deadline passes first
   */
  run<T>(call: Call, work: (limit: number) => Promise<T>): Promise<T>
  /**
   * A `snapshot` transaction, decided anew after a write conflict for as long as the deadline lets it. The deadline
   * is checked last before the commit, so that nothing takes effect later than it, plus the time that the server
   * gives an open transaction (`transactionLifetimeLimitSeconds`).
   * @param work is repeated: it must have no effect but through the session
   * @param commitsWithinMs by then its commit must have begun
   * @throws DomainError `dependency_unavailable` as `run`; whether the commit took place is then not known
   * @throws Undecided if its commit has not begun in time: it had no effect
   */
  transaction<T>(
    call: Call,
    work: (session: mongoose.ClientSession, limit: number) => Promise<T>,
    commitsWithinMs?: number,
  ): Promise<T>
  /**
   * Reads, find and aggregate alone, that all see the one moment of the first of them.
   * @param work passes the options to each of them: a read concern of its own, or an inherited one, is no snapshot
   * @throws DomainError `dependency_unavailable` as `run`; also when the server has forgotten that moment, five
   * minutes later (`minSnapshotHistoryWindowInSeconds`)
   */
  snapshot<T>(call: Call, work: (options: SnapshotOptions) => Promise<T>): Promise<T>
}

/**
 * Thrown by the work of a transaction that finds, as it writes, that what it was decided on is no longer so: it takes no
 * effect and is decided anew, as after a write conflict.
 */
export class Outdated extends Error {}

/** A transaction that did not come to its commit in the time that it was given: it had no effect. */
export class Undecided extends Error {}

export interface SnapshotOptions {
  session: mongoose.ClientSession
  readConcern: { level: 'snapshot' }
  maxTimeMS: number
}

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
  tryWriting(modules: readonly string[]): Promise<void>
  /** @throws if the server does not answer within two seconds, or cannot be used */
  ping(): Promise<void>
  /** Why the server that answers now, instead of the one that was connected to, cannot be used. */
  unusable(): string | undefined
  /**
   * A module's database over a connection of its own, with an hour's socket timeout: building an index takes as long as
   * it takes.
   */
  unhurried<T>(module: string, work: (db: Db) => Promise<T>): Promise<T>
  close(): Promise<void>
}

const selectionTimeout = 2_000
// How long building an index may keep its caller waiting: the server goes on with it, and the next boot waits again.
const unhurriedTimeout = 3_600_000

export function createMongo(options: {
  uri: string
  database: string
  requestTimeout: number
  logger: Logger
  /** Milliseconds that a replica set may take to be initiated, and its accounts to be created. */
  setUpWithin?: number
}): Mongo {
  const { uri, logger, setUpWithin = 10_000 } = options
  const deployment = createDeployment()
  // Names the shop too: two on one cluster leave each other's transactions alone.
  const appName = `trivet ${options.database}`
  const limits: mongoose.ConnectOptions = {
    autoIndex: false,
    autoCreate: false,
    bufferCommands: false,
    appName,
    serverSelectionTimeoutMS: selectionTimeout,
    connectTimeoutMS: selectionTimeout,
    waitQueueTimeoutMS: options.requestTimeout,
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
    const socketTimeoutMS = options.requestTimeout + 5_000
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
    const fault = unauthorizedFault(error, connection)
    if (fault) throw fault
    const isPassing = isUnavailable(error) || isDomainError(error, 'dependency_unavailable')
    const obstacle = deployment.obstacle(error) ?? {
      kind: 'away',
      message: error instanceof Error ? error.message : String(error),
    }
    if (obstacle.kind === 'unusable') throw new ConfigError([obstacle.message])
    if (isConnected && !isPassing) throw error
    return obstacle
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
          const found = deployment.obstacle()
          if (found) throw dependencyUnavailable(found.message)
          isConnected = true
          await refuseOldVersion(connection)
          await warnOfLongTransactions(connection, logger)
          return await work()
        } catch (error) {
          const { kind, message } = passing(error, isConnected)
          if (kind === 'away') setUpBy = Number.POSITIVE_INFINITY
          else setUpBy = Math.min(setUpBy, performance.now() + setUpWithin)
          const giveUp = () =>
            kind === 'away' ? dependencyUnavailable(message, error) : new ConfigError([message])
          if (signal.aborted || performance.now() >= setUpBy) throw giveUp()
          logger.warn({ error: message, retryInMs: wait }, 'waiting for MongoDB')
          await sleep(wait, undefined, { signal }).catch(() => {
            throw giveUp()
          })
        }
      }
    },

    async tryWriting(modules) {
      const tried = await Promise.allSettled(modules.map((module) => tryWriting(database(module))))
      const failures = tried.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
      const faults = failures.flatMap((failure) => (failure instanceof ConfigError ? failure.faults : []))
      if (faults.length > 0) throw new ConfigError([...new Set(faults)])
      if (failures.length > 0) throw failures[0]
    },

    async ping() {
      if (isClosed) throw dependencyUnavailable('the connection is closed')
      await open()
      refuseUnusable(deployment)
      const call = callWithin(selectionTimeout, 'ping')
      await withinDeadline(
        call,
        'the database',
        connection.getClient().db('admin').command({ ping: 1, maxTimeMS: selectionTimeout }),
      )
    },

    unusable: deployment.unusable,

    async unhurried(module, work) {
      const patient = { ...limits, socketTimeoutMS: unhurriedTimeout }
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

/**
 * Refuses to use a server that does not fit MONGODB_URI. It may have taken the place of the right server, which would lack what
 * is written here.
 */
function refuseUnusable(deployment: Deployment): void {
  const reason = deployment.unusable()
  if (reason !== undefined) throw dependencyUnavailable('the database cannot be used', new Error(reason))
}

function createDatabase(
  connection: mongoose.Connection,
  watch: StallWatch,
  deployment: Deployment,
): Database {
  const run: Database['run'] = async (call, work) => {
    const limit = remaining(call)
    if (limit <= 0) throw dependencyUnavailable('the time for this request is over')
    refuseUnusable(deployment)
    try {
      return await watch(withinDeadline(call, 'the database', work(limit)))
    } catch (error) {
      throw isUnavailable(error) ? dependencyUnavailable('the database is not available', error) : error
    }
  }

  const untilCommitted: Database['transaction'] = async (call, work, commitsWithinMs) => {
    const deciding = commitsWithinMs === undefined ? call : shortened(call, commitsWithinMs)
    // The server may find the time to be over a little earlier than this process.
    const isOverIn = (milliseconds: number) =>
      deciding.deadline < call.deadline && remaining(deciding) <= milliseconds + earliness
    for (let attempt = 1; ; attempt++) {
      let failure: unknown
      let isCommitting = false
      let working: ReturnType<typeof work> | undefined
      const session = await run(call, () => connection.startSession())
      try {
        session.startTransaction({
          readConcern: { level: 'snapshot' },
          writeConcern: { w: 'majority', journal: true },
          readPreference: 'primary',
          maxCommitTimeMS: Math.max(1, remaining(call)),
        })
        working = work(session, Math.max(1, remaining(deciding)))
        const result = await withinDeadline(deciding, 'the database', working)
        if (remaining(call) <= 0) throw dependencyUnavailable('the time for this request is over')
        isCommitting = true
        failure = await run(call, () => commit(connection, session, call))
        if (failure === undefined) return result
      } catch (error) {
        if (
          !isCommitting &&
          isOverIn(0) &&
          (isDomainError(error, 'dependency_unavailable') || isUnavailable(error))
        )
          throw new Undecided('the transaction did not come to its commit', { cause: error })
        if (!(error instanceof Outdated) && !isCutOff(error) && !isDuplicateKey(error)) {
          throw isUnavailable(error)
            ? dependencyUnavailable('the database did not commit in time', error)
            : error
        }
        failure = error
      } finally {
        void endTransaction(connection, session, working, call)
      }
      // Full jitter: those that collided once do not collide again. Nobody is in the way of what is merely outdated.
      const wait = failure instanceof Outdated ? 0 : Math.random() * Math.min(2 ** (attempt - 1), 100)
      if (remaining(call) <= wait) {
        throw dependencyUnavailable('the database did not commit in time', failure)
      }
      if (isOverIn(wait))
        throw new Undecided('the transaction did not come to its commit', { cause: failure })
      if (wait > 0) await sleep(wait)
    }
  }

  return {
    connection,
    run,

    transaction: (...transaction) => watch(untilCommitted(...transaction)),

    async snapshot(call, work) {
      const session = await run(call, () => connection.startSession({ snapshot: true }))
      try {
        const readConcern = { level: 'snapshot' } as const
        return await run(call, (maxTimeMS) => work({ session, readConcern, maxTimeMS }))
      } finally {
        void session.endSession().catch(() => undefined)
      }
    },
  }
}

// Milliseconds.
const earliness = 5

// Milliseconds, once its deadline has passed. A command has had a time limit of its own until then.
const overdueCommand = 1_000
// Milliseconds: what the transaction has written stands in the way of others.
const firstAbortAfter = 50

/**
 * Aborts what is still open. It waits for a command that is on its way, which would begin the transaction after its abort and
 * leave it open. Where that takes long, it aborts the transaction twice: at first what it has written, and then what has
 * begun since. A server that cannot be reached aborts the transaction at its own limit.
 */
async function endTransaction(
  connection: mongoose.Connection,
  session: mongoose.ClientSession,
  working: Promise<unknown> | undefined,
  { requestId }: Call,
): Promise<void> {
  const settledWithin = async (milliseconds: number) => {
    if (!working) return true
    const call = callWithin(milliseconds, requestId)
    const settled = working.then(
      () => true,
      () => true,
    )
    return withinDeadline(call, 'the database', settled).catch(() => false)
  }
  if (!(await settledWithin(firstAbortAfter))) {
    const abort = { abortTransaction: 1, maxTimeMS: overdueCommand }
    const aborted = connection.getClient().db('admin').command(abort, { session })
    // There may be nothing to abort yet.
    aborted.catch(() => undefined)
    await settledWithin(overdueCommand - firstAbortAfter)
  }
  await session.endSession().catch(() => undefined)
}

// Milliseconds for the first attempt at a commit.
const firstCommitMs = 400

/**
 * Repeated while the outcome is unknown, or does not come, which is safe: the server answers a repeated commit with what it
 * did.
 * @returns undefined; or, if nothing of the transaction took effect and it can be decided anew, why
 */
async function commit(
  connection: mongoose.Connection,
  session: mongoose.ClientSession,
  call: Call,
): Promise<unknown> {
  for (;;) {
    try {
      const first = shortened(call, firstCommitMs)
      const committed = session.commitTransaction()
      return await withinDeadline(first, 'the database', committed).catch((error: unknown) => {
        if (!isDomainError(error)) throw error
        // The driver takes no second commit while it waits for the first one: it is sent past that.
        const again = {
          commitTransaction: 1,
          writeConcern: { w: 'majority', j: true },
          maxTimeMS: Math.max(1, remaining(call)),
        }
        return connection
          .getClient()
          .db('admin')
          .command(again, { session })
          .then(() => undefined)
      })
    } catch (error) {
      if (hasLabel(error, 'TransientTransactionError')) return error
      const isUnknown = hasLabel(error, 'UnknownTransactionCommitResult') || isSocketError(error)
      if (!isUnknown || remaining(call) <= 0) throw error
      await sleep(10 + Math.random() * 40)
    }
  }
}

/** Options of every schema: a field or an operator that it does not know is an error, never stored or ignored. */
export const strictSchema = { strict: 'throw', strictQuery: 'throw', versionKey: false } as const

/**
 * Casts and validates as the schema says and inserts with a time limit, which mongoose's own `save` and `create` drop.
 * @returns the document as stored
 */
export async function insertOne<Document>(
  model: mongoose.Model<Document>,
  fields: Partial<Document>,
  options: { maxTimeMS: number; session?: mongoose.ClientSession },
): Promise<Document> {
  const document = new model(fields)
  await document.validate()
  const plain = document.toObject({ flattenMaps: true }) as mongoose.mongo.OptionalUnlessRequiredId<
    Document & object
  >
  await model.collection.insertOne(plain, options)
  return plain as Document
}

/**
 * Inserts documents as they are, in one command: who writes many has made them himself, from what was checked before.
 * A field that is undefined is left out.
 */
export async function insertMany<Document extends { _id: unknown }>(
  model: mongoose.Model<Document>,
  documents: readonly Document[],
  options: { maxTimeMS: number; session?: mongoose.ClientSession; ordered?: boolean },
): Promise<void> {
  const plain = documents as readonly mongoose.mongo.OptionalUnlessRequiredId<Document>[]
  await model.collection.insertMany([...plain], { ...options, ignoreUndefined: true })
}

const longestTransaction = 10

async function warnOfLongTransactions(connection: mongoose.Connection, logger: Logger): Promise<void> {
  try {
    const parameter = 'transactionLifetimeLimitSeconds'
    const answer = await connection.db
      ?.admin()
      .command({ getParameter: 1, [parameter]: 1, maxTimeMS: selectionTimeout })
    const seconds = Number(answer?.[parameter])
    if (seconds > longestTransaction) {
      logger.warn(
        { [parameter]: seconds },
        `MongoDB keeps what a killed process had locked for ${seconds} s: set ${parameter} to ${longestTransaction} or less`,
      )
    }
  } catch (error) {
    logger.debug({ error: String(error) }, 'MongoDB does not let this account read its parameters')
  }
}
