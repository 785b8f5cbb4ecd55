import type mongoose from 'mongoose'
import { mongo } from 'mongoose'
import { isTimeLimit, isUnavailable } from './errors.ts'

/** Documents to insert into a collection. A field that is undefined is left out. */
interface InsertCommand {
  insert: string
  documents: readonly mongo.Document[]
}

/** Updates of one document each. */
interface UpdateCommand {
  update: string
  updates: readonly {
    /** The filter. */
    q: mongo.Document
    u: mongo.Document
    hint?: mongo.Document
  }[]
}

export type WriteCommand = InsertCommand | UpdateCommand

interface CommandOptions {
  maxTimeMS: number
  session?: mongoose.ClientSession
}

interface WriteOptions extends CommandOptions {
  /** Whether the writes end with the first failure. */
  ordered: boolean
}

/** The writes of a command that did not fail have taken effect. */
interface WriteOutcome {
  /** The documents that were inserted, or that matched the filter of an update. */
  count: number
  /** The failures of single writes, by their position in the command. */
  failures: ReadonlyMap<number, mongo.MongoServerError>
}

interface WriteReply {
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
  { ordered, ...options }: WriteOptions,
): Promise<WriteOutcome> {
  const writes = { ...command, ordered }
  const concern = { writeConcern: { w: 'majority', j: true } }
  const sendOptions = { ...options, ignoreUndefined: true }
  const { n, writeErrors = [] } = (await send(connection, writes, concern, sendOptions)) as WriteReply
  const failures = writeErrors.map(
    ({ index, code, errmsg }) => [index, new mongo.MongoServerError({ message: errmsg, code })] as const,
  )
  return { count: n, failures: new Map(failures) }
}

// So many documents of 30 KiB fit into one answer, which has 16 MiB at most.
const maxIdsPerCommand = 500

/**
 * Reads the documents with these ids, in no order, as plain commands: a cursor of the driver takes more CPU time. An id without a document
 * is left out.
 * @throws Error if 500 of the documents are larger than an answer can be
 */
export async function findByIds<Document>(
  connection: mongoose.Connection,
  collection: string,
  ids: readonly unknown[],
  options: CommandOptions,
): Promise<Document[]> {
  const found: Document[] = []
  for (let at = 0; at < ids.length; at += maxIdsPerCommand) {
    const group = ids.slice(at, at + maxIdsPerCommand)
    // MongoDB executes a filter by one id and nothing else on a faster path.
    const filter = { _id: group.length === 1 ? group[0] : { $in: group } }
    // After exactly `batchSize` documents, mongos does not know yet that there is no further one.
    const command = { find: collection, filter, limit: group.length, batchSize: group.length + 1 }
    const { cursor } = await send(connection, command, { readConcern: { level: 'majority' } }, options)
    // Documents that are missing in the answer would be taken for documents that do not exist.
    if (Number(cursor.id) !== 0) throw new Error(`the documents of ${collection} do not fit into one answer`)
    found.push(...cursor.firstBatch)
  }
  return found
}

/** Updates one document, which it also reads, in a transaction. */
interface FindAndUpdateCommand {
  findAndModify: string
  query: mongo.Document
  update: mongo.Document | readonly mongo.Document[]
  hint?: mongo.Document
}

/**
 * Updates a document in a transaction.
 * @returns the document as it was before, or undefined if none matches
 */
export async function findAndUpdate<Document>(
  connection: mongoose.Connection,
  command: FindAndUpdateCommand,
  options: CommandOptions & { session: mongoose.ClientSession },
): Promise<Document | undefined> {
  const { value } = await send(connection, { ...command }, {}, options)
  return value ?? undefined
}

/** @param concern is left out in a transaction, which has its own */
async function send(
  connection: mongoose.Connection,
  command: mongo.Document,
  concern: mongo.Document,
  { maxTimeMS, session, ignoreUndefined = false }: CommandOptions & { ignoreUndefined?: boolean },
): Promise<mongo.Document> {
  const database = databaseOf(connection)
  const options = { ...(session && { session }), ignoreUndefined }
  if (session?.inTransaction()) return database.command({ ...command, maxTimeMS }, options)
  const until = performance.now() + maxTimeMS
  return database.command({ ...command, ...concern, maxTimeMS }, options).catch((error: unknown) => {
    const leftMs = Math.floor(until - performance.now())
    if (!wasInterrupted(error) || leftMs < 1) throw error
    return database.command({ ...command, ...concern, maxTimeMS: leftMs }, options)
  })
}

// The driver makes a new handle for each call of `db`, which takes some microseconds.
const handles = new WeakMap<mongoose.Connection, { client: mongo.MongoClient; database: mongo.Db }>()

function databaseOf(connection: mongoose.Connection): mongo.Db {
  const client = connection.getClient()
  const known = handles.get(connection)
  // A connection gets another client if the driver has dropped all its servers.
  if (known?.client === client) return known.database
  const database = client.db(connection.name)
  handles.set(connection, { client, database })
  return database
}

// The codes with which a server ends commands because it steps down or shuts down.
const stateChangeCodes = new Set([91, 189, 10107, 11600, 11602, 13435, 13436])

/** Whether a lost connection or an election has interrupted a command, so that it may be executed now. */
function wasInterrupted(error: unknown): boolean {
  if (error instanceof mongo.MongoWriteConcernError) return stateChangeCodes.has(Number(error.code))
  // The driver has waited for a server already.
  const hasNoServer = error instanceof mongo.MongoServerSelectionError
  return isUnavailable(error) && !isTimeLimit(error) && !hasNoServer
}
