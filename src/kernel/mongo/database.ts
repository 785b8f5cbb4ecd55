import type mongoose from 'mongoose'
import { type Call, remaining, withinDeadline } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { Deployment } from './deployment.ts'
import { isUnavailable } from './errors.ts'
import type { StallWatch } from './stalled-transactions.ts'
import { createTransaction, type Run, type Transaction } from './transaction.ts'

/** A database as the driver has it, without models: what migrations work on. */
export type Db = NonNullable<mongoose.Connection['db']>
/** An index, as it is asked for and as the server lists it. */
export type IndexDescription = mongoose.mongo.IndexDescription
export type IndexInDatabase = mongoose.mongo.IndexDescriptionInfo

/** One module's own database. Reads are `majority`, writes `w: majority, j: true`, each with a time limit. */
export interface Database {
  /** For repositories to register their models on. */
  readonly connection: mongoose.Connection
  readonly run: Run
  readonly transaction: Transaction
  /**
   * Reads, find and aggregate alone, that all see the one moment of the first of them.
   * @param work passes the options to each of them: a read concern of its own, or an inherited one, is no snapshot
   * @throws DomainError `dependency_unavailable` as `run`; also when the server has forgotten that moment, five
   * minutes later (`minSnapshotHistoryWindowInSeconds`)
   */
  snapshot<T>(call: Call, work: (options: SnapshotOptions) => Promise<T>): Promise<T>
}

export interface SnapshotOptions {
  session: mongoose.ClientSession
  readConcern: { level: 'snapshot' }
  maxTimeMS: number
}

/**
 * Refuses to use a server that does not fit MONGODB_URI. It may have taken the place of the right server, which would lack what
 * is written here.
 */
export function assertUsable(deployment: Deployment): void {
  const reason = deployment.unusableReason()
  if (reason !== undefined) throw dependencyUnavailable('the database cannot be used', new Error(reason))
}

export function createDatabase(
  connection: mongoose.Connection,
  watch: StallWatch,
  deployment: Deployment,
): Database {
  const run: Run = async (call, work) => {
    const limit = remaining(call)
    if (limit <= 0) throw dependencyUnavailable('the time for this request is over')
    assertUsable(deployment)
    try {
      return await watch(withinDeadline(call, 'the database', work(limit)))
    } catch (error) {
      throw isUnavailable(error) ? dependencyUnavailable('the database is not available', error) : error
    }
  }
  const transaction = createTransaction(connection, run)

  return {
    connection,
    run,

    transaction: (...options) => watch(transaction(...options)),

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
