import mongoose from 'mongoose'

/** As the server or the driver says of an error what may be done about it. */
export const hasLabel = (error: unknown, label: string): boolean =>
  error instanceof mongoose.mongo.MongoError && error.hasErrorLabel(label)

export const isDuplicateKey = (error: unknown): error is mongoose.mongo.MongoServerError =>
  error instanceof mongoose.mongo.MongoServerError && error.code === 11000

/** A query that names an index which is not there, or hidden. */
export const isMissingIndexHint = (error: unknown): boolean =>
  error instanceof mongoose.mongo.MongoServerError &&
  error.code === 2 &&
  error.message.includes('hint provided does not correspond to an existing index')

/**
 * What failed of an unordered bulk write, by its place in it: the rest took effect. Any other failure is thrown as it is, a
 * write concern that was not met too.
 */
export async function bulkWriteFailures(
  write: Promise<unknown>,
): Promise<{ failures: ReadonlyMap<number, mongoose.mongo.MongoServerError>; matchedCount: number }> {
  try {
    const result = (await write) as Partial<mongoose.mongo.BulkWriteResult> | undefined
    return { failures: new Map(), matchedCount: result?.matchedCount ?? 0 }
  } catch (error) {
    if (!(error instanceof mongoose.mongo.MongoBulkWriteError)) throw error
    const failures = [error.writeErrors].flat()
    if (failures.length === 0 || error.result.getWriteConcernError()) throw error
    return {
      failures: new Map(
        failures.map(({ index, code, errmsg }) => [
          index,
          new mongoose.mongo.MongoServerError({ message: errmsg ?? '', code }),
        ]),
      ),
      matchedCount: error.result.matchedCount,
    }
  }
}

/** Of a duplicate key: whether the document itself is there already, under its `_id`. */
export const isDuplicateId = (error: mongoose.mongo.MongoServerError): boolean =>
  isDuplicateKey(error) && error.message.includes(' index: _id_ ')

// Server errors that say "not now" rather than "not so": time limits, elections, shutdown, write concern timeouts,
// locks, cursors and snapshots that are gone, operations whose session somebody has ended.
const passingCodes = new Set([
  6, 7, 24, 43, 46, 50, 64, 89, 91, 100, 112, 133, 134, 187, 189, 202, 237, 239, 246, 251, 262, 267, 290, 358,
  365, 384, 9001, 10058, 10107, 11600, 11601, 11602, 13435, 13436,
])

// Of the driver's own errors, which otherwise mean a mistake of ours, those that mean that the connection is closed.
const closedErrors = [
  mongoose.mongo.MongoNotConnectedError,
  mongoose.mongo.MongoTopologyClosedError,
  mongoose.mongo.MongoServerClosedError,
  mongoose.mongo.MongoExpiredSessionError,
]

/**
 * A failure of the socket as Node.js has it: the driver passes one on as it is if the other side hangs up while it
 * waits for a command to be written.
 */
export const isSocketError = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(E[A-Z]+|ERR_(SOCKET|STREAM)_\w+)$/.test(String(error.code))

/** Whether the database could not do it just now, rather than that it was not to be done. */
export function isUnavailable(thrown: unknown): boolean {
  const error = unwrapBulkError(thrown)
  if (isSocketError(error)) return true
  // The write is there, and may yet be rolled back.
  if (error instanceof mongoose.mongo.MongoWriteConcernError) return true
  if (error instanceof mongoose.mongo.MongoServerError) {
    return passingCodes.has(Number(error.code)) || hasLabel(error, 'TransientTransactionError')
  }
  if (closedErrors.some((type) => error instanceof type)) return true
  if (error instanceof mongoose.mongo.MongoError) return !(error instanceof mongoose.mongo.MongoAPIError)
  return error instanceof mongoose.MongooseError && error.name === 'MongooseServerSelectionError'
}

/**
 * Whether the transaction has ended without a commit, for no reason of its own: a write conflict, an election, a lost
 * connection. The driver labels these, but not what fails on a connection that it has already given up for another's
 * failure. That the commit's outcome is not known has a label of its own.
 */
export function isTransientAbort(thrown: unknown): boolean {
  const error = unwrapBulkError(thrown)
  if (isSocketError(error)) return true
  if (hasLabel(error, 'TransientTransactionError')) return true
  return (
    error instanceof mongoose.mongo.MongoNetworkError && !hasLabel(error, 'UnknownTransactionCommitResult')
  )
}

/**
 * A bulk write (`insertMany`, `bulkWrite`) wraps whatever stopped it into an error of the server without a code, a
 * connection that was cut too.
 */
function unwrapBulkError(error: unknown): unknown {
  const cause = error instanceof mongoose.mongo.MongoBulkWriteError ? error.errorResponse : undefined
  return cause instanceof mongoose.mongo.MongoError ? cause : error
}
