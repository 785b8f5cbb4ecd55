import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Db } from '#test/support/collections.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

const day = 86_400_000

const expiryOf = async (db: Db, collection: string) => {
  const indexes = await db.collection(collection).indexes()
  return indexes.find(({ expireAfterSeconds }) => expireAfterSeconds !== undefined)
}

/** Removes what the TTL index of the collection expires. MongoDB itself would do so within a minute. */
async function removeExpired(db: Db, collection: string): Promise<void> {
  const { key, expireAfterSeconds = 0, partialFilterExpression = {} } = (await expiryOf(db, collection)) ?? {}
  const [field = ''] = Object.keys(key ?? {})
  const expired = { [field]: { $lte: new Date(Date.now() - expireAfterSeconds * 1_000) } }
  await db.collection(collection).deleteMany({ $and: [partialFilterExpression, expired] })
}

describe('retention', () => {
  let shop: Shop
  beforeAll(async () => {
    shop = await startShop({ environment: { RETENTION: '3d' } })
  })
  afterAll(() => shop.close())

  it('rejected and cancelled orders and their reservations expire after RETENTION, confirmed orders stay', async () => {
    const { token } = await shop.customer()
    const { productId } = await shop.product(shop.adminToken, { stock: 10 })
    const buy = (quantity: number, key: string) =>
      shop.order(token, [{ productId, quantity }], { 'Idempotency-Key': key })
    const cancelled = (await buy(1, 'cancelled')).body.orderId
    await shop.delete(`/orders/${cancelled}`, { token })
    await buy(1, 'confirmed')
    await buy(99, 'rejected')
    const [order, product] = [await shop.collections('order'), await shop.collections('product')]
    const [orders, reservations] = [order.collection('orders'), product.collection('reservations')]
    const statuses = async () => (await orders.find().toArray()).map(({ status }) => status).sort()
    const states = async () => (await reservations.find().toArray()).map(({ state }) => state).sort()
    const age = async (days: number) => {
      const updatedAt = new Date(Date.now() - days * day)
      await orders.updateMany({}, { $set: { updatedAt } })
      await reservations.updateMany({}, { $set: { updatedAt } })
      await removeExpired(order, 'orders')
      await removeExpired(product, 'reservations')
    }

    await age(2)
    expect(await statuses()).toEqual(['cancelled', 'confirmed', 'rejected'])
    expect(await states()).toEqual(['held', 'rejected', 'released'])
    expect((await buy(99, 'rejected')).headers.get('idempotent-replayed')).toBe('true')

    await age(4)
    expect(await statuses()).toEqual(['cancelled', 'confirmed'])
    expect(await states()).toEqual(['held'])
    expect((await buy(1, 'confirmed')).headers.get('idempotent-replayed')).toBe('true')
    // The key has expired with the order, so this is a new order.
    expect((await buy(1, 'rejected')).status).toBe(201)
  })
})

it('a changed RETENTION also applies to an existing database', async () => {
  const first = await startShop()
  const { database: MONGODB_DATABASE } = first
  const databases = [await first.collections('order'), await first.collections('product')] as const
  const seconds = async () => [
    (await expiryOf(databases[0], 'orders'))?.expireAfterSeconds,
    (await expiryOf(databases[1], 'reservations'))?.expireAfterSeconds,
  ]
  expect(await seconds()).toEqual([7 * 86_400, 7 * 86_400])
  // The profiler records the commands of these databases only. Other test files use the same server.
  for (const db of databases) await db.command({ profile: 2 })
  const changes = async () => {
    const filter = { 'command.collMod': { $exists: true } }
    const counts = databases.map((db) => db.collection('system.profile').countDocuments(filter))
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
  }
  // A correct index is not changed, because collMod needs a privilege and a lock.
  const again = await startShop({ environment: { MONGODB_DATABASE } })
  expect(await changes()).toBe(0)
  const second = await startShop({ environment: { MONGODB_DATABASE, RETENTION: '30d' } })
  expect(await seconds()).toEqual([30 * 86_400, 30 * 86_400])
  expect(await changes()).toBeGreaterThan(0)
  for (const shop of [second, again, first]) await shop.close()
})

it('a RETENTION shorter than idempotency keys are kept is refused', async () => {
  const start = startShop({ environment: { RETENTION: '47h' } })
  // Two modules have this setting, but the fault is listed once.
  await expect(start).rejects.toThrow('1 fault:\n  - RETENTION must be 2d or more')
})
