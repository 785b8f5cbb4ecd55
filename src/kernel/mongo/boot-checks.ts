import mongoose from 'mongoose'
import { ConfigError } from '#kernel/config/config-error.ts'
import type { Logger } from '#kernel/logger.ts'
import { atlasError, oldestVersion, tooOld } from './deployment-faults.ts'
import { isUnavailable } from './errors.ts'

const checkTimeoutMs = 2_000
const maxTransactionSeconds = 10

const unauthorized = 13
const writeConflict = 112

/**
 * Waiting does not repair a URI that the driver cannot parse. The driver's message is not repeated, because it quotes parts
 * of the URI: the password, for example, if `@host` is missing.
 * @throws ConfigError
 */
export function refuseInvalidUri(uri: string): void {
  try {
    new mongoose.mongo.MongoClient(uri)
  } catch {
    throw new ConfigError([
      'MONGODB_URI is not valid: it must be mongodb://user:password@host/?option=value, with options that the driver knows; in user and password every character except letters, digits and - . _ ~ must be percent-encoded',
    ])
  }
}

/** @throws ConfigError if the server is older than version 6, even if it speaks a newer wire protocol */
export async function refuseOldVersion(connection: mongoose.Connection): Promise<void> {
  const buildInfo = { buildInfo: 1, maxTimeMS: checkTimeoutMs }
  const { version } = (await connection.db?.admin().command(buildInfo)) ?? {}
  if (typeof version !== 'string' || !(Number.parseInt(version, 10) < oldestVersion)) return
  throw new ConfigError([tooOld(`${connection.host}:${connection.port}`, version)])
}

/** Warns if the server keeps the locks of a killed process for longer than 10 s. */
export async function warnOfLongTransactions(connection: mongoose.Connection, logger: Logger): Promise<void> {
  const parameter = 'transactionLifetimeLimitSeconds'
  try {
    const answer = await connection.db
      ?.admin()
      .command({ getParameter: 1, [parameter]: 1, maxTimeMS: checkTimeoutMs })
    const seconds = Number(answer?.[parameter])
    if (seconds > maxTransactionSeconds) {
      logger.warn(
        { [parameter]: seconds },
        `MongoDB keeps the locks of a killed process for ${seconds} s: set ${parameter} to ${maxTransactionSeconds} or less`,
      )
    }
  } catch (error) {
    logger.debug({ err: error }, 'the MongoDB account may not read server parameters')
  }
}

/** @throws ConfigError if the account may not write to each database in a transaction */
export async function verifyWriteAccessToAll(connections: readonly mongoose.Connection[]): Promise<void> {
  const results = await Promise.allSettled(connections.map(verifyWriteAccess))
  const failures = results.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
  const faults = failures.flatMap((failure) => (failure instanceof ConfigError ? failure.faults : []))
  if (faults.length > 0) throw new ConfigError([...new Set(faults)])
  if (failures.length > 0) throw failures[0]
}

/**
 * Writes to a database inside a transaction and aborts it, so that nothing is stored.
 * @throws ConfigError if the account may not do that, or if the server always refuses such a transaction
 */
async function verifyWriteAccess(connection: mongoose.Connection): Promise<void> {
  const session = await connection.startSession()
  try {
    session.startTransaction({ readConcern: { level: 'snapshot' }, readPreference: 'primary' })
    await connection
      .collection<{ _id: string }>('locks')
      .updateOne(
        { _id: 'tried' },
        { $set: { at: new Date() } },
        { upsert: true, session, maxTimeMS: checkTimeoutMs },
      )
    await session.abortTransaction()
  } catch (error) {
    // Another process is writing the same document now, which proves that the database accepts writes.
    if (error instanceof mongoose.mongo.MongoServerError && error.code === writeConflict) return
    if (isUnavailable(error)) throw error
    throw (
      unauthorizedFault(error, connection) ??
      new ConfigError([
        `MONGODB_URI: MongoDB refuses a transaction that writes to ${connection.name}: ${(error as Error).message}`,
      ])
    )
  } finally {
    await session.endSession()
  }
}

/** @returns the message for an operator if the account lacks a privilege, or undefined for any other error */
export function unauthorizedFault(error: unknown, connection: mongoose.Connection): ConfigError | undefined {
  if (!(error instanceof mongoose.mongo.MongoServerError)) return undefined
  if (![unauthorized, atlasError].includes(Number(error.code))) return undefined
  // The server's message contains the whole command: only its name is kept.
  const reason = error.message.replace(/ \{ (\w+):.*/s, ' $1')
  const [, database = 'each database'] = reason.match(/not authorized on (\S+)/) ?? []
  return new ConfigError([
    connection.getClient().options.credentials === undefined
      ? `MONGODB_URI names no user, and MongoDB requires one (${reason}): set it to mongodb://user:password@host/...`
      : `MONGODB_URI: the account lacks a privilege (${reason}): grant it the roles readWrite and dbAdmin on ${database}`,
  ])
}
