import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from './database.ts'
import { isDuplicateKey } from './errors.ts'

interface LeaseDocument {
  _id: string
  owner: string
  until: Date
}

export const leaseMs = 15_000
const maxWaitMs = 600_000
const retryMs = 50

const leasesOf = (db: Db) => db.collection<LeaseDocument>('locks')
const leaseEnd = () => new Date(Date.now() + leaseMs)

/**
 * Runs `work` while this process holds the migration lease of a database. The lease is renewed while `work` runs, so that a
 * process that dies delays the others by at most 15 s.
 * @throws Error if another process holds the lease for ten minutes, or until the signal aborts
 */
export async function withLease<T>(
  db: Db,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const leases = leasesOf(db)
  const lease = { _id: 'migrations', owner: randomUUID() }
  await acquire(leases, lease, signal)
  const renewal = setInterval(() => {
    // If a renewal fails, the lease ends early. That is harmless, because migrations are safe to repeat.
    leases.updateOne(lease, { $set: { until: leaseEnd() } }, { maxTimeMS: leaseMs }).catch(() => undefined)
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await leases.deleteOne(lease, { maxTimeMS: leaseMs })
  }
}

/**
 * Waits until the lease is free, and takes it. While another process holds the lease, the upsert tries to insert a
 * second document with the same id, and fails with a duplicate key.
 */
async function acquire(
  leases: ReturnType<typeof leasesOf>,
  { _id, owner }: Pick<LeaseDocument, '_id' | 'owner'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const giveUpAt = Date.now() + maxWaitMs
  for (;;) {
    try {
      const expired = { _id, until: { $lt: new Date() } }
      const taken = { $set: { owner, until: leaseEnd() } }
      await leases.updateOne(expired, taken, { upsert: true, maxTimeMS: leaseMs })
      return
    } catch (error) {
      if (!isDuplicateKey(error)) throw error
      if (Date.now() > giveUpAt)
        throw new Error(`the migration lease was not released within ${maxWaitMs} ms`)
      await sleep(retryMs, undefined, { signal }).catch((cause: unknown) => {
        throw new Error(
          'another process is migrating this database, and this process no longer waits for it',
          { cause },
        )
      })
    }
  }
}
