import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Indexes, makeMissing } from './indexes.ts'
import type { Logger } from './logger.ts'
import type { Db, Mongo } from './mongo.ts'
import { isDuplicateKey } from './mongo-errors.ts'

/** Indexes and schema changes of a module, which old and new replicas both live with. */
export interface Migration {
  /** Unique in its module, never changed once released. */
  name: string
  /**
   * Made before `up`, and again at a later start if one is missing then, as after a restore without indexes. A migration
   * that drops one also takes it out of the list of the one that made it.
   */
  indexes?: Indexes
  /** Safe to repeat: a process may die between its end and the note that it was done. */
  up?(db: Db): Promise<void>
}

const namespaceExists = 48

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
  mongo.unhurried(module, (db) =>
    underLock(db, signal, async () => {
      await applyMissing(db, migrations, logger)
      return prepare()
    }),
  )

interface LockDocument {
  _id: string
  owner: string
  until: Date
}

const lockLease = 15_000
const lockPatience = 600_000

/** A lease, renewed while `work` runs: a holder that dies delays the others by no more than the lease. */
async function underLock<T>(db: Db, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const locks = db.collection<LockDocument>('locks')
  const owner = randomUUID()
  const until = () => new Date(Date.now() + lockLease)
  const patience = Date.now() + lockPatience
  for (;;) {
    try {
      const free = { _id: 'migrations', until: { $lt: new Date() } }
      await locks.updateOne(free, { $set: { owner, until: until() } }, { upsert: true, maxTimeMS: lockLease })
      break
    } catch (error) {
      if (!isDuplicateKey(error)) throw error
      if (Date.now() > patience)
        throw new Error(`the migration lock was not released within ${lockPatience} ms`)
      await sleep(50, undefined, { signal }).catch((cause: unknown) => {
        throw new Error('another process is migrating this database: gave up waiting for it', { cause })
      })
    }
  }
  const renewal = setInterval(() => {
    // A renewal that fails leaves a lease that ends early; migrations are written to be safe when repeated.
    locks
      .updateOne({ _id: 'migrations', owner }, { $set: { until: until() } }, { maxTimeMS: lockLease })
      .catch(() => undefined)
  }, lockLease / 3)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await locks.deleteOne({ _id: 'migrations', owner }, { maxTimeMS: lockLease })
  }
}

async function applyMissing(db: Db, migrations: readonly Migration[], logger: Logger): Promise<void> {
  const applied = db.collection<{ _id: string; at: Date }>('migrations')
  const known = await applied.find({}, { maxTimeMS: lockLease }).toArray()
  const done = new Set(known.map((migration) => migration._id))
  for (const migration of migrations) {
    const isDone = done.has(migration.name)
    if (migration.indexes) await makeMissing(db, migration.indexes, isDone, logger)
    if (isDone) continue
    await migration.up?.(db)
    const note = { $set: { at: new Date() } }
    await applied.updateOne({ _id: migration.name }, note, { upsert: true, maxTimeMS: lockLease })
    logger.info({ database: db.databaseName, migration: migration.name }, 'migration applied')
  }
}
