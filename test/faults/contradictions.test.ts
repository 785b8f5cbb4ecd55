import { Types } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Shop, startShop } from '#test/support/shop.ts'
import { findContradictions } from './contradictions.ts'
import {
  acknowledgedOrder,
  type History,
  type ProductCreation,
  type Purchase,
  sendCreation,
  sendPurchase,
  startHistory,
} from './history.ts'

// Each test tampers with the stored state, or with the history, and expects the checks of the fault tests to find it.

let shop: Shop
beforeAll(async () => {
  shop = await startShop()
})
afterAll(() => shop.close())

/** Starts a history with one confirmed order of two units. */
async function start() {
  const history = await startHistory(shop, { customers: 1, products: 1, stock: 10 })
  const [customer] = history.customers
  const [product] = history.products
  if (!customer || !product) throw new Error('the history is empty')
  const lines = [{ productId: product.productId, quantity: 2 }]
  const purchase: Purchase = { customer, key: 'basket', lines, requests: [] }
  history.purchases.push(purchase)
  purchase.requests.push({ lines, outcome: await sendPurchase(shop, purchase, lines) })
  const { orderId } = acknowledgedOrder(purchase)
  const orders = (await shop.collections('order')).collection('orders')
  const change = (fields: object) => orders.updateOne({ _id: new Types.ObjectId(orderId) }, { $set: fields })
  return { history, product, purchase, orderId, orders, change }
}

const find = (history: History) => findContradictions(history, shop)

it('a correct history has no contradictions', async () => {
  const { history } = await start()
  expect(await find(history)).toEqual([])
})

it('a changed total of an acknowledged order is found', async () => {
  const { history, change } = await start()
  await change({ totalAmount: 1 })
  expect(await find(history)).toEqual(
    expect.arrayContaining([expect.stringContaining('answered'), expect.stringContaining('and now is')]),
  )
})

it('a lost order is found, together with the stock that a new order takes', async () => {
  const { history, orders, orderId } = await start()
  await orders.deleteOne({ _id: new Types.ObjectId(orderId) })
  // With its hold, a repeated request would place the same order again.
  const reservations = (await shop.collections('product')).collection('reservations')
  await reservations.updateOne({ _id: new Types.ObjectId(orderId) }, { $set: { state: 'released' } })
  const contradictions = await find(history)
  expect(contradictions).toContainEqual(expect.stringContaining('not marked as replayed'))
  expect(contradictions).toContainEqual(expect.stringContaining('and now is'))
  expect(contradictions).toContainEqual(expect.stringContaining('is undefined after []'))
  expect(contradictions).toContainEqual(expect.stringContaining('the stock is 6 instead of 8'))
})

it('a confirmed order that no client requested is found', async () => {
  const { history, orders, orderId } = await start()
  const order = await orders.findOne({ _id: new Types.ObjectId(orderId) })
  await orders.insertOne({ ...order, _id: new Types.ObjectId(), key: 'unknown' })
  expect(await find(history)).toContainEqual(expect.stringContaining('which its customer has not sent'))
})

it('an order that is not cancelled after an acknowledged cancellation is found', async () => {
  const { history, orderId } = await start()
  const { customers, statusChanges } = history
  const outcome = await shop.delete(`/orders/${orderId}`, { token: customers[0]?.token })
  statusChanges.push({ orderId, to: 'cancelled', outcome })
  expect(await find(history)).toEqual([])
  await (await shop.collections('order'))
    .collection('orders')
    .updateOne({ _id: new Types.ObjectId(orderId) }, { $set: { status: 'shipped' } })
  const contradictions = await find(history)
  expect(contradictions).toContainEqual(expect.stringContaining('a repeated cancellation was answered'))
  expect(contradictions).toContainEqual(expect.stringContaining('is shipped after'))
})

it('a cancelled order that no client cancelled is found', async () => {
  const { history, change } = await start()
  await change({ status: 'cancelled' })
  expect(await find(history)).toContainEqual(expect.stringContaining('is cancelled after []'))
})

it('a stock and a price that no client has set are found', async () => {
  const { history, product } = await start()
  const products = (await shop.collections('product')).collection('products')
  await products.updateOne({ _id: new Types.ObjectId(product.productId) }, { $set: { stock: 9, price: 1 } })
  expect(await find(history)).toEqual([
    expect.stringContaining('the stock is 9 instead of 8'),
    expect.stringContaining('costs 0.01 instead of 12.9'),
  ])
})

it('a second product of one creation, and a lost one, are found', async () => {
  const { history } = await start()
  const creation: ProductCreation = { key: 'pot', name: 'Pot of one creation', outcomes: [] }
  creation.outcomes.push(await sendCreation(shop, creation))
  history.creations.push(creation)
  expect(await find(history)).toEqual([])
  const products = (await shop.collections('product')).collection('products')
  const pot = await products.findOne({ name: creation.name })
  await products.insertOne({ ...pot, _id: new Types.ObjectId() })
  expect(await find(history)).toEqual(['creation pot: made 2 products, and was answered 201'])
  await products.deleteMany({ name: creation.name })
  expect(await find(history)).toEqual(['creation pot: made 0 products, and was answered 201'])
})

it('an answer that the history does not explain is found', async () => {
  const { history, purchase } = await start()
  purchase.lines = [{ ...purchase.lines[0], quantity: 1 } as Purchase['lines'][number]]
  for (const request of purchase.requests) request.lines = purchase.lines
  expect(await find(history)).toContainEqual(expect.stringContaining('the lines differ from the request'))
})

it('a second confirmed order under one key is found', async () => {
  const { history, orders, orderId } = await start()
  const order = await orders.findOne({ _id: new Types.ObjectId(orderId) })
  // This is the last test, because the shop is not correct without the index.
  await orders.dropIndex('userId_1_key_1')
  await orders.insertOne({ ...order, _id: new Types.ObjectId('0123456789abcdef01234567') })
  expect(await find(history)).toContainEqual(expect.stringContaining('acknowledged under its key'))
})
