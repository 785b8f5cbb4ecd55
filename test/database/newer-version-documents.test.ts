import type { mongo } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import type { Account } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

// During a rolling update, replicas of a newer version write fields that this version does not know. This version must
// read and change such documents and keep those fields (docs/migrations.md).
let shop: Shop
let ada: Account
let productId: string
const placed: string[] = []

/** The documents with an unknown field, by collection. */
const marked = new Map<string, mongo.BSON.ObjectId[]>()
/** Documents of migrations and locks get no unknown fields. */
const isTested = (name: string) => !['migrations', 'locks'].includes(name) && !name.startsWith('system.')

async function everyCollection() {
  const all = []
  for (const { name } of registry) {
    const db = await shop.collections(name)
    for (const { name: collection } of await db.listCollections().toArray()) {
      if (isTested(collection)) all.push(db.collection(collection))
    }
  }
  return all
}

beforeAll(async () => {
  shop = await startShop()
  ada = await shop.customer()
  productId = (await shop.product(shop.adminToken, { stock: 20 })).productId
  for (let n = 0; n < 3; n++) {
    const { body } = await shop.order(ada.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': `k${n}` })
    placed.push(body.orderId)
  }
  await shop.post(`/products/${productId}/stock`, {
    token: shop.adminToken,
    body: { change: 5 },
    headers: { 'Idempotency-Key': 'restock' },
  })
  for (const collection of await everyCollection()) {
    await collection.updateMany({}, { $set: { ofALaterVersion: { some: 'thing' } } })
    marked.set(collection.namespace, await collection.distinct('_id'))
  }
})
afterAll(() => shop.close())

it('documents of a newer version are read and changed, and keep their unknown fields', async () => {
  const { token, email, password, refreshToken } = ada
  const admin = { token: shop.adminToken }
  const [first, second, third] = placed
  const statuses: Record<string, number> = {}
  const record = async (what: string, answer: Promise<{ status: number }>) => {
    statuses[what] = (await answer).status
  }
  const newPassword = 'another horse battery'
  await record('sign in', shop.post('/login', { body: { email, password } }))
  await record('refresh', shop.post('/token/refresh', { body: { refreshToken } }))
  await record('profile', shop.get('/profile', { token }))
  await record(
    'password',
    shop.put('/profile/password', { token, body: { currentPassword: password, newPassword } }),
  )
  await record('catalogue', shop.get('/products?sort=price'))
  const { body: product } = await shop.get(`/products/${productId}`)
  await record(
    'edit',
    shop.put(`/products/${productId}`, { ...admin, body: { price: 3, version: product.version } }),
  )
  await record(
    'restock again',
    shop.post(`/products/${productId}/stock`, {
      ...admin,
      body: { change: 5 },
      headers: { 'Idempotency-Key': 'restock' },
    }),
  )
  await record('restock', shop.post(`/products/${productId}/stock`, { ...admin, body: { change: 1 } }))
  await record('buy', shop.order(token, [{ productId, quantity: 1 }]))
  await record('buy again', shop.order(token, [{ productId, quantity: 1 }], { 'Idempotency-Key': 'k0' }))
  await record('orders', shop.get('/orders', { token }))
  await record('cancel', shop.delete(`/orders/${first}`, { token }))
  await record('ship', shop.put(`/orders/${second}`, { ...admin, body: { status: 'shipped' } }))
  await record('order', shop.get(`/orders/${third}`, { token }))
  await record('delete', shop.delete(`/products/${productId}`, admin))
  expect(Object.entries(statuses).filter(([, status]) => status >= 400)).toEqual([])

  for (const collection of await everyCollection()) {
    const known = marked.get(collection.namespace) ?? []
    const now = await collection.find({ _id: { $in: known } }).toArray()
    expect([collection.namespace, now.filter(({ ofALaterVersion }) => !ofALaterVersion)]).toEqual([
      collection.namespace,
      [],
    ])
  }
  expect(marked.size).toBeGreaterThan(6)
})
