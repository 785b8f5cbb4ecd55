import type { mongo } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import type { Account } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

/**
 * While replicas of a newer version run beside those of this one, the documents have fields that this one knows nothing
 * of: it has to read them, change them, and leave those fields alone (docs/migrations.md).
 */
let shop: Shop
let ada: Account
let productId: string
const placed: string[] = []

/** Which documents have such a field, by collection. */
const marked = new Map<string, mongo.BSON.ObjectId[]>()
/** What only migrations and locks are made of. */
const kept = (name: string) => !['migrations', 'locks'].includes(name) && !name.startsWith('system.')

async function everyCollection() {
  const all = []
  for (const { name } of registry) {
    const db = await shop.collections(name)
    for (const { name: collection } of await db.listCollections().toArray()) {
      if (kept(collection)) all.push(db.collection(collection))
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

it('documents of a newer version are read, changed, and keep what only that version knows', async () => {
  const { token, email, password, refreshToken } = ada
  const admin = { token: shop.adminToken }
  const [first, second, third] = placed
  const statuses: Record<string, number> = {}
  const see = async (what: string, answer: Promise<{ status: number }>) => {
    statuses[what] = (await answer).status
  }
  const newPassword = 'another horse battery'
  await see('sign in', shop.post('/login', { body: { email, password } }))
  await see('refresh', shop.post('/token/refresh', { body: { refreshToken } }))
  await see('profile', shop.get('/profile', { token }))
  await see(
    'password',
    shop.put('/profile/password', { token, body: { currentPassword: password, newPassword } }),
  )
  await see('catalogue', shop.get('/products/?sort=price'))
  const { body: product } = await shop.get(`/products/${productId}`)
  await see(
    'edit',
    shop.put(`/products/${productId}`, { ...admin, body: { price: 3, version: product.version } }),
  )
  await see(
    'restock again',
    shop.post(`/products/${productId}/stock`, {
      ...admin,
      body: { change: 5 },
      headers: { 'Idempotency-Key': 'restock' },
    }),
  )
  await see('restock', shop.post(`/products/${productId}/stock`, { ...admin, body: { change: 1 } }))
  await see('buy', shop.order(token, [{ productId, quantity: 1 }]))
  await see('buy again', shop.order(token, [{ productId, quantity: 1 }], { 'Idempotency-Key': 'k0' }))
  await see('orders', shop.get('/orders', { token }))
  await see('cancel', shop.delete(`/orders/${first}`, { token }))
  await see('ship', shop.put(`/orders/${second}`, { ...admin, body: { status: 'shipped' } }))
  await see('order', shop.get(`/orders/${third}`, { token }))
  await see('delete', shop.delete(`/products/${productId}`, admin))
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
