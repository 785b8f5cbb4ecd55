import { setTimeout as sleep } from 'node:timers/promises'
import type mongoose from 'mongoose'
import {
  type Call,
  createCall,
  remainingMs,
  requireRemainingMs,
  shortenDeadline,
  waitUntilDeadline,
} from '#kernel/call.ts'
import type { CircuitBreaker } from '#kernel/circuit-breaker.ts'
import { dependencyUnavailable, isDomainError } from '#kernel/errors.ts'
import { hasLabel, isDuplicateKey, isSocketError, isTransientAbort, isUnavailable } from './errors.ts'

/**
 * Runs one operation outside a transaction.
 * @param work gets the remaining milliseconds, and passes them to the driver as the option of the same name
 * @throws DomainError `dependency_unavailable` if the database fails or the deadline passes first
 */
export type Run = <T>(call: Call, work: (maxTimeMS: number) => Promise<T>) => Promise<T>

/** Starts a session, with the errors of `Run`. */
export type StartSession = (
  call: Call,
  options?: mongoose.mongo.ClientSessionOptions,
) => Promise<mongoose.ClientSession>

/**
 * Runs a `snapshot` transaction, and repeats it after a write conflict until the deadline. The deadline is checked
 * immediately before the commit. A commit can therefore take effect at the latest at the deadline plus the server's
 * limit for an open transaction (`transactionLifetimeLimitSeconds`).
 * @param work is repeated: it must have no effect except through the session
 * @param startCommitWithinMs limits the time until the commit starts
 * @throws DomainError `dependency_unavailable` as `Run`; the transaction may then have been committed
 * @throws CommitNotStarted if the commit did not start in that time: the transaction had no effect
 */
export type Transaction = <T>(
  call: Call,
  work: (session: mongoose.ClientSession, maxTimeMS: number) => Promise<T>,
  startCommitWithinMs?: number,
) => Promise<T>

/**
 * The work of a transaction throws this error if its writes show that the data behind its decision has changed. The
 * transaction is aborted and repeated, as after a write conflict.
 */
export class StaleDecision extends Error {}

/** The commit of a transaction did not start within the given time. The transaction had no effect. */
export class CommitNotStarted extends Error {}

// The server may end an operation this much earlier than this process would.
const clockToleranceMs = 5
const maxBackoffMs = 100

/** Creates the transactions of a connection. `run` and `breaker` limit the time of their commands. */
export function createTransaction(
  connection: mongoose.Connection,
  { run, startSession, breaker }: { run: Run; startSession: StartSession; breaker: CircuitBreaker },
): Transaction {
  return async (call, work, startCommitWithinMs) => {
    const workCall = startCommitWithinMs === undefined ? call : shortenDeadline(call, startCommitWithinMs)
    const isCommitTooLateIn = (milliseconds: number) =>
      workCall.deadline < call.deadline && remainingMs(workCall) <= milliseconds + clockToleranceMs
    for (let attempt = 1; ; attempt++) {
      let failure: unknown
      let isCommitting = false
      let working: ReturnType<typeof work> | undefined
      call.span?.event('attempt')
      const session = await startSession(call)
      try {
        session.startTransaction({
          readConcern: { level: 'snapshot' },
          writeConcern: { w: 'majority', journal: true },
          readPreference: 'primary',
          maxCommitTimeMS: Math.max(1, remainingMs(call)),
        })
        working = work(session, Math.max(1, remainingMs(workCall)))
        const result = await breaker.waitFor(workCall, working)
        requireRemainingMs(call)
        isCommitting = true
        call.span?.event('commit')
        failure = await run(call, () => commit(connection, session, call))
        if (failure === undefined) return result
      } catch (error) {
        if (isUnavailable(error)) breaker.suspect()
        if (!isCommitting && isCommitTooLateIn(0) && isTimeoutOrOutage(error)) throw commitNotStarted(error)
        if (!isRepeatable(error)) throw asUnavailable(error)
        failure = error
      } finally {
        void endTransaction(connection, session, working, call)
      }
      const waitMs = backoffMs(failure, attempt)
      if (remainingMs(call) <= waitMs) {
        throw dependencyUnavailable('the database did not commit in time', failure)
      }
      if (isCommitTooLateIn(waitMs)) throw commitNotStarted(failure)
      if (waitMs > 0) await sleep(waitMs)
    }
  }
}

const commitNotStarted = (cause: unknown): CommitNotStarted =>
  new CommitNotStarted('the commit of the transaction did not start in time', { cause })

const isTimeoutOrOutage = (error: unknown): boolean =>
  isDomainError(error, 'dependency_unavailable') || isUnavailable(error)

const isRepeatable = (error: unknown): boolean =>
  error instanceof StaleDecision || isTransientAbort(error) || isDuplicateKey(error)

const asUnavailable = (error: unknown): unknown =>
  isUnavailable(error) ? dependencyUnavailable('the database did not commit in time', error) : error

/**
 * Full jitter keeps transactions that collided once from colliding again. A stale decision is repeated at once, because no
 * other transaction is in its way.
 */
const backoffMs = (failure: unknown, attempt: number): number =>
  failure instanceof StaleDecision ? 0 : Math.random() * Math.min(2 ** (attempt - 1), maxBackoffMs)

// The time after the deadline in which a command may still end. The time limit of each command ends at the deadline.
const overdueCommandMs = 1_000
// The first abort is early, because the documents that the transaction wrote block other transactions.
const firstAbortAfterMs = 50

/**
 * Aborts an open transaction. A command that arrives after the abort would start the transaction again and leave it
 * open, so that this function waits for the commands on their way. If they take long, the transaction is aborted twice:
 * first to undo its writes, and later to end what late commands have started. A server that is unreachable aborts the
 * transaction at its own time limit.
 */
async function endTransaction(
  connection: mongoose.Connection,
  session: mongoose.ClientSession,
  working: Promise<unknown> | undefined,
  { requestId }: Call,
): Promise<void> {
  const settlesWithin = async (milliseconds: number) => {
    if (!working) return true
    const call = createCall(milliseconds, requestId)
    const settled = working.then(
      () => true,
      () => true,
    )
    return waitUntilDeadline(call, 'the database', settled).catch(() => false)
  }
  if (!(await settlesWithin(firstAbortAfterMs))) {
    const abort = { abortTransaction: 1, maxTimeMS: overdueCommandMs }
    const aborted = connection.getClient().db('admin').command(abort, { session })
    // The abort fails if the server knows no transaction yet.
    aborted.catch(() => undefined)
    await settlesWithin(overdueCommandMs - firstAbortAfterMs)
  }
  await session.endSession().catch(() => undefined)
}

const firstCommitTimeoutMs = 400

/**
 * Commits, and repeats the commit while its outcome is unknown or its answer does not arrive. Repeating is safe: the server
 * answers a repeated commit with the outcome of the first one.
 * @returns undefined after a commit; otherwise the error, if the transaction had no effect and can be repeated
 */
async function commit(
  connection: mongoose.Connection,
  session: mongoose.ClientSession,
  call: Call,
): Promise<unknown> {
  for (;;) {
    try {
      const firstCall = shortenDeadline(call, firstCommitTimeoutMs)
      const committed = session.commitTransaction()
      return await waitUntilDeadline(firstCall, 'the database', committed).catch((error: unknown) => {
        if (!isDomainError(error)) throw error
        // The session accepts no second commit while the first one is pending. Therefore the command is sent directly.
        const again = {
          commitTransaction: 1,
          writeConcern: { w: 'majority', j: true },
          maxTimeMS: Math.max(1, remainingMs(call)),
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
      if (!isUnknown || remainingMs(call) <= 0) throw error
      await sleep(10 + Math.random() * 40)
    }
  }
}
