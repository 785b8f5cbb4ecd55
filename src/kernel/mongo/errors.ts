import mongoose from 'mongoose'
import { isDomainError } from '#kernel/errors.ts'

/** Whether an error has a label. The server and the driver label errors to say how to handle them. */
export const hasLabel = (error: unknown, label: string): boolean =>
  error instanceof mongoose.mongo.MongoError && error.hasErrorLabel(label)

export const isDuplicateKey = (error: unknown): error is mongoose.mongo.MongoServerError =>
  error instanceof mongoose.mongo.MongoServerError && error.code === 11000

const indexNotFound = 27
const missingIndexMessage =
  /hint provided does not correspond to an existing index|need exactly one text index for \$text query/
const maxTimeExpired = 50
const snapshotUnavailable = 246

/** Whether a query failed because the index that it names (`hint`), or its text index, is missing or hidden. */
export const isMissingIndex = (error: unknown): boolean =>
  error instanceof mongoose.mongo.MongoServerError &&
  (error.code === indexNotFound || missingIndexMessage.test(error.message))

/** Whether the server ended an operation at its time limit (`maxTimeMS`). */
export const isTimeLimit = (error: unknown): boolean =>
  error instanceof mongoose.mongo.MongoServerError && error.code === maxTimeExpired

/**
 * Whether an operation failed as `dependency_unavailable` because its snapshot is older than the last change of a collection or of
 * its indexes. A later snapshot can succeed.
 */
export const isSnapshotUnavailable = (error: unknown): boolean =>
  isDomainError(error, 'dependency_unavailable') &&
  error.cause instanceof mongoose.mongo.MongoServerError &&
  error.cause.code === snapshotUnavailable

// Server errors that may not occur again on a later attempt: time limits, elections, shutdown, write concern timeouts, locks,
// lost cursors and snapshots, and operations of a killed session.
const transientCodes = new Set([
  6, 7, 24, 43, 46, 50, 64, 89, 91, 100, 112, 133, 134, 187, 189, 202, 237, 239, 246, 251, 262, 267, 290, 358,
  365, 384, 9001, 10058, 10107, 11600, 11601, 11602, 13435, 13436,
])

// The errors of the driver that mean a closed connection. Other subclasses of MongoAPIError mean a mistake in this
// program.
const closedErrors = [
  mongoose.mongo.MongoNotConnectedError,
  mongoose.mongo.MongoTopologyClosedError,
  mongoose.mongo.MongoServerClosedError,
  mongoose.mongo.MongoExpiredSessionError,
]

/**
 * Whether an error is Node.js's own socket error. The driver passes such an error on unchanged if the server closes the
 * connection while a command is being written.
 */
export const isSocketError = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(E[A-Z]+|ERR_(SOCKET|STREAM)_\w+)$/.test(String(error.code))

/** Whether an operation failed because the database is unavailable, and not because the operation was wrong. */
export function isUnavailable(error: unknown): boolean {
  if (isSocketError(error)) return true
  // The write was applied on the primary, and can still be rolled back.
  if (error instanceof mongoose.mongo.MongoWriteConcernError) return true
  if (error instanceof mongoose.mongo.MongoServerError) {
    return transientCodes.has(Number(error.code)) || hasLabel(error, 'TransientTransactionError')
  }
  if (closedErrors.some((type) => error instanceof type)) return true
  if (error instanceof mongoose.mongo.MongoError) return !(error instanceof mongoose.mongo.MongoAPIError)
  return error instanceof mongoose.MongooseError && error.name === 'MongooseServerSelectionError'
}

/**
 * Whether a transaction was aborted by a write conflict, an election or a lost connection, so that it can be repeated. The
 * driver labels such errors, except on a connection that it closed because of another operation's failure. An unknown outcome
 * of a commit has a different label.
 */
export function isTransientAbort(error: unknown): boolean {
  if (isSocketError(error)) return true
  if (hasLabel(error, 'TransientTransactionError')) return true
  return (
    error instanceof mongoose.mongo.MongoNetworkError && !hasLabel(error, 'UnknownTransactionCommitResult')
  )
}
