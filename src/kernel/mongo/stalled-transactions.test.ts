import mongoose from 'mongoose'
import { expect, it, type TestContext } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { databaseName } from '#test/support/shop.ts'
import { createMongo } from './connection.ts'

interface Cup {
  _id: string
  n: number
}

/** Opens a shop's database that contains one cup. */
async function open({ onTestFinished }: TestContext) {
  const prefix = databaseName()
  const mongo = createMongo({
    uri: mongodbUri,
    database: prefix,
    requestTimeoutMs: 10_000,
    logger: await quiet,
    metrics: createMetrics(),
  })
  await mongo.connect(new AbortController().signal)
  const database = mongo.database('cups')
  onTestFinished(async () => {
    await database.connection.db?.dropDatabase()
    await mongo.close()
  })
  const cups = database.connection.collection<Cup>('cups')
  await cups.insertOne({ _id: 'a', n: 0 })
  const inTime = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'request-1' })
  return {
    cup: () => cups.findOne({ _id: 'a' }),
    leaveTransactionOpen: (appName = `trivet ${prefix}`) => leaveTransactionOpen(prefix, appName),
    withinTransaction: (milliseconds: number) =>
      database.transaction('test', inTime(milliseconds), (session) =>
        cups.updateOne({ _id: 'a' }, { $inc: { n: 10 } }, { session }),
      ),
    byItself: (milliseconds: number) =>
      database.run('test', inTime(milliseconds), (maxTimeMS) =>
        cups.updateOne({ _id: 'a' }, { $inc: { n: 10 } }, { maxTimeMS }),
      ),
  }
}

/** Leaves a transaction open, like a process that is killed or frozen inside it. */
async function leaveTransactionOpen(prefix: string, appName: string) {
  const client = await mongoose.createConnection(mongodbUri, { appName }).asPromise()
  const session = await client.startSession()
  session.startTransaction()
  const cups = client.useDb(`${prefix}_cups`).collection<Cup>('cups')
  const add = () => cups.updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
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

// The server itself would abort the open transaction after 10 s.
it.concurrent.for([
  ['a transaction', 'withinTransaction'],
  ['a write by itself', 'byItself'],
] as const)('%s does not wait for a stalled transaction', async ([_, write], context) => {
  const shop = await open(context)
  const left = await shop.leaveTransactionOpen()
  await shop[write](5_000)
  // If the owner was only frozen, its commit fails without effect, and it repeats the transaction.
  await expect(left.commit()).rejects.toMatchObject({ errorLabels: ['TransientTransactionError'] })
  await left.close()
  expect(await shop.cup()).toEqual({ _id: 'a', n: 10 })
})

it.concurrent('a stalled transaction of another program is left alone, even if it blocks a write', async (context) => {
  const shop = await open(context)
  const left = await shop.leaveTransactionOpen('trivet of another shop')
  await expect(shop.withinTransaction(2_500)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  await left.commit()
  await left.close()
  expect(await shop.cup()).toEqual({ _id: 'a', n: 1 })
})

it.concurrent('a transaction that still runs commands is left alone, even if others wait for it', async (context) => {
  const shop = await open(context)
  const left = await shop.leaveTransactionOpen()
  let over = false
  const addUntilOver = async () => {
    while (!over) await left.add()
    await left.commit()
  }
  const working = addUntilOver()
  await expect(shop.withinTransaction(2_500)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  over = true
  await working
  await left.close()
  expect((await shop.cup())?.n).toBeGreaterThan(1)
})
