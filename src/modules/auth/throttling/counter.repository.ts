import type mongoose from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Rate } from '#kernel/config/values.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isDuplicateKey } from '#kernel/mongo/errors.ts'
import type { Count } from './count.ts'

/** Replicas of earlier versions use the same documents (rate-limiter-flexible's format). */
interface CounterDocument {
  key: string
  points: number
  expire: Date
}

// A locked key has so many points that it stays locked when events are subtracted.
const minLockedPoints = 1_000_000_000
const lockedPoints = 2 * minLockedPoints

const countOf = ({ points, expire }: CounterDocument): Count => ({
  count: points,
  isLocked: points >= minLockedPoints,
  until: expire.getTime(),
})

export type CounterRepository = ReturnType<typeof createCounterRepository>

/**
 * Counters that all replicas share. A count lasts for `withinMs` from its first event. MongoDB deletes an expired counter up to
 * a minute later, so each query compares `expire` itself.
 * @param name separates the keys of this counter from the keys of others
 */
export function createCounterRepository(
  database: Database,
  name: string,
  { withinMs }: Pick<Rate, 'withinMs'>,
) {
  const counters = database.connection.collection<CounterDocument>('throttles')
  const storedKey = (key: string) => `${name}:${key}`

  /** Adds an event to the current count, or starts a new count with it, in one atomic update. */
  const addOnce = (key: string, call: Call) =>
    database.run('counters.add', call, (maxTimeMS) => {
      const isCurrent = { $gt: ['$expire', new Date()] }
      const points = { $cond: [isCurrent, { $add: ['$points', 1] }, 1] }
      const expire = { $cond: [isCurrent, '$expire', new Date(Date.now() + withinMs)] }
      const options = { upsert: true, returnDocument: 'after', maxTimeMS } as const
      return counters.findOneAndUpdate({ key: storedKey(key) }, [{ $set: { points, expire } }], options)
    })

  const update = (
    filter: mongoose.mongo.Filter<CounterDocument>,
    change: mongoose.mongo.UpdateFilter<CounterDocument>,
    call: Call,
    upsert = false,
  ) =>
    database.run('counters.update', call, (maxTimeMS) =>
      counters.updateOne(filter, change, { upsert, maxTimeMS }),
    )

  return {
    /** @returns undefined if nothing has been counted, or the count has expired */
    async read(key: string, call: Call): Promise<Count | undefined> {
      const current = { key: storedKey(key), expire: { $gt: new Date() } }
      const counter = await database.run('counters.find', call, (maxTimeMS) =>
        counters.findOne(current, { maxTimeMS }),
      )
      return counter ? countOf(counter) : undefined
    },

    /** @returns the count with this event */
    async add(key: string, call: Call): Promise<Count> {
      const counter = await addOnce(key, call).catch((error: unknown) => {
        // Another request has inserted the counter at the same time, so that it exists now.
        if (isDuplicateKey(error)) return addOnce(key, call)
        throw error
      })
      if (!counter) throw new Error('an upsert returned no document')
      return countOf(counter)
    },

    /** Subtracts one event from its count. If that count has expired, nothing happens, because later events are in another count. */
    async subtract(key: string, { until }: Count, call: Call): Promise<void> {
      await update({ key: storedKey(key), expire: { $lte: new Date(until) } }, { $inc: { points: -1 } }, call)
    },

    async set(key: string, points: number, keptForMs: number, call: Call): Promise<void> {
      const expire = new Date(Date.now() + keptForMs)
      await update({ key: storedKey(key) }, { $set: { points, expire } }, call, true)
    },

    /** Locks a key that has a count. @returns false if it is locked already, also by a call at the same time */
    async lock(key: string, lockoutMs: number, call: Call): Promise<boolean> {
      const unlocked = { key: storedKey(key), points: { $lt: minLockedPoints } }
      const expire = new Date(Date.now() + lockoutMs)
      const { modifiedCount } = await update(unlocked, { $set: { points: lockedPoints, expire } }, call)
      return modifiedCount === 1
    },
  }
}
