import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '#kernel/config/config-error.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Mongo } from './connection.ts'
import type { Db } from './database.ts'
import { createMissingIndexes, type Index, type Indexes } from './indexes.ts'
import { leaseMs, withLease } from './lease.ts'

/** One change of a module's indexes or documents. Old and new replicas must both work with the result. */
export interface Migration {
  /** Unique in its module, and never changed after a release. */
  name: string
  /**
   * The name of the migration that a version must know to work with the data after this migration. Without `needs`,
   * every older version works. With the migration's own name, no older version works. The last step of "expand and
   * contract" sets it (docs/migrations.md).
   */
  needs?: string
  /**
   * Created before `up`, and again at a later start if one is missing, for example after a restore without indexes. A migration
   * that drops an index must also remove it from the list of the migration that created it.
   */
  indexes?: Indexes
  /** Must be safe to repeat: a process may die after `up` and before the migration is recorded. */
  up?(db: Db): Promise<void>
}

/** The record of an applied migration, which newer and older versions read. */
interface MigrationRecord {
  _id: string
  at: Date
  /** `Migration.needs`, or null if every older version works. Versions before this field left it out. */
  needs?: string | null
}

const namespaceExists = 48
// These bounds limit the message, because another program may have left any number of records, with names of any
// length.
const maxListedRecords = 20
const maxNameLength = 60

/** @returns the names of at most 20 migrations that this version does not know and cannot work with */
async function incompatibleMigrations(db: Db, migrations: readonly Migration[]): Promise<string[]> {
  const names = migrations.map(({ name }) => name)
  const unknown = { _id: { $nin: names }, needs: { $nin: [null, ...names] } }
  const unmarked = { _id: { $nin: names }, needs: { $exists: false } }
  const found = await db
    .collection<MigrationRecord>('migrations')
    .find(
      { $or: [unknown, unmarked] },
      { maxTimeMS: leaseMs, limit: maxListedRecords, projection: { _id: 1 } },
    )
    .sort({ _id: 1 })
    .toArray()
  return found.map(({ _id }) => String(_id).slice(0, maxNameLength))
}

/**
 * Refuses databases that a newer, incompatible version has migrated.
 * @throws ConfigError that names the migrations
 */
export async function refuseNewerData(
  mongo: Pick<Mongo, 'database'>,
  modules: readonly { name: string; migrations: readonly Migration[] }[],
): Promise<void> {
  const faults = await Promise.all(
    modules.map(async ({ name, migrations }) => {
      const { db } = mongo.database(name).connection
      return db ? newerDataFaults(db, migrations) : []
    }),
  )
  if (faults.flat().length > 0) throw new ConfigError(faults.flat())
}

async function newerDataFaults(db: Db, migrations: readonly Migration[]): Promise<string[]> {
  const names = await incompatibleMigrations(db, migrations)
  if (names.length === 0) return []
  return [
    `MONGODB_DATABASE: ${db.databaseName} has migrations that this version does not know and cannot work with: ${names.join(', ')}. Start the version that applied them, or a later one; or restore a backup from before them. If another program owns this database, set MONGODB_DATABASE to an unused name`,
  ]
}

/**
 * Creates a collection unless it exists. Other processes may create it at the same time. A collection that transactions write
 * to must be created like this, because creating it inside a transaction conflicts with other transactions.
 */
export async function ensureCollection(db: Db, name: string): Promise<void> {
  try {
    await db.createCollection(name)
  } catch (error) {
    if ((error as { code?: unknown }).code !== namespaceExists) throw error
  }
}

/** Drops the index with this key, if there is one. */
export async function dropIndex(db: Db, collection: string, key: Index['key']): Promise<void> {
  const indexes = await db.collection(collection).indexes({ maxTimeMS: leaseMs })
  const found = indexes.find((index) => isDeepStrictEqual(Object.entries(index.key), Object.entries(key)))
  if (found?.name !== undefined) await db.collection(collection).dropIndex(found.name, { maxTimeMS: leaseMs })
}

/**
 * Applies a module's missing migrations and runs `prepare`, both under a lease of the module's database. If several replicas
 * start at once, one does the work and the others wait.
 * @returns the result of `prepare`
 * @throws ConfigError as `refuseNewerData` and `createMissingIndexes`
 */
export const migrate = <T>(
  mongo: Mongo,
  module: string,
  migrations: readonly Migration[],
  prepare: () => Promise<T>,
  logger: Logger,
  signal?: AbortSignal,
): Promise<T> =>
  mongo.withLongTimeout(module, (db) =>
    withLease(db, signal, async () => {
      await applyMissingMigrations(db, migrations, logger)
      return prepare()
    }),
  )

async function applyMissingMigrations(
  db: Db,
  migrations: readonly Migration[],
  logger: Logger,
): Promise<void> {
  // A newer process may have migrated the database since the first check.
  const faults = await newerDataFaults(db, migrations)
  if (faults.length > 0) throw new ConfigError(faults)
  const records = db.collection<MigrationRecord>('migrations')
  const names = migrations.map(({ name }) => name)
  const found = await records.find({ _id: { $in: names } }, { maxTimeMS: leaseMs }).toArray()
  const done = new Set(found.map(({ _id }) => _id))
  for (const migration of migrations) {
    const isDone = done.has(migration.name)
    if (migration.indexes) await createMissingIndexes(db, migration.indexes, isDone, logger)
    if (isDone) continue
    await migration.up?.(db)
    const record = { $set: { at: new Date(), needs: migration.needs ?? null } }
    await records.updateOne({ _id: migration.name }, record, { upsert: true, maxTimeMS: leaseMs })
    logger.info({ database: db.databaseName, migration: migration.name }, 'migration applied')
  }
}
