import { afterAll, afterEach, beforeAll, vi } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { createMongo, type Mongo } from '#kernel/mongo/connection.ts'
import type { Database, Db } from '#kernel/mongo/database.ts'
import { mongodbUri } from './mongodb-uri.ts'
import { quiet } from './quiet-log.ts'
import { databaseName } from './shop.ts'

export interface Counter {
  _id: string
  n: number
}

/** A call that ends in the given time. */
export const callOf = (milliseconds: number) => ({
  deadline: Date.now() + milliseconds,
  requestId: 'request-1',
})

/** Opens a database with an empty collection of counters for the tests of a file, and drops it at the end. */
export function useCounters() {
  const prefix = databaseName()
  let mongo: Mongo
  let database: Database
  let db: Db
  const counters = () => db.collection<Counter>('counters')

  /** Opens a further connection to the same database. */
  const open = async (address = mongodbUri) =>
    createMongo({
      uri: address,
      database: prefix,
      requestTimeoutMs: 10_000,
      logger: await quiet,
      metrics: createMetrics(),
    })

  beforeAll(async () => {
    mongo = await open()
    await mongo.connect(new AbortController().signal)
    database = mongo.database('things')
    if (!database.connection.db) throw new Error('a connected database has a handle')
    db = database.connection.db
    await db.createCollection('counters')
  })

  afterEach(async () => {
    vi.useRealTimers()
    await counters().deleteMany({})
  })

  afterAll(async () => {
    await db.dropDatabase()
    await mongo.close()
  })

  return {
    uri: mongodbUri,
    prefix,
    open,
    counters,
    get mongo() {
      return mongo
    },
    get database() {
      return database
    },
    get db() {
      return db
    },
  }
}
