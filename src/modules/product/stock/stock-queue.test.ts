import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Types } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Call } from '#kernel/call.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { call, type PortShop, startPortShop } from '#test/support/port-shop.ts'
import { recordCommands, recordedUri } from '#test/support/recorded-commands.ts'
import { connectMongo } from '#test/support/shop.ts'
import { type ProductPort, productPort } from '../contract.ts'
import { createStockRepository, type StockRepository } from './stock.repository.ts'
import { createStockQueue } from './stock-queue.ts'

// A process decides on the products in its cache. These tests change the stored products behind the cache, as another replica
// or an operator does.

let host: PortShop
let port: ProductPort
beforeAll(async () => {
  host = await startPortShop({ MONGODB_URI: recordedUri() })
  port = host.local(productPort)
})
afterAll(() => host.close())

// If the queue decided on the stale cache each time, its decisions would fail until this deadline.
const timeoutMs = 1_500
const newOrderId = () => randomBytes(12).toString('hex')
const reserve = (productId: string, quantity = 1, orderId = newOrderId()) =>
  port.reserve({ orderId, lines: [{ productId, quantity }] }, call(timeoutMs))
const product = async (stock: number): Promise<string> =>
  (await host.shop.product(host.shop.adminToken, { name: 'Cup', price: 5, stock })).productId
const changeStock = (productId: string, change: number, key: string) =>
  host.shop.post(`/products/${productId}/stock`, {
    token: host.shop.adminToken,
    body: { change },
    headers: { 'Idempotency-Key': key },
  })
/** @returns `updatedAt` of the response */
const asAdmin = async (method: string, path: string, body?: object) => {
  const answer = await host.shop.request(method, path, { token: host.shop.adminToken, body })
  expect(answer.status).toBeLessThan(300)
  return answer.body.updatedAt
}
const change = async (productId: string, update: object) =>
  (await host.shop.collections('product'))
    .collection('products')
    .updateOne({ _id: new Types.ObjectId(productId) }, update)
const stored = async (productId: string) =>
  (await host.shop.collections('product'))
    .collection('products')
    .findOne({ _id: new Types.ObjectId(productId) })
/** The number of queries of products that MongoDB has answered. */
const countQueries = async (): Promise<number> => {
  const db = await host.shop.collections('product')
  const { totals } = await db.admin().command({ top: 1 })
  return totals[`${db.databaseName}.products`].queries.count
}

it('a reserve does not sell stock that another replica has sold meanwhile', async () => {
  const productId = await product(5)
  await reserve(productId)
  await change(productId, { $inc: { stock: -3, stocked: -3, version: 1 } })
  expect(await reserve(productId, 2)).toEqual({
    state: 'rejected',
    rejection: { code: 'insufficient_stock', items: [{ productId, requested: 2, available: 1 }] },
  })
  expect(await reserve(productId)).toMatchObject({ state: 'held' })
  expect(await stored(productId)).toMatchObject({ stock: 0 })
})

it.each([{ name: 'Mug' }, { price: 700 }])(
  'a reserve holds stock with the name and price that another replica has changed meanwhile: %j',
  async (content) => {
    const productId = await product(5)
    await reserve(productId)
    await change(productId, { $set: content, $inc: { version: 1 } })
    const line = { productId, quantity: 1, name: 'Cup', price: 500, ...content }
    expect(await reserve(productId)).toEqual({ state: 'held', lines: [line] })
  },
)

it.each<[string, (productId: string, version: number) => Promise<unknown>]>([
  ['sold', (productId) => reserve(productId)],
  [
    'restocked',
    (productId) => asAdmin('POST', `/products/${productId}/stock`, { change: 1, reason: 'found' }),
  ],
  ['renamed', (productId, version) => asAdmin('PUT', `/products/${productId}`, { name: 'Mug', version })],
  ['deleted', (productId) => asAdmin('DELETE', `/products/${productId}`)],
])(
  'updatedAt never moves back for a product that is %s, even if another clock was ahead',
  async (_what, changed) => {
    const productId = await product(5)
    await reserve(productId)
    const ahead = new Date(Date.now() + 60_000)
    await change(productId, { $set: { updatedAt: ahead }, $inc: { version: 1 } })
    const shown = await changed(productId, 3)
    if (typeof shown === 'string') expect(shown).toBe(ahead.toISOString())
    expect(await stored(productId)).toMatchObject({ version: 4, updatedAt: ahead })
  },
)

it('a reserve does not sell a product that another replica has deleted meanwhile', async () => {
  const productId = await product(5)
  await reserve(productId)
  await change(productId, { $set: { deleted: true }, $inc: { version: 1 } })
  expect(await reserve(productId)).toMatchObject({ rejection: { code: 'unknown_product' } })
})

it('a reserve sells a unit without reading the product again, after another replica has sold some', async () => {
  const productId = await product(6)
  await reserve(productId)
  await change(productId, { $inc: { stock: -3, stocked: -3, version: 1 } })
  const before = await countQueries()
  expect(await reserve(productId)).toMatchObject({ state: 'held' })
  expect(await countQueries()).toBe(before)
  expect(await stored(productId)).toMatchObject({ stock: 1, version: 4 })
})

it('the stock is read again before a reserve is refused', async () => {
  const productId = await product(1)
  await reserve(productId)
  await change(productId, { $inc: { stock: 4, stocked: 4 } })
  expect(await reserve(productId, 3)).toMatchObject({ state: 'held' })
})

it('the stock is read again before one reserve of a batch is refused', async () => {
  const productId = await product(3)
  await reserve(productId)
  await change(productId, { $inc: { stock: 4, stocked: 4, version: 1 } })
  const outcomes = await Promise.all([reserve(productId), reserve(productId, 5)])
  expect(outcomes).toMatchObject([{ state: 'held' }, { state: 'held' }])
  expect(await stored(productId)).toMatchObject({ stock: 0 })
})

it('the stock is read again before a reserve is refused whose batch writes only other products', async () => {
  const [productId, other] = await Promise.all([product(1), product(5)])
  await Promise.all([reserve(productId), reserve(other)])
  await change(productId, { $inc: { stock: 4, stocked: 4, version: 1 } })
  const outcomes = await Promise.all([reserve(other), reserve(productId, 3)])
  expect(outcomes).toMatchObject([{ state: 'held' }, { state: 'held' }])
  expect(await stored(productId)).toMatchObject({ stock: 1 })
})

it('a refusal names only the products whose stock does not suffice', async () => {
  const [sufficient, short] = await Promise.all([product(2), product(1)])
  const lines = [sufficient, short].map((productId) => ({ productId, quantity: 2 }))
  expect(await port.reserve({ orderId: newOrderId(), lines }, call(timeoutMs))).toEqual({
    state: 'rejected',
    rejection: {
      code: 'insufficient_stock',
      items: [{ productId: short, requested: 2, available: 1 }],
    },
  })
})

it('a reserve does not get the stock of a release that comes later in the same batch', async () => {
  const productId = await product(8)
  const orderId = newOrderId()
  await reserve(productId, 3, orderId)
  await change(productId, { $inc: { stock: -4, stocked: -4, version: 1 } })
  const [reserved] = await Promise.all([reserve(productId, 3), port.release({ orderId }, call(timeoutMs))])
  expect(reserved).toMatchObject({ rejection: { items: [{ requested: 3, available: 1 }] } })
  expect(await stored(productId)).toMatchObject({ stock: 4 })
})

it('a reserve that shares its batch with new reserves repeats its answer', async () => {
  const [productId, other] = await Promise.all([product(5), product(5)])
  const orderId = newOrderId()
  const first = await reserve(productId, 2, orderId)
  const outcomes = await Promise.all([reserve(other), reserve(productId, 2, orderId), reserve(productId)])
  expect(outcomes).toMatchObject([{ state: 'held' }, first, { state: 'held' }])
  expect(await stored(productId)).toMatchObject({ stock: 2 })
  expect(await stored(other)).toMatchObject({ stock: 4 })
})

/** Records which `find` commands of this collection MongoDB gets, and whether they belong to a transaction. */
async function recordFinds(collectionName: string, work: () => Promise<unknown>) {
  const commands = recordCommands()
  await work()
  commands.stop()
  return commands
    .take()
    .filter(({ name, collection }) => name === 'find' && collection === collectionName)
    .map(({ command }) => ({
      ids: (command.filter._id?.$in ?? []).map(String),
      inTransaction: command.autocommit === false,
    }))
}

/** Makes this process forget the products that it has read: they are kept for a second. */
const forgetProducts = () => sleep(1_050)

it('a reserve of one product that is alone takes the stock and reads the product with one command', async () => {
  const productId = await product(5)
  await change(productId, { $set: { updatedAt: new Date(Date.now() + 3_000) } })
  const before = await stored(productId)
  await forgetProducts()
  const commands = recordCommands()
  const held = await reserve(productId, 2)
  commands.stop()
  expect(held).toEqual({ state: 'held', lines: [{ productId, quantity: 2, name: 'Cup', price: 500 }] })
  // The sweepers of the order module may run at any time.
  const own = commands.take().filter(({ database }) => !database.endsWith('_order'))
  expect(own.map(({ name, collection }) => `${name} ${collection}`.trim())).toEqual([
    'findAndModify products',
    'insert reservations',
    'commitTransaction',
  ])
  expect(await stored(productId)).toEqual({ ...before, stock: 3, version: Number(before?.version) + 1 })
  // The product that was read is cached as the reserve has left it.
  expect(await reserve(productId, 3)).toMatchObject({ state: 'held' })
  expect(await stored(productId)).toMatchObject({ stock: 0, inStock: false, stocked: 5 })
})

it('a reserve of the last unit that is alone marks the product as out of stock', async () => {
  const productId = await product(2)
  await forgetProducts()
  expect(await reserve(productId, 2)).toMatchObject({ state: 'held' })
  expect(await stored(productId)).toMatchObject({ stock: 0, inStock: false })
})

it('a reserve that is alone is rejected if the stock does not suffice, or the product is deleted or unknown', async () => {
  const [few, gone] = await Promise.all([product(2), product(2)])
  await asAdmin('DELETE', `/products/${gone}`)
  await forgetProducts()
  expect(await reserve(few, 3)).toEqual({
    state: 'rejected',
    rejection: { code: 'insufficient_stock', items: [{ productId: few, requested: 3, available: 2 }] },
  })
  for (const productId of [gone, newOrderId()]) {
    const rejection = { code: 'unknown_product', productIds: [productId] }
    expect(await reserve(productId)).toEqual({ state: 'rejected', rejection })
  }
  expect(await stored(few)).toMatchObject({ stock: 2 })
})

it('a repeated reserve that is alone is answered from the stored reservation, and takes no stock', async () => {
  const productId = await product(5)
  const orderId = newOrderId()
  const held = await reserve(productId, 2, orderId)
  await forgetProducts()
  expect(await reserve(productId, 2, orderId)).toEqual(held)
  await port.release({ orderId }, call())
  await forgetProducts()
  expect(await reserve(productId, 2, orderId)).toEqual({ state: 'released' })
  expect(await stored(productId)).toMatchObject({ stock: 5, inStock: true })
})

it('a reserve that is alone fails without an effect if its product is corrupt', async () => {
  const productId = await product(5)
  await change(productId, { $set: { name: 7 } })
  await forgetProducts()
  await expect(reserve(productId)).rejects.toThrow(/product/)
  expect(await stored(productId)).toMatchObject({ stock: 5, version: 1 })
  await change(productId, { $set: { name: 'Cup' } })
  expect(await reserve(productId)).toMatchObject({ state: 'held' })
})

it('a repeated release is answered from what its transaction reads, because no write verifies it', async () => {
  const release = (orderId: string) => port.release({ orderId }, call())
  const orderId = newOrderId()
  // Without a reservation there are no products that a write could verify.
  await release(orderId)
  for (const others of [[], [newOrderId()]]) {
    const ids = [orderId, ...others]
    const finds = await recordFinds('reservations', () => Promise.all(ids.map(release)))
    expect(finds.at(-1)).toEqual({ ids, inTransaction: true })
  }
})

it('a new stock change with a key does not read in its transaction', async () => {
  const productId = await product(5)
  const finds = await recordFinds('stockChangeAnswers', () => changeStock(productId, 1, 'new'))
  expect(finds).toEqual([])
})

it('a keyed stock change repeats its answer after the product has changed', async () => {
  const productId = await product(999_999_000)
  const first = await changeStock(productId, 1_000, 'first')
  expect(first.status).toBe(200)
  let others = 0
  /** The change shares its batch with reserves, which make the batch write the product, and with new changes. */
  const besideOthers = async (change: number) => {
    let isAnswered = false
    const again = changeStock(productId, change, 'first').finally(() => {
      isAnswered = true
    })
    const newChanges = [1, 2].map(() => changeStock(productId, -1, `other-${++others}`))
    const reserveUntilAnswered = async () => {
      do await reserve(productId)
      while (!isAnswered)
    }
    await Promise.all([...newChanges, ...Array.from({ length: 10 }, reserveUntilAnswered)])
    return again
  }
  // If the repeated change took effect, the stock would exceed its maximum.
  const again = await besideOthers(1_000)
  expect({ status: again.status, body: again.body }).toEqual({ status: 200, body: first.body })
  expect((await besideOthers(1_001)).body.code).toBe('idempotency_key_reused')
})

it('a corrupt reservation fails its own operations and no others', async () => {
  const [productId, other] = await Promise.all([product(5), product(5)])
  const orderId = newOrderId()
  await reserve(productId, 1, orderId)
  const db = await host.shop.collections('product')
  await db
    .collection('reservations')
    .updateOne({ _id: new Types.ObjectId(orderId) }, { $set: { state: 'unknown' } })
  const [repeated, released, valid] = await Promise.allSettled([
    reserve(productId, 1, orderId),
    port.release({ orderId }, call(timeoutMs)),
    reserve(other),
  ])
  const message = expect.stringContaining(
    `the stored document of the reservation of order ${orderId} is corrupt`,
  )
  expect(repeated).toMatchObject({ status: 'rejected', reason: { message } })
  expect(released).toMatchObject({ status: 'rejected', reason: { message } })
  expect(valid).toMatchObject({ status: 'fulfilled', value: { state: 'held' } })
  expect(await stored(productId)).toMatchObject({ stock: 4 })
  await db.collection('reservations').deleteOne({ _id: new Types.ObjectId(orderId) })
})

it('a stock change whose stored answer is corrupt is not carried out again', async () => {
  const productId = await product(5)
  const add = () => changeStock(productId, 1, productId)
  expect((await add()).status).toBe(200)
  const answers = (await host.shop.collections('product')).collection<{ _id: string }>('stockChangeAnswers')
  await answers.updateOne({ _id: { $regex: `:${productId}$` } }, { $set: { hash: 5 } })
  expect(await add()).toMatchObject({ status: 500, body: { code: 'internal_error' } })
  expect(await stored(productId)).toMatchObject({ stock: 6 })
})

it('a reservation is released once, even if two transactions have read it as held', async () => {
  const mongo = await connectMongo()
  const database = mongo.database('product')
  try {
    const stock = createStockRepository(database)
    const orderId = stock.newId()
    const held = { orderId, state: 'held' as const, requested: [{ productId: orderId, quantity: 1 }] }
    const now = new Date()
    await stock.transaction(call(), (transaction) => transaction.addReservations([held], now))
    await stock.transaction(call(), (transaction) => transaction.markReleased([orderId], now))
    const again = stock.transaction(call(300), (transaction) => transaction.markReleased([orderId], now))
    await expect(again).rejects.toMatchObject({ code: 'dependency_unavailable' })
  } finally {
    await database.connection.db?.dropDatabase()
    await mongo.close()
  }
})

it('a decision is made in a transaction, before the deadline, if optimistic decisions fail repeatedly', async () => {
  const productId = await product(5)
  // An order never has two lines of one product. Together these lines take more than the stock, so that the write always fails.
  const lines = [3, 3].map((quantity) => ({ productId, quantity }))
  const odd = port.reserve({ orderId: newOrderId(), lines }, call(3_000))
  await expect(odd).rejects.toMatchObject({ code: 'internal_error' })
  expect(await stored(productId)).toMatchObject({ stock: 5 })
})

it('a corrupt product fails its own reserves and no others', async () => {
  const [corrupt, valid] = await Promise.all([product(5), product(5)])
  await change(corrupt, { $set: { stock: 'five' } })
  const outcomes = await Promise.allSettled([
    reserve(valid),
    reserve(corrupt),
    reserve(valid),
    reserve(corrupt),
    reserve(valid),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  expect(await stored(valid)).toMatchObject({ stock: 2 })
  expect(await stored(corrupt)).toMatchObject({ stock: 'five' })
})

it('a release fails while one of its products is corrupt, so that no stock is lost', async () => {
  const [corrupt, valid] = await Promise.all([product(5), product(5)])
  const orderId = newOrderId()
  const lines = [corrupt, valid].map((productId) => ({ productId, quantity: 2 }))
  // A reserve would leave the valid product in the cache.
  const held = lines.map((line) => ({ ...line, name: 'Cup', price: 500 }))
  const reservation = { _id: new Types.ObjectId(orderId), state: 'held', requested: lines, held }
  await (await host.shop.collections('product')).collection('reservations').insertOne(reservation)
  const release = () => port.release({ orderId }, call(timeoutMs))
  await change(corrupt, { $set: { price: 'five' } })
  await expect(release()).rejects.toMatchObject({
    message: expect.stringContaining(`the stored document of product ${corrupt} is corrupt`),
  })
  expect([await stored(corrupt), await stored(valid)]).toMatchObject([{ stock: 5 }, { stock: 5 }])
  await change(corrupt, { $set: { price: 500 } })
  expect(await release()).toEqual({ state: 'released' })
  expect([await stored(corrupt), await stored(valid)]).toMatchObject([{ stock: 7 }, { stock: 7 }])
})

it('the queue pauses after a write conflict for as long as the batch took', async () => {
  let attempts = 2
  const begun: number[] = []
  const repository = {
    reads: () => ({}),
    async transaction(_call: Call, work: (transaction: object) => Promise<unknown>) {
      begun.push(performance.now())
      await sleep(40)
      for (let attempt = 1; attempt < attempts; attempt++) await work({})
      return work({})
    },
  }
  const runInBatch = createStockQueue(repository as unknown as StockRepository, createMetrics())
  const runOperation = () => runInBatch({ lineCount: 1, reads: {}, decide: () => undefined }, call())
  await runOperation()
  const ended = performance.now()
  attempts = 1
  await runOperation()
  expect((begun[1] ?? 0) - ended).toBeGreaterThan(38)
  const alone = performance.now()
  await runOperation()
  expect((begun[2] ?? 0) - alone).toBeLessThan(38)
})

it('a product is marked as sold out and in stock correctly while other replicas change its stock', async () => {
  const productId = await product(5)
  await reserve(productId)
  // The cache has a stock of 4.
  await change(productId, { $inc: { stock: -3, stocked: -3, version: 1 } })
  expect(await reserve(productId)).toMatchObject({ state: 'held' })
  expect(await stored(productId)).toMatchObject({ stock: 0, inStock: false })

  await asAdmin('POST', `/products/${productId}/stock`, { change: 2 })
  expect(await stored(productId)).toMatchObject({ stock: 2, inStock: true })
  await change(productId, { $inc: { stock: 3, stocked: 3, version: 1 } })
  expect(await reserve(productId, 2)).toMatchObject({ state: 'held' })
  expect(await stored(productId)).toMatchObject({ stock: 3, inStock: true })
})
