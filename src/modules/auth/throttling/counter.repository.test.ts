import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { type Call, createCall } from '#kernel/call.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'
import { connectMongo } from '#test/support/shop.ts'
import { type CounterRepository, createCounterRepository } from './counter.repository.ts'

let mongo: Mongo
let counters: CounterRepository
let throttles: mongoose.Collection
beforeAll(async () => {
  mongo = await connectMongo()
  const database = mongo.database('auth')
  counters = createCounterRepository(database, 'login', { withinMs: 60_000 })
  throttles = database.connection.collection('throttles')
  await throttles.createIndex({ key: 1 }, { unique: true })
})
afterAll(async () => {
  await mongo.database('auth').connection.dropDatabase()
  await mongo.close()
})

const now = Date.now()
const at = (offsetMs: number): Date => new Date(now + offsetMs)
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now })
  await throttles.deleteMany({})
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const call = (): Call => createCall(20_000, 'test')
const stored = () => throttles.find({}, { projection: { _id: 0 } }).toArray()

it('the repository counts concurrent first events of a key in one document', async () => {
  const counts = await Promise.all(Array.from({ length: 30 }, () => counters.add('ada', call())))
  expect(counts.map(({ count }) => count).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 30 }, (_, n) => n + 1),
  )
  expect(await stored()).toEqual([{ key: 'login:ada', points: 30, expire: at(60_000) }])
})

it('the repository counts again if another request has inserted the counter at the same time', async () => {
  await counters.add('ada', call())
  const duplicate = new mongoose.mongo.MongoServerError({ message: 'E11000 duplicate key', code: 11_000 })
  vi.spyOn(mongoose.mongo.Collection.prototype, 'findOneAndUpdate').mockRejectedValueOnce(duplicate)
  expect(await counters.add('ada', call())).toMatchObject({ count: 2 })
})

it('the repository continues a count that a replica of an earlier version has started', async () => {
  await throttles.insertOne({ key: 'login:ada', points: 4, expire: at(1) })
  expect(await counters.read('ada', call())).toEqual({ count: 4, isLocked: false, until: now + 1 })
  expect(await counters.add('ada', call())).toEqual({ count: 5, isLocked: false, until: now + 1 })
})

it('a new count starts at the millisecond at which the old one expires', async () => {
  await throttles.insertOne({ key: 'login:ada', points: 4, expire: at(0) })
  expect(await counters.read('ada', call())).toBeUndefined()
  expect(await counters.add('ada', call())).toEqual({ count: 1, isLocked: false, until: now + 60_000 })
})

it('a key stays locked when events are taken back', async () => {
  const count = await counters.add('ada', call())
  expect(await counters.lock('ada', 90_000, call())).toBe(true)
  expect(await counters.lock('ada', 90_000, call())).toBe(false)
  await counters.subtract('ada', { ...count, until: now + 90_000 }, call())
  expect(await counters.read('ada', call())).toMatchObject({ isLocked: true, until: now + 90_000 })
})
