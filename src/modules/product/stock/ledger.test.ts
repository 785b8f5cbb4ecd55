import { Types } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Json } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

let shop: Shop
let token: string
let adminId: string
beforeAll(async () => {
  shop = await startShop()
  token = shop.adminToken
  adminId = (await shop.get('/profile', { token })).body.userId
})
afterAll(() => shop.close())

const list = (productId: string, query = '') => shop.get(`/products/${productId}/stock?${query}`, { token })
const change = (productId: string, body: Json) => shop.post(`/products/${productId}/stock`, { token, body })

async function pages(productId: string, limit: number): Promise<Json[]> {
  const rows: Json[] = []
  for (let cursor = ''; ; ) {
    const { status, body } = await list(productId, `limit=${limit}${cursor}`)
    expect(status).toBe(200)
    rows.push(...body.data)
    if (body.nextCursor === null) return rows
    cursor = `&cursor=${body.nextCursor}`
  }
}

it('the stock changes of a product are listed with user and reason, newest first, without what orders take', async () => {
  const { productId, createdAt } = await shop.product(token, { stock: 10 })
  await change(productId, { change: 5, reason: 'delivery 4711' })
  expect((await shop.order(token, [{ productId, quantity: 4 }])).status).toBe(201)
  await change(productId, { change: -1, reason: 'broken' })
  const { version } = (await shop.get(`/products/${productId}`)).body
  await shop.put(`/products/${productId}`, { token, body: { stock: 20, version } })

  const { data } = (await list(productId)).body
  expect(data).toMatchObject([
    { change: 10, stock: 20, by: adminId, reason: 'stock set by an update' },
    { change: -1, stock: 10, by: adminId, reason: 'broken' },
    { change: 5, stock: 15, by: adminId, reason: 'delivery 4711' },
    { change: 10, stock: 10, by: adminId, reason: 'created', at: createdAt },
  ])
})

it.each([1, 2, 3, 100])(
  'each of several stock changes with equal times is listed once, %i per page',
  async (limit) => {
    const { productId } = await shop.product(token, { stock: 10 })
    const ledger = (await shop.collections('product')).collection('stockLedger')
    const entry = await ledger.findOne({ productId: new Types.ObjectId(String(productId)) })
    const times = [1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4]
    const entries = times.map((time, n) => ({
      ...entry,
      _id: new Types.ObjectId(),
      reason: `${n}`,
      at: new Date(Date.UTC(2026, 0, 1) + time),
    }))
    await ledger.insertMany(entries)
    const reasons = (await pages(productId, limit)).map(({ reason }) => reason)
    expect(reasons).toEqual(['created', ...entries.map(({ reason }) => reason).reverse()])
  },
)

it('a cursor of the stock changes of another product is refused', async () => {
  const { productId } = await shop.product(token)
  await change(productId, { change: 5 })
  const { nextCursor } = (await list(productId, 'limit=1')).body
  const other = await shop.product(token)
  expect(await list(other.productId, `cursor=${nextCursor}`)).toMatchObject({
    status: 400,
    body: { errors: [{ parameter: 'cursor' }] },
  })
})

it('the stock changes of a deleted product are still listed, and those of an unknown product are 404', async () => {
  const { productId } = await shop.product(token)
  await shop.delete(`/products/${productId}`, { token })
  expect((await list(productId)).body.data).toMatchObject([{ reason: 'created' }])
  expect(await list('0'.repeat(24))).toMatchObject({ status: 404, body: { code: 'product_not_found' } })
})

it('a list of stock changes omits corrupt entries', async () => {
  const { productId } = await shop.product(token)
  await change(productId, { change: 5 })
  const ledger = (await shop.collections('product')).collection('stockLedger')
  await ledger.updateOne(
    { productId: new Types.ObjectId(String(productId)), change: 5 },
    { $set: { at: new Date(), by: 7 } },
  )
  expect((await list(productId)).body.data).toMatchObject([{ reason: 'created' }])
})
