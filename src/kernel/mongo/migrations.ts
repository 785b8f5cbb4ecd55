import { ConfigError } from '#kernel/config/config-error.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Mongo } from './connection.ts'
import type { Db } from './database.ts'
import { createMissingIndexes, type Indexes } from './indexes.ts'
import { leaseMs, withLease } from './lease.ts'

/** Indexes and schema changes of a module, which old and new replicas both live with. */
export interface Migration {
  /** Unique in its module, never changed once released. */
  name: string
  /**
   * The name of the migration that a program has to know to go on with what this one leaves. Without it any older program
   * goes on; with its own name none does. It is for the last step of "expand and contract" (docs/migrations.md).
   */
  needs?: string
  /**
   * Made before `up`, and again at a later start if one is missing then, as after a restore without indexes. A migration
   * that drops one also takes it out of the list of the one that made it.
   */
  indexes?: Indexes
  /** Safe to repeat: a process may die between its end and the note that it was done. */
  up?(db: Db): Promise<void>
}

/** What a database keeps of an applied migration, for the programs that come after, newer and older ones. */
interface MigrationRecord {
  _id: string
  at: Date
  /** As `Migration.needs`, null where any older program goes on. Programs of before this field left it out. */
  needs?: string | null
}

const namespaceExists = 48
// Of another program's notes there may be any number, of any length.
const mostNotes = 20
const longestName = 60

/**
 * The notes of migrations that this program does not know, and that it may not go on with.
 * @returns their names, at most 20
 */
async function notesInTheWay(db: Db, migrations: readonly Migration[]): Promise<string[]> {
  const names = migrations.map(({ name }) => name)
  const unknown = { _id: { $nin: names }, needs: { $nin: [null, ...names] } }
  const unmarked = { _id: { $nin: names }, needs: { $exists: false } }
  const found = await db
    .collection<MigrationRecord>('migrations')
    .find({ $or: [unknown, unmarked] }, { maxTimeMS: leaseMs, limit: mostNotes, projection: { _id: 1 } })
    .sort({ _id: 1 })
    .toArray()
  return found.map(({ _id }) => String(_id).slice(0, longestName))
}

/**
 * Looks whether a newer program has been at work in one of the modules' databases, with which this one cannot share them.
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
  const names = await notesInTheWay(db, migrations)
  if (names.length === 0) return []
  return [
    `MONGODB_DATABASE: ${db.databaseName} has migrations that this version does not know and cannot work with: ${names.join(', ')}. Start the version that applied them, or a later one; or restore a backup from before them. If another program owns this database, set MONGODB_DATABASE to a name that is free`,
  ]
}

/**
 * Creates a collection unless it is there, whoever creates it at the same time. For those that a transaction writes to:
 * creating one inside of it conflicts with others.
 */
export async function ensureCollection(db: Db, name: string): Promise<void> {
  try {
    await db.createCollection(name)
  } catch (error) {
    if ((error as { code?: unknown }).code !== namespaceExists) throw error
  }
}

/**
 * Applies what is missing of a module's migrations, then runs `prepare`, both under a lock of the module's database: of
 * many replicas that start together one does the work and the others wait for it.
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
      await applyMissing(db, migrations, logger)
      return prepare()
    }),
  )

async function applyMissing(db: Db, migrations: readonly Migration[], logger: Logger): Promise<void> {
  // Again: a newer process may have been here since the first look.
  const faults = await newerDataFaults(db, migrations)
  if (faults.length > 0) throw new ConfigError(faults)
  const applied = db.collection<MigrationRecord>('migrations')
  const names = migrations.map(({ name }) => name)
  const known = await applied.find({ _id: { $in: names } }, { maxTimeMS: leaseMs }).toArray()
  const done = new Set(known.map((migration) => migration._id))
  for (const migration of migrations) {
    const isDone = done.has(migration.name)
    if (migration.indexes) await createMissingIndexes(db, migration.indexes, isDone, logger)
    if (isDone) continue
    await migration.up?.(db)
    const note = { $set: { at: new Date(), needs: migration.needs ?? null } }
    await applied.updateOne({ _id: migration.name }, note, { upsert: true, maxTimeMS: leaseMs })
    logger.info({ database: db.databaseName, migration: migration.name }, 'migration applied')
  }
}
