import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from './database.ts'
import { isDuplicateKey } from './errors.ts'

interface LockDocument {
  _id: string
  owner: string
  until: Date
}

export const leaseMs = 15_000
const lockPatience = 600_000

/** A lease, renewed while `work` runs: a holder that dies delays the others by no more than the lease. */
export async function withLease<T>(
  db: Db,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const locks = db.collection<LockDocument>('locks')
  const owner = randomUUID()
  const until = () => new Date(Date.now() + leaseMs)
  const patience = Date.now() + lockPatience
  for (;;) {
    try {
      const free = { _id: 'migrations', until: { $lt: new Date() } }
      await locks.updateOne(free, { $set: { owner, until: until() } }, { upsert: true, maxTimeMS: leaseMs })
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
      .updateOne({ _id: 'migrations', owner }, { $set: { until: until() } }, { maxTimeMS: leaseMs })
      .catch(() => undefined)
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await locks.deleteOne({ _id: 'migrations', owner }, { maxTimeMS: leaseMs })
  }
}
