import { setTimeout as sleep } from 'node:timers/promises'
import type mongoose from 'mongoose'
import { type Call, callWithin, remaining, shortened, withinDeadline } from '#kernel/call.ts'
import { dependencyUnavailable, isDomainError } from '#kernel/errors.ts'
import { hasLabel, isDuplicateKey, isSocketError, isTransientAbort, isUnavailable } from './errors.ts'

/**
 * One operation outside a transaction.
 * @param work gets the milliseconds left, for the driver's option of this name
 * @throws DomainError `dependency_unavailable` if the database fails or the deadline passes first
 */
export type Run = <T>(call: Call, work: (maxTimeMS: number) => Promise<T>) => Promise<T>

/**
 * A `snapshot` transaction, decided anew after a write conflict until the deadline. The deadline is checked last before the
 * commit, so that nothing takes effect later than the deadline plus the time that the server gives an open transaction
 * (`transactionLifetimeLimitSeconds`).
 * @param work is repeated: it must have no effect except through the session
 * @param commitsWithinMs the commit must have begun by then
 * @throws DomainError `dependency_unavailable` as `Run`; whether the commit took place is then not known
 * @throws Undecided if its commit has not begun in time: it had no effect
 */
export type Transaction = <T>(
  call: Call,
  work: (session: mongoose.ClientSession, maxTimeMS: number) => Promise<T>,
  commitsWithinMs?: number,
) => Promise<T>

/**
 * Thrown by the work of a transaction that finds, as it writes, that what it was decided on is no longer so: it takes no
 * effect and is decided anew, as after a write conflict.
 */
export class StaleDecision extends Error {}

/** A transaction that did not come to its commit in the time that it was given: it had no effect. */
export class CommitNotStarted extends Error {}

/** Carries out transactions on a connection, each command of them by `run`. */
export function createTransaction(connection: mongoose.Connection, run: Run): Transaction {
  return async (call, work, startCommitWithinMs) => {
    const deciding = startCommitWithinMs === undefined ? call : shortened(call, startCommitWithinMs)
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
          throw new CommitNotStarted('the transaction did not come to its commit', { cause: error })
        if (!(error instanceof StaleDecision) && !isTransientAbort(error) && !isDuplicateKey(error)) {
          throw isUnavailable(error)
            ? dependencyUnavailable('the database did not commit in time', error)
            : error
        }
        failure = error
      } finally {
        void endTransaction(connection, session, working, call)
      }
      // Full jitter: those that collided once do not collide again. Nobody is in the way of what is merely outdated.
      const wait = failure instanceof StaleDecision ? 0 : Math.random() * Math.min(2 ** (attempt - 1), 100)
      if (remaining(call) <= wait) {
        throw dependencyUnavailable('the database did not commit in time', failure)
      }
      if (isOverIn(wait))
        throw new CommitNotStarted('the transaction did not come to its commit', { cause: failure })
      if (wait > 0) await sleep(wait)
    }
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
