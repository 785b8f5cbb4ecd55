import { setTimeout as sleep } from 'node:timers/promises'
import type mongoose from 'mongoose'
import { type Call, remainingMs, requireRemainingMs } from '#kernel/call.ts'
import type { CircuitBreaker } from '#kernel/circuit-breaker.ts'
import { type DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { inSpan } from '#kernel/tracing.ts'
import type { Deployment } from './deployment.ts'
import { isSnapshotUnavailable, isUnavailable } from './errors.ts'
import { createOperationTimer } from './operation-metrics.ts'
import { createTransaction, type Run, type StartSession } from './transaction.ts'

/** The driver's handle of a database, without models. Migrations use it. */
export type Db = NonNullable<mongoose.Connection['db']>
/** The definition of an index, as `createIndexes` takes it. */
export type IndexDescription = mongoose.mongo.IndexDescription
/** An existing index, as the server lists it. */
export type IndexInDatabase = mongoose.mongo.IndexDescriptionInfo

/**
 * One module's own database. Reads are `majority`, writes are `w: majority, j: true`, and each has a time limit. `operation` names
 * the work in metrics and traces, by the collection and a verb (`products.find`).
 */
export interface Database {
  /** Repositories register their models on this connection. */
  readonly connection: mongoose.Connection
  /** The error of every operation while the circuit to the database is open. Undefined while the circuit is closed. */
  refusal(): DomainError | undefined
  /** As `Run`. */
  run<T>(operation: string, call: Call, work: (maxTimeMS: number) => Promise<T>): Promise<T>
  /** As `Transaction`. */
  transaction<T>(
    operation: string,
    call: Call,
    work: (session: mongoose.ClientSession, maxTimeMS: number) => Promise<T>,
    startCommitWithinMs?: number,
  ): Promise<T>
  /** The queues in front of this database add theirs. */
  readonly metrics: Metrics
  /**
   * Runs reads (only find and aggregate) that all see the data as of the first read. Repeats them on a later snapshot, until the
   * deadline, if a collection or an index was created or dropped after the first read.
   * @param work may be repeated, and so changes nothing outside itself. It must pass the options to each read: a read with another read
   * concern is not part of the snapshot. `timeOf` may be called after the first read, and returns the time of the snapshot without its
   * fraction of a second. The snapshot contains every write before that time
   * @throws DomainError `dependency_unavailable` as `run`; also five minutes after the first read
   * (`minSnapshotHistoryWindowInSeconds`), when the server has discarded the snapshot
   */
  snapshot<T>(
    operation: string,
    call: Call,
    work: (options: SnapshotOptions, timeOf: () => Date) => Promise<T>,
  ): Promise<T>
}

export interface SnapshotOptions {
  session: mongoose.ClientSession
  readConcern: { level: 'snapshot' }
  maxTimeMS: number
}

/**
 * Refuses to use a server that does not fit MONGODB_URI. Such a server may have replaced the right one, and the right one
 * would miss the data that this process writes.
 * @throws DomainError `dependency_unavailable`
 */
export function assertUsable(deployment: Deployment): void {
  const reason = deployment.unusableReason()
  if (reason !== undefined) throw dependencyUnavailable('the database cannot be used', new Error(reason))
}

// A majority usually acknowledges the change of the collection within milliseconds. Snapshots are later than the change then.
const firstSnapshotPauseMs = 5
const maxSnapshotPauseMs = 100

/** Creates a module's database. `breaker` is the circuit breaker of MongoDB. */
export function createDatabase(
  connection: mongoose.Connection,
  breaker: CircuitBreaker,
  deployment: Deployment,
  metrics: Metrics,
): Database {
  const timed = createOperationTimer(metrics)
  const start: Run = async (call, work) => {
    const maxTimeMS = requireRemainingMs(call)
    assertUsable(deployment)
    const refusal = breaker.refusal()
    if (refusal) throw refusal
    try {
      return await work(maxTimeMS)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      breaker.suspect()
      throw dependencyUnavailable('the database is not available', error)
    }
  }
  const run: Run = (call, work) => start(call, (maxTimeMS) => breaker.waitFor(call, work(maxTimeMS)))
  // The driver sends nothing yet, so that the success of this says nothing about MongoDB.
  const startSession: StartSession = (call, options) => start(call, () => connection.startSession(options))
  const transaction = createTransaction(connection, { run, startSession, breaker })

  const snapshot = async <T>(
    call: Call,
    work: (options: SnapshotOptions, timeOf: () => Date) => Promise<T>,
  ): Promise<T> => {
    const readConcern = { level: 'snapshot' } as const
    for (let pauseMs = firstSnapshotPauseMs; ; pauseMs = Math.min(pauseMs * 2, maxSnapshotPauseMs)) {
      const session = await startSession(call, { snapshot: true })
      try {
        return await run(call, (maxTimeMS) =>
          work({ session, readConcern, maxTimeMS }, () => timeOf(session)),
        )
      } catch (error) {
        if (!isSnapshotUnavailable(error) || remainingMs(call) <= pauseMs) throw error
      } finally {
        void session.endSession().catch(() => undefined)
      }
      await sleep(pauseMs)
    }
  }

  const spanOptions = {
    kind: 'client',
    attributes: { 'db.system.name': 'mongodb', 'db.namespace': connection.name },
  } as const

  return {
    connection,
    metrics,
    refusal: breaker.refusal,

    run: (operation, call, work) =>
      timed(operation, () => inSpan(call, operation, spanOptions, (within) => run(within, work))),

    transaction: (operation, call, ...rest) =>
      timed(operation, () =>
        inSpan(call, operation, spanOptions, (within) =>
          breaker.waitFor(within, transaction(within, ...rest)),
        ),
      ),

    snapshot: (operation, call, work) =>
      timed(operation, () => inSpan(call, operation, spanOptions, (within) => snapshot(within, work))),
  }
}

/** The driver keeps the time of a session's snapshot, and has no type for it. */
function timeOf(session: mongoose.ClientSession): Date {
  const { snapshotTime } = session as { snapshotTime?: mongoose.mongo.Timestamp }
  if (!snapshotTime) throw new Error('the driver does not know the time of the snapshot')
  return new Date(snapshotTime.getHighBitsUnsigned() * 1_000)
}
