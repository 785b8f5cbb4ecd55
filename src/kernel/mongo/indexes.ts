import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '#kernel/config/config-error.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Db, IndexDescription, IndexInDatabase } from './database.ts'
import { isDuplicateKey } from './errors.ts'

/** What an index is to be: as `createIndexes` takes it. */
export type Index = IndexDescription & { key: Readonly<Record<string, 1 | -1>> }

/** Indexes by the name of their collection. */
export type Indexes = Readonly<Record<string, readonly Index[]>>

const namespaceNotFound = 26
const unauthorized = 13
// Milliseconds to list the indexes of one collection.
const longestLook = 15_000

/**
 * Makes those indexes that are not there. An index counts as there under any name, by its key and collation: an operator
 * may have replaced it. One that is hidden is left hidden, and a warning says so: hiding is how operators try what an
 * index is for.
 *
 * @param isExpected whether each was made before: to find one missing is worth a warning then
 * @throws ConfigError if a unique index is not unique any more or covers other documents, if an index that lets documents
 *   expire does so no more, or if one cannot be made because of what is stored
 */
export async function createMissingIndexes(
  db: Db,
  indexes: Indexes,
  isExpected: boolean,
  logger: Logger,
): Promise<void> {
  for (const [collection, wanted] of Object.entries(indexes)) {
    const there = await existing(db, collection)
    const missing = wanted.filter((index) => !there.some((found) => isSame(found, index)))
    const where = { database: db.databaseName, collection }
    for (const index of wanted) {
      const candidates = there.filter((candidate) => isSame(candidate, index))
      const found = candidates.find((candidate) => !lacks(candidate, index)) ?? candidates.at(0)
      const lack = found && lacks(found, index)
      if (found && lack) throw new ConfigError([unfit(db, collection, found, lack)])
      if (found?.hidden) {
        const message = `an index is hidden, and what needs it is slow: db.${collection}.unhideIndex("${found.name}") shows it`
        logger.warn({ ...where, index: found.name }, message)
      }
    }
    if (missing.length === 0) continue
    if (isExpected) {
      const keys = missing.map(({ key }) => key)
      logger.warn({ ...where, keys }, 'indexes are missing: making them again')
    }
    await make(db, collection, missing)
  }
}

async function existing(db: Db, collection: string): Promise<IndexInDatabase[]> {
  try {
    return await db.collection(collection).indexes({ maxTimeMS: longestLook })
  } catch (error) {
    if ((error as { code?: unknown }).code !== namespaceNotFound) throw error
    return []
  }
}

// Key order counts, and collation as far as it was asked for: the server adds its defaults.
const isSame = (found: IndexInDatabase, { key, collation }: Index): boolean =>
  isDeepStrictEqual(Object.entries(found.key), Object.entries(key)) &&
  found.collation?.locale === collation?.locale &&
  found.collation?.strength === collation?.strength

/** What an index of the right key does not do, as `unfit` says it. How soon documents expire is a setting. */
function lacks(found: IndexInDatabase, index: Index): string | undefined {
  if (index.unique && !found.unique) return 'be unique'
  if (index.unique && !isDeepStrictEqual(found.partialFilterExpression, index.partialFilterExpression)) {
    const { partialFilterExpression: filter } = index
    return filter
      ? `have the partialFilterExpression ${JSON.stringify(filter)}`
      : 'have no partialFilterExpression'
  }
  if (index.expireAfterSeconds !== undefined && found.expireAfterSeconds === undefined) {
    return 'have expireAfterSeconds'
  }
  return undefined
}

async function make(db: Db, collection: string, indexes: readonly Index[]): Promise<void> {
  try {
    await db.collection(collection).createIndexes([...indexes])
  } catch (error) {
    const where = `${db.databaseName}.${collection}`
    if (isDuplicateKey(error)) {
      const fields = Object.keys(error.keyPattern ?? {}).join(', ')
      throw new ConfigError([
        `MONGODB_URI: ${where} has documents that are the same in ${fields}, so that the unique index of it cannot be made: remove all but one of each, and start again`,
      ])
    }
    if ((error as { code?: unknown }).code === unauthorized) {
      throw new ConfigError([
        `MONGODB_URI: ${where} lacks an index, and the account may not make it: grant it createIndex there (role readWrite on ${db.databaseName})`,
      ])
    }
    throw error
  }
}

const unfit = (db: Db, collection: string, { name }: IndexInDatabase, lack: string): string =>
  `MONGODB_URI: the index "${name}" of ${db.databaseName}.${collection} must ${lack}: drop it with db.${collection}.dropIndex("${name}"), and start again, which makes the right one`
