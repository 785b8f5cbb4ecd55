import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '#kernel/config/config-error.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Db, IndexDescription, IndexInDatabase } from './database.ts'
import { isDuplicateKey } from './errors.ts'

/** The definition of an index, as `createIndexes` takes it. */
export type Index = IndexDescription & { key: Readonly<Record<string, 1 | -1 | 'text'>> }

/** Indexes by the name of their collection. */
export type Indexes = Readonly<Record<string, readonly Index[]>>

const namespaceNotFound = 26
const unauthorized = 13
const listTimeoutMs = 15_000

/**
 * Creates the missing indexes. Indexes are compared by key and collation and not by name, because an operator may have
 * replaced one. A hidden index stays hidden, and a warning is logged, because operators hide an index to find out which
 * queries need it.
 *
 * @param isExpected whether the indexes have been created before. A missing index is then logged as a warning
 * @throws ConfigError if a unique index is no longer unique or covers other documents, if an index no longer lets
 * documents expire, or if the stored documents do not allow a unique index
 */
export async function createMissingIndexes(
  db: Db,
  indexes: Indexes,
  isExpected: boolean,
  logger: Logger,
): Promise<void> {
  for (const [collection, wanted] of Object.entries(indexes)) {
    const existing = await listIndexes(db, collection)
    const missing = wanted.filter((index) => !existing.some((found) => isSameIndex(found, index)))
    const where = { database: db.databaseName, collection }
    for (const index of wanted) {
      const candidates = existing.filter((candidate) => isSameIndex(candidate, index))
      const found = candidates.find((candidate) => !missingProperty(candidate, index)) ?? candidates.at(0)
      const property = found && missingProperty(found, index)
      if (found && property) throw new ConfigError([wrongIndex(db, collection, found, property)])
      if (found?.hidden) {
        const message = `an index is hidden, so that its queries are slow: db.${collection}.unhideIndex("${found.name}") makes it visible`
        logger.warn({ ...where, index: found.name }, message)
      }
    }
    if (missing.length === 0) continue
    if (isExpected) {
      const keys = missing.map(({ key }) => JSON.stringify(key))
      logger.warn({ ...where, keys }, 'indexes are missing and will be created again')
    }
    await createIndexes(db, collection, missing)
  }
}

async function listIndexes(db: Db, collection: string): Promise<IndexInDatabase[]> {
  try {
    return await db.collection(collection).indexes({ maxTimeMS: listTimeoutMs })
  } catch (error) {
    if ((error as { code?: unknown }).code !== namespaceNotFound) throw error
    return []
  }
}

// The server shows this key for every text index. A collection can have only one, and its weights name the fields.
const textKey = { _fts: 'text', _ftsx: 1 }

// The order of the keys matters. Only these two fields of the collation are compared, because the server adds defaults.
const isSameIndex = (found: IndexInDatabase, { key, weights, collation }: Index): boolean =>
  isDeepStrictEqual(Object.entries(found.key), Object.entries(weights ? textKey : key)) &&
  found.collation?.locale === collation?.locale &&
  found.collation?.strength === collation?.strength

/**
 * @returns the property that an index with the right key lacks. The time until documents expire is not compared,
 * because it is a setting.
 */
function missingProperty(found: IndexInDatabase, index: Index): string | undefined {
  if (index.unique && !found.unique) return 'be unique'
  if (index.unique && !isDeepStrictEqual(found.partialFilterExpression, index.partialFilterExpression)) {
    const { partialFilterExpression: filter } = index
    return filter
      ? `have the partialFilterExpression ${JSON.stringify(filter)}`
      : 'have no partialFilterExpression'
  }
  if (index.weights && !isDeepStrictEqual(found.weights, index.weights)) {
    return `have the weights ${JSON.stringify(index.weights)}`
  }
  if (index.expireAfterSeconds !== undefined && found.expireAfterSeconds === undefined) {
    return 'have expireAfterSeconds'
  }
  return undefined
}

async function createIndexes(db: Db, collection: string, indexes: readonly Index[]): Promise<void> {
  try {
    await db.collection(collection).createIndexes([...indexes])
  } catch (error) {
    const where = `${db.databaseName}.${collection}`
    if (isDuplicateKey(error)) {
      const fields = Object.keys(error.keyPattern ?? {}).join(', ')
      throw new ConfigError([
        `MONGODB_URI: ${where} has several documents with the same ${fields}, so that the unique index cannot be created: keep one document of each group, remove the others, and start again`,
      ])
    }
    if ((error as { code?: unknown }).code === unauthorized) {
      throw new ConfigError([
        `MONGODB_URI: ${where} lacks an index, and the account may not create it: grant the account createIndex there (role readWrite on ${db.databaseName})`,
      ])
    }
    throw error
  }
}

const wrongIndex = (db: Db, collection: string, { name }: IndexInDatabase, property: string): string =>
  `MONGODB_URI: the index "${name}" of ${db.databaseName}.${collection} must ${property}: drop it with db.${collection}.dropIndex("${name}"), and start again, which creates the right one`
