import { randomUUID } from 'node:crypto'
import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { databaseName, quiet } from '../../test/shop.ts'
import { createMongo, type Database, type Mongo } from './mongo.ts'

interface Cup {
  _id: string
  n: number
}

const prefix = databaseName()
let mongo: Mongo
let database: Database
beforeAll(async () => {
  const uri = inject('mongodbUri')
  mongo = createMongo({ uri, database: prefix, requestTimeout: 10_000, logger: await quiet })
  await mongo.connect(new AbortController().signal)
  database = mongo.database('cups')
})
afterAll(async () => {
  await database.connection.db?.dropDatabase()
  await mongo.close()
})

const cups = () => database.connection.collection<Cup>('cups')
const newCup = async (): Promise<string> => {
  const _id = randomUUID()
  await cups().insertOne({ _id, n: 0 })
  return _id
}
const inTime = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'request-1' })

/** What a process leaves that is killed or frozen inside a transaction. */
async function leaveTransactionOpen(_id: string, appName: string) {
  const client = await mongoose.createConnection(inject('mongodbUri'), { appName }).asPromise()
  const session = await client.startSession()
  session.startTransaction()
  const theirs = client.useDb(`${prefix}_cups`).collection<Cup>('cups')
  const add = () => theirs.updateOne({ _id }, { $inc: { n: 1 } }, { session })
  await add()
  return {
    add,
    commit: () => session.commitTransaction(),
    async close() {
      await session.endSession()
      await client.close()
    },
  }
}

const withinTransaction = (_id: string, milliseconds: number) =>
  database.transaction(inTime(milliseconds), (session) =>
    cups().updateOne({ _id }, { $inc: { n: 10 } }, { session }),
  )
const byItself = (_id: string, milliseconds: number) =>
  database.run(inTime(milliseconds), (maxTimeMS) =>
    cups().updateOne({ _id }, { $inc: { n: 10 } }, { maxTimeMS }),
  )

// The server itself would end it after 10 s.
it.concurrent.each([
  ['a transaction', withinTransaction],
  ['a write by itself', byItself],
])('%s does not wait for one that nobody goes on with', async (_, write) => {
  const cup = await newCup()
  const left = await leaveTransactionOpen(cup, `trivet ${prefix}`)
  await write(cup, 5_000)
  // One that was only frozen is told to decide anew, and has changed nothing.
  await expect(left.commit()).rejects.toMatchObject({ errorLabels: ['TransientTransactionError'] })
  await left.close()
  expect(await cups().findOne({ _id: cup })).toEqual({ _id: cup, n: 10 })
})

it.concurrent('another program is left alone, even one that stands in the way', async () => {
  const cup = await newCup()
  const left = await leaveTransactionOpen(cup, 'trivet of somebody else')
  await expect(withinTransaction(cup, 2_500)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  await left.commit()
  await left.close()
  expect(await cups().findOne({ _id: cup })).toEqual({ _id: cup, n: 1 })
})

it.concurrent('a transaction that goes on is left alone, however long others wait for it', async () => {
  const cup = await newCup()
  const left = await leaveTransactionOpen(cup, `trivet ${prefix}`)
  let over = false
  const goingOn = async () => {
    while (!over) await left.add()
    await left.commit()
  }
  const working = goingOn()
  await expect(withinTransaction(cup, 2_500)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  over = true
  await working
  await left.close()
  expect((await cups().findOne({ _id: cup }))?.n).toBeGreaterThan(1)
})
