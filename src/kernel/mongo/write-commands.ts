import type mongoose from 'mongoose'
import { mongo } from 'mongoose'
import { isTimeLimit, isUnavailable } from './errors.ts'

/** Documents to insert into a collection. A field that is undefined is left out. */
interface InsertCommand {
  insert: string
  documents: readonly mongoose.mongo.Document[]
}

/** Updates of one document each. */
interface UpdateCommand {
  update: string
  updates: readonly {
    /** The filter. */
    q: mongoose.mongo.Document
    u: mongoose.mongo.Document
    hint?: mongoose.mongo.Document
  }[]
}

export type WriteCommand = InsertCommand | UpdateCommand

interface WriteOptions {
  maxTimeMS: number
  session?: mongoose.ClientSession
  /** Whether the writes end with the first failure. */
  ordered: boolean
}

/** The writes of a command that did not fail have taken effect. */
interface WriteOutcome {
  /** The documents that were inserted, or that matched the filter of an update. */
  count: number
  /** The failures of single writes, by their position in the command. */
  failures: ReadonlyMap<number, mongoose.mongo.MongoServerError>
}

const durable = { w: 'majority', j: true }

interface Reply {
  n: number
  writeErrors?: readonly { index: number; code: number; errmsg: string }[]
}

/**
 * Sends writes to a collection as one command, which must be smaller than 16 MiB. `insertMany` and `bulkWrite` of the driver take more
 * CPU time: they measure each write before they serialize it, and they make it a retryable write, of which the server keeps a
 * record. Outside a transaction, a command that a lost connection or an election has interrupted is therefore sent a second
 * time here, so that the writes must be safe to repeat.
 * @throws every error that is not the failure of a single write, and also a write concern that was not met
 */
export async function sendWrites(
  connection: mongoose.Connection,
  command: WriteCommand,
  { maxTimeMS, session, ordered }: WriteOptions,
): Promise<WriteOutcome> {
  const database = connection.getClient().db(connection.name)
  const options = { ...(session && { session }), ignoreUndefined: true }
  const send = (request: mongoose.mongo.Document) =>
    database.command({ ...command, ordered, ...request }, options) as unknown as Promise<Reply>
  const until = performance.now() + maxTimeMS
  const sendAgain = (error: unknown) => {
    const leftMs = Math.floor(until - performance.now())
    if (!wasInterrupted(error) || leftMs < 1) throw error
    return send({ maxTimeMS: leftMs, writeConcern: durable })
  }
  const { n, writeErrors = [] } = session?.inTransaction()
    ? await send({ maxTimeMS })
    : await send({ maxTimeMS, writeConcern: durable }).catch(sendAgain)
  const failures = writeErrors.map(
    ({ index, code, errmsg }) => [index, new mongo.MongoServerError({ message: errmsg, code })] as const,
  )
  return { count: n, failures: new Map(failures) }
}

/** Whether the server may not have executed a command, and another server may do so now. */
const wasInterrupted = (error: unknown): boolean =>
  isUnavailable(error) && !isTimeLimit(error) && !(error instanceof mongo.MongoWriteConcernError)
