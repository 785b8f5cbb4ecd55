import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'
import { registry } from '#src/registry.ts'
import { createClient } from '#test/support/client.ts'
import { openCollections } from '#test/support/collections.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { call } from '#test/support/port-shop.ts'
import { connectMongo, databaseName, startComposition } from '#test/support/shop.ts'
import { demoCatalogue } from './demo-catalogue.ts'
import { createStockRepository } from './stock/stock.repository.ts'
import { createStockChanges } from './stock/stock-changes.ts'
import { createStockQueue } from './stock/stock-queue.ts'

const ids = demoCatalogue.map(({ productId }) => productId)

/** Boots a process of a demo and lists its products. */
async function bootDemo(database: string) {
  const { composition, close } = await startComposition({
    environment: { MONGODB_DATABASE: database, DEMO: 'true' },
  })
  onTestFinished(close)
  await composition.prepare(new AbortController().signal)
  const shop = createClient((path, init) => composition.app.request(path, init))
  return { shop, list: async () => (await shop.get('/products?limit=100')).body.data }
}

async function newDatabase() {
  const database = databaseName()
  const own = await openCollections(mongodbUri, database)
  onTestFinished(async () => {
    for (const { name } of registry) await (await own.collections(name)).dropDatabase()
    await own.close()
  })
  return database
}

it('three processes that start a demo at the same time create its products and its customer once', async () => {
  const database = await newDatabase()
  const booted = await Promise.all([bootDemo(database), bootDemo(database), bootDemo(database)])
  for (const { shop, list } of booted) {
    expect((await list()).map((product: { productId: string }) => product.productId)).toEqual(ids)
    expect(await shop.login('demo@example.com', 'two cups of coffee')).toBeTruthy()
  }
})

it('a later start of a demo leaves a changed catalogue unchanged', async () => {
  const database = await newDatabase()
  const { shop, list } = await bootDemo(database)
  const token = await shop.login('boss@example.com', 'the head of all shops')
  expect((await shop.delete(`/products/${ids[0]}`, { token })).status).toBe(204)
  expect(await list()).toHaveLength(ids.length - 1)
  expect(await (await bootDemo(database)).list()).toEqual(await list())
})

let mongo: Mongo
beforeAll(async () => {
  mongo = await connectMongo()
})
afterAll(async () => {
  await mongo.database('product').connection.db?.dropDatabase()
  await mongo.close()
})

it('two processes that both find an empty store create the products once, because the ids are fixed', async () => {
  const stock = createStockRepository(mongo.database('product'))
  const createAll = () => {
    const changes = createStockChanges({
      newId: stock.newId,
      runInBatch: createStockQueue(stock, createMetrics()),
      currency: 'EUR',
    })
    return changes.createAll(demoCatalogue, { userId: 'demo', role: 'admin' }, call())
  }
  await Promise.all([createAll(), createAll(), createAll()])
  const { connection } = mongo.database('product')
  expect(await connection.collection('products').countDocuments()).toBe(ids.length)
  expect(await connection.collection('stockLedger').countDocuments()).toBe(ids.length)
})
