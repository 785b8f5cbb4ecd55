import { RateLimiterMongo } from 'rate-limiter-flexible'
import type { Call } from '../../kernel/call.ts'
import type { Rate } from '../../kernel/config.ts'
import type { Database } from '../../kernel/mongo.ts'

const collection = 'throttles'
// Milliseconds for one command; whoever waits for it has a deadline besides.
const maxTimeMS = 2_000

/** What has been counted under a key, and for how many milliseconds it goes on counting. */
export interface Count {
  count: number
  remaining: number
}

export type CounterRepository = ReturnType<typeof createCounterRepository>

/** Counters that replicas share: each counts from its first event on for `within` milliseconds, then from zero. */
export function createCounterRepository(database: Database, name: string, { within }: Pick<Rate, 'within'>) {
  const native = database.connection.collection(collection)
  const counters = new RateLimiterMongo({
    // It would send its commands without a time limit.
    storeClient: {
      collection: () => ({
        findOneAndUpdate: (filter: object, update: object, options: object) =>
          native.findOneAndUpdate(filter, update, { ...options, maxTimeMS }),
        findOne: (filter: object) => native.findOne(filter, { maxTimeMS }),
        deleteOne: (filter: object) => native.deleteOne(filter, { maxTimeMS }),
      }),
    },
    tableName: collection,
    disableIndexesCreation: true,
    keyPrefix: name,
    points: 1,
    duration: within / 1_000,
  })
  const countOf = ({
    consumedPoints,
    msBeforeNext,
  }: {
    consumedPoints: number
    msBeforeNext: number
  }): Count => ({
    count: consumedPoints,
    remaining: msBeforeNext,
  })

  return {
    async read(key: string, call: Call): Promise<Count> {
      const found = await database.run(call, () => counters.get(key))
      return found ? countOf(found) : { count: 0, remaining: 0 }
    },
    /** @returns what has been counted, this one included */
    add: async (key: string, call: Call): Promise<Count> =>
      countOf(await database.run(call, () => counters.penalty(key, 1))),
    /** Takes back what was counted once. */
    async subtract(key: string, call: Call): Promise<void> {
      await database.run(call, () => counters.reward(key, 1))
    },
    async set(key: string, count: number, milliseconds: number, call: Call): Promise<void> {
      await database.run(call, () => counters.set(key, count, milliseconds / 1_000))
    },
    async remove(key: string, call: Call): Promise<void> {
      await database.run(call, () => counters.delete(key))
    },
  }
}
