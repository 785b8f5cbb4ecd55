import { RateLimiterMongo, type RateLimiterRes } from 'rate-limiter-flexible'
import type { Call } from '#kernel/call.ts'
import type { Rate } from '#kernel/config/values.ts'

import type { Database } from '#kernel/mongo/database.ts'
import type { Count } from './count.ts'

const collection = 'throttles'
// Milliseconds for one command; whoever waits for it has a deadline besides.
const maxTimeMS = 2_000
// What is locked has more than any rate allows, by so much that nothing that is taken back makes a difference.
const lockedFrom = 1_000_000_000
const locked = 2 * lockedFrom

export type CounterRepository = ReturnType<typeof createCounterRepository>

/** Counters that replicas share: each counts from its first event on for `withinMs`, then from zero. */
export function createCounterRepository(
  database: Database,
  name: string,
  { withinMs }: Pick<Rate, 'withinMs'>,
) {
  const native = database.connection.collection(collection)
  const counters = new RateLimiterMongo({
    // It would send its commands without a time limit.
    storeClient: {
      collection: () => ({
        findOneAndUpdate: (filter: object, update: object, options: object) =>
          native.findOneAndUpdate(filter, update, { ...options, maxTimeMS }),
        findOne: (filter: object) => native.findOne(filter, { maxTimeMS }),
      }),
    },
    tableName: collection,
    disableIndexesCreation: true,
    keyPrefix: name,
    points: 1,
    duration: withinMs / 1_000,
  })
  const countOf = ({ consumedPoints, msBeforeNext }: RateLimiterRes): Count => ({
    count: consumedPoints,
    isLocked: consumedPoints >= lockedFrom,
    until: Date.now() + msBeforeNext,
  })

  return {
    /** @returns undefined if nothing has been counted, or it is forgotten */
    async read(key: string, call: Call): Promise<Count | undefined> {
      const found = await database.run(call, () => counters.get(key))
      return found ? countOf(found) : undefined
    },

    /** @returns what has been counted, this one included */
    add: async (key: string, call: Call): Promise<Count> =>
      countOf(await database.run(call, () => counters.penalty(key, 1))),

    /** Takes back what was counted once, unless it is forgotten: what is counted since then is another's. */
    async subtract(key: string, { until }: Count, call: Call): Promise<void> {
      const counted = { key: counters.getKey(key), expire: { $lte: new Date(until) } }
      await database.run(call, () => native.updateOne(counted, { $inc: { points: -1 } }, { maxTimeMS }))
    },

    async set(key: string, count: number, milliseconds: number, call: Call): Promise<void> {
      await database.run(call, () => counters.set(key, count, milliseconds / 1_000))
    },

    /** Of what has been counted. @returns false if it is locked already: of several that do it at once, one does */
    async lock(key: string, milliseconds: number, call: Call): Promise<boolean> {
      const counted = { key: counters.getKey(key), points: { $lt: lockedFrom } }
      const expire = new Date(Date.now() + milliseconds)
      const { modifiedCount } = await database.run(call, () =>
        native.updateOne(counted, { $set: { points: locked, expire } }, { maxTimeMS }),
      )
      return modifiedCount === 1
    },
  }
}
