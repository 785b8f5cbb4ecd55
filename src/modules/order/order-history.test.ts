import { Types } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Account, Json } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

let shop: Shop
let ada: Account
let adminId: string
beforeAll(async () => {
  shop = await startShop()
  ada = await shop.customer()
  adminId = (await shop.get('/profile', { token: shop.adminToken })).body.userId
})
afterAll(() => shop.close())

const buy = async (): Promise<Json> => {
  const { productId } = await shop.product(shop.adminToken)
  return (await shop.order(ada.token, [{ productId, quantity: 1 }])).body
}
const historyOf = ({ orderId }: Json, query = '', token = ada.token) =>
  shop.get(`/orders/${orderId}/history${query}`, { token })
const setStatus = ({ orderId }: Json, status: string) =>
  shop.put(`/orders/${orderId}`, { token: shop.adminToken, body: { status } })

it('the history of an order has each status with its time and the user who caused it, oldest first', async () => {
  const order = await buy()
  const shipped = (await setStatus(order, 'shipped')).body
  const delivered = (await setStatus(order, 'delivered')).body
  expect(await historyOf(order)).toMatchObject({
    status: 200,
    body: {
      data: [
        { status: 'pending', at: order.createdAt, by: ada.userId },
        { status: 'confirmed', at: order.updatedAt, by: ada.userId },
        { status: 'shipped', at: shipped.updatedAt, by: adminId },
        { status: 'delivered', at: delivered.updatedAt, by: adminId },
      ],
      nextCursor: null,
    },
  })
  expect((await historyOf(order, '', shop.adminToken)).body.data).toHaveLength(4)
})

it('the history of a cancelled order names the user who cancelled it', async () => {
  const order = await buy()
  await shop.delete(`/orders/${order.orderId}`, { token: ada.token })
  expect((await historyOf(order)).body.data.slice(2)).toMatchObject([
    { status: 'cancelling', by: ada.userId },
    { status: 'cancelled', by: ada.userId },
  ])
})

it('the history of a rejected order ends with its rejection', async () => {
  const { productId } = await shop.product(shop.adminToken, { stock: 0 })
  expect((await shop.order(ada.token, [{ productId, quantity: 1 }])).status).toBe(409)
  const { body } = await shop.get('/orders?status=rejected', { token: ada.token })
  expect((await historyOf(body.data[0])).body.data).toMatchObject([
    { status: 'pending', by: ada.userId },
    { status: 'rejected', by: ada.userId },
  ])
})

it('the pages of a history have each entry once, also if the order changes in between', async () => {
  const order = await buy()
  const first = await historyOf(order, '?limit=1')
  expect(first.body.data).toMatchObject([{ status: 'pending' }])
  await setStatus(order, 'shipped')
  const second = await historyOf(order, `?limit=1&cursor=${first.body.nextCursor}`)
  expect(second.body.data).toMatchObject([{ status: 'confirmed' }])
  const last = await historyOf(order, `?limit=1&cursor=${second.body.nextCursor}`)
  expect(last.body).toMatchObject({ data: [{ status: 'shipped' }], nextCursor: null })

  const ofAnother = await historyOf(await buy(), `?cursor=${first.body.nextCursor}`)
  expect(ofAnother).toMatchObject({ status: 400, body: { errors: [{ parameter: 'cursor' }] } })
})

it('the history of an order of an earlier version has the known times, and null for unknown users', async () => {
  const order = await buy()
  await setStatus(order, 'shipped')
  const orders = (await shop.collections('order')).collection('orders')
  const _id = new Types.ObjectId(String(order.orderId))
  await orders.updateOne({ _id }, { $unset: { 'steps.$[].by': 1 } })
  const { data } = (await historyOf(order)).body
  expect(data).toMatchObject([{ by: ada.userId }, { by: null }, { by: null }])
  await orders.updateOne({ _id }, { $unset: { steps: 1 } })
  expect((await historyOf(order)).body.data).toEqual(data)
})
