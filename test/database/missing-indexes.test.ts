import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import type { Account, Answer } from '#test/support/client.ts'
import { recordLog } from '#test/support/recorded-log.ts'
import { databaseName, type Shop, startComposition, startShop } from '#test/support/shop.ts'

// An index may be hidden by an operator, dropped by mistake, or left out of a restored backup.

const { logger, lines } = await recordLog()
/** The first warning of each index. */
const warnings = () =>
  lines.filter(
    ({ level, msg, count }) => level === 40 && msg.includes('missing or hidden') && count === undefined,
  )

const database = databaseName()
const environment = { MONGODB_DATABASE: database, RETENTION: '3d' }
let shop: Shop
let ada: Account
let productId: string
beforeAll(async () => {
  shop = await startShop({ environment, logger })
  ada = await shop.customer()
  for (let n = 0; n < 3; n++) {
    ;({ productId } = await shop.product(shop.adminToken, { name: `Cup ${n}`, price: n + 1, stock: 10 }))
    await shop.order(ada.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': `${n}` })
  }
  for (let n = 0; n < 3; n++) {
    await shop.order(ada.token, [{ productId, quantity: 1_000 }])
    const { orderId } = (await shop.order(ada.token, [{ productId, quantity: 1 }])).body
    await shop.delete(`/orders/${orderId}`, { token: ada.token })
  }
  const body = { change: 1 }
  for (let n = 0; n < 2; n++)
    await shop.post(`/products/${productId}/stock`, { token: shop.adminToken, body })
  // The order of changes leaves out the changes of the last half minute.
  const orders = (await shop.collections('order')).collection('orders')
  await orders.updateMany({}, [{ $set: { updatedAt: { $subtract: ['$updatedAt', 3_600_000] } } }])
})
afterAll(() => shop.close())
beforeEach(() => {
  lines.length = 0
})

/** Reads two pages of each list in each order. */
const lists = (): (() => Promise<Answer>)[] => [
  ...['newest', 'price', '-price', 'name'].flatMap((sort) => [
    () => pages(`/products?sort=${sort}`),
    () => pages(`/products?sort=${sort}&minPrice=1&inStock=true`),
  ]),
  () => pages('/products?q=cup'),
  () => pages('/orders?', ada.token),
  () => pages('/orders?status=confirmed', ada.token),
  () => pages('/orders?status=confirmed&status=shipped', ada.token),
  () => pages('/orders?status=cancelled', ada.token),
  () => pages('/orders?sort=updated', ada.token),
  () => pages('/orders?', shop.adminToken),
  () => pages(`/orders?userId=${ada.userId}`, shop.adminToken),
  () => pages('/orders?status=confirmed', shop.adminToken),
  () => pages('/orders?status=rejected', shop.adminToken),
  () => pages('/orders?sort=updated', shop.adminToken),
  () => pages(`/products/${productId}/stock?`, shop.adminToken),
]
async function pages(list: string, token?: string): Promise<Answer> {
  const first = await shop.get(`${list}&limit=2`, { token })
  if (first.status !== 200) return first
  const rest = await shop.get(`${list}&limit=2&cursor=${first.body.nextCursor}`, { token })
  return { ...rest, body: { data: [...first.body.data, ...(rest.body.data ?? [])] } }
}
const readLists = async () => {
  const answers = await Promise.all(lists().map((list) => list()))
  return answers.map(({ status, body }) => ({ status, body }))
}

/** Returns the indexes that migrations made. */
async function everyIndex() {
  const found: { module: string; collection: string; key: object; name: string; options: object }[] = []
  for (const { name: module } of registry) {
    const db = await shop.collections(module)
    for (const { name: collection } of await db.listCollections().toArray()) {
      for (const { key, name, v: _, ...options } of await db.collection(collection).indexes()) {
        if (name !== '_id_') found.push({ module, collection, key, name: String(name), options })
      }
    }
  }
  return found.toSorted((one, other) => (one.name < other.name ? -1 : 1))
}

const start = async () => {
  const { composition, close } = await startComposition({ environment, logger })
  try {
    await composition.prepare(new AbortController().signal)
  } finally {
    await close()
  }
}

describe('hidden indexes', () => {
  it('lists work while their indexes are hidden, each hidden index is logged once, and a start leaves it hidden', async () => {
    const whole = await readLists()
    const indexes = await everyIndex()
    const setHidden = async (hidden: boolean) => {
      for (const { module, collection, name } of indexes) {
        const db = await shop.collections(module)
        await db.command({ collMod: collection, index: { name, hidden } })
      }
    }
    await setHidden(true)
    expect(await readLists()).toEqual(whole)
    expect(await readLists()).toEqual(whole)
    const warned = warnings().map(({ collection, index }) => `${collection} ${JSON.stringify(index)}`)
    expect(warned.toSorted()).toEqual([
      'orders {"createdAt":-1,"_id":-1,"status":1}',
      'orders {"status":-1,"createdAt":-1,"_id":-1}',
      'orders {"updatedAt":1,"_id":1}',
      'orders {"userId":1,"createdAt":-1,"_id":-1,"status":1}',
      'orders {"userId":1,"status":-1,"createdAt":-1,"_id":-1}',
      'orders {"userId":1,"updatedAt":1,"_id":1,"status":1}',
      'products {"createdAt":-1,"_id":-1,"price":1,"inStock":1,"deleted":1}',
      'products {"createdAt":-1,"_id":-1}',
      'products {"name":"text","description":"text"}',
      'products {"name":1,"_id":1,"price":1,"inStock":1,"deleted":1}',
      'products {"name":1,"_id":1}',
      'products {"price":1,"_id":1,"inStock":1,"deleted":1}',
      'products {"price":1,"_id":1}',
      'stockLedger {"productId":1,"at":-1,"_id":-1}',
    ])

    await start()
    const hidden = lines.filter(({ msg }) => msg.startsWith('an index is hidden'))
    expect(hidden.map(({ index }) => String(index)).toSorted()).toEqual(indexes.map(({ name }) => name))
    await setHidden(false)
    lines.length = 0
    expect(await readLists()).toEqual(whole)
    expect(warnings()).toEqual([])
  })
})

describe('missing indexes', () => {
  it('requests work while their indexes are missing, and a start creates the missing indexes', async () => {
    const whole = await readLists()
    const indexes = await everyIndex()
    for (const { module, collection, name } of indexes) {
      await (await shop.collections(module)).collection(collection).dropIndex(name)
    }
    expect(await everyIndex()).toEqual([])

    expect(await readLists()).toEqual(whole)
    const grace = await shop.customer()
    const { productId } = await shop.product(shop.adminToken)
    const placed = await shop.order(grace.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': 'k' })
    expect(placed.status).toBe(201)
    expect((await shop.delete(`/orders/${placed.body.orderId}`, { token: grace.token })).status).toBe(200)
    const body = { email: grace.email, password: 'a wrong password' }
    expect((await shop.post('/login', { body })).status).toBe(401)
    expect(lines.filter(({ level }) => level >= 50)).toEqual([])

    await start()
    expect(await everyIndex()).toEqual(indexes)
    lines.length = 0
    expect((await readLists()).map(({ status }) => status)).toEqual(whole.map(({ status }) => status))
    expect(warnings()).toEqual([])
  })

  it('a start ends if duplicates prevent a unique index, and names the collection and the field', async () => {
    const users = (await shop.collections('auth')).collection('users')
    await users.dropIndex('email')
    const { _id, ...twin } = (await users.findOne({ emailKey: ada.email.toLowerCase() })) ?? {}
    const { insertedId } = await users.insertOne({ ...twin, usernameKey: 'twin' })
    await expect(start()).rejects.toThrow(
      `${database}_auth.users has several documents with the same emailKey`,
    )
    await users.deleteOne({ _id: insertedId })
    await start()
  })

  it('a start ends if an index that must be unique is not unique, and says how to drop the index', async () => {
    const orders = (await shop.collections('order')).collection('orders')
    const key = { userId: 1, key: 1 } as const
    await orders.dropIndex('userId_1_key_1')
    await orders.createIndex(key, { name: 'mine' })
    await expect(start()).rejects.toThrow('db.orders.dropIndex("mine")')
    await orders.dropIndex('mine')
    await start()
  })

  it('a start ends if a unique index has another partial filter, and says how to drop the index', async () => {
    const orders = (await shop.collections('order')).collection('orders')
    await orders.dropIndex('userId_1_key_1')
    const partialFilterExpression = { key: { $exists: true }, undo: true }
    await orders.createIndex({ userId: 1, key: 1 }, { name: 'mine', unique: true, partialFilterExpression })
    await expect(start()).rejects.toThrow(
      'must have the partialFilterExpression {"key":{"$exists":true}}: drop it with db.orders.dropIndex("mine")',
    )
    await orders.dropIndex('mine')
    await start()
  })

  it('a start ends if a TTL index has no expiry, and says how to drop the index', async () => {
    const families = (await shop.collections('auth')).collection('refreshFamilies')
    await families.dropIndex('expiry')
    await families.createIndex({ expiresAt: 1 }, { name: 'mine' })
    await expect(start()).rejects.toThrow(
      'must have expireAfterSeconds: drop it with db.refreshFamilies.dropIndex("mine")',
    )
    await families.dropIndex('mine')
    await start()
  })

  it('a start does not create an index if one with the same key and another name exists', async () => {
    const orders = (await shop.collections('order')).collection('orders')
    const key = { status: -1, createdAt: -1, _id: -1 } as const
    await orders.dropIndex('status_-1_createdAt_-1__id_-1')
    await orders.createIndex(key, { name: 'mine' })
    await start()
    const there = (await everyIndex()).filter((index) => JSON.stringify(index.key) === JSON.stringify(key))
    expect(there.map(({ name }) => name)).toEqual(['mine'])
    expect((await readLists()).map(({ status }) => status)).toEqual(lists().map(() => 200))
    expect(warnings()).toEqual([])
  })
})
