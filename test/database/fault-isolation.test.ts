import { Types } from 'mongoose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Account, Answer } from '#test/support/client.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { recordLog } from '#test/support/recorded-log.ts'
import { loadPasswordCheck, type Shop, startShop } from '#test/support/shop.ts'

// A malformed or locked document, or a hanging command, must not affect other requests of the same batch. The request
// timeout is shorter than the two seconds that a command may take, so a request that waits for such a command gets 503.

const { logger, lines } = await recordLog()
let proxy: Awaited<ReturnType<typeof startMongodbProxy>>
let shop: Shop
let ada: Account
beforeAll(async () => {
  await loadPasswordCheck()
  proxy = await startMongodbProxy(mongodbUri)
  shop = await startShop({ environment: { MONGODB_URI: proxy.uri, REQUEST_TIMEOUT: '1900ms' }, logger })
  ada = await shop.customer()
})
afterAll(async () => {
  await shop.close()
  await proxy.disconnect()
})
beforeEach(() => {
  lines.length = 0
})

const count = 5
const products = (fields: Record<string, unknown> = {}): Promise<string[]> =>
  Promise.all(
    Array.from({ length: count }, async () => (await shop.product(shop.adminToken, fields)).productId),
  )
const buy = (productId: string, quantity = 1) => shop.order(ada.token, [{ productId, quantity }])
const ordersOf = (productIds: readonly string[]) => Promise.all(productIds.map((productId) => buy(productId)))
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status)
const all = (status: number) => Array(count).fill(status)

const collection = async (module: string, name: string) => (await shop.collections(module)).collection(name)
const edit = async (module: string, name: string, id: string, update: object) =>
  (await collection(module, name)).updateOne({ _id: new Types.ObjectId(id) }, update)

/** Writes a document in a transaction that is left open. */
async function lock(module: string, name: string, id: string): Promise<() => Promise<void>> {
  const { client, databaseName } = await shop.collections(module)
  const session = client.startSession()
  session.startTransaction()
  const _id = new Types.ObjectId(id)
  await client
    .db(databaseName)
    .collection(name)
    .updateOne({ _id }, { $set: { lock: 1 } }, { session })
  return async () => {
    await session.abortTransaction()
    await session.endSession()
  }
}

describe('a command that hangs', () => {
  it.each<[string, string[], () => Promise<Answer[]>, number]>([
    [
      'a read of products',
      ['find', 'products'],
      async () => {
        const productIds = await products()
        return Promise.all(productIds.map((productId) => shop.get(`/products/${productId}`)))
      },
      200,
    ],
    [
      'a list of products',
      ['find', 'products', 'hint'],
      () => Promise.all(Array.from({ length: count }, () => shop.get('/products'))),
      200,
    ],
    ['the insert of orders', ['insert', 'orders'], async () => ordersOf(await products()), 201],
    ['the compare-and-set of orders', ['update', 'orders'], async () => ordersOf(await products()), 201],
    [
      'the write of a stock batch',
      ['update', 'products', 'txnNumber', 'stocked'],
      async () => ordersOf(await products()),
      201,
    ],
    ['the commit of a stock batch', ['commitTransaction'], async () => ordersOf(await products()), 201],
  ])(
    'a hanging command (%s) fails neither the requests of its batch nor later requests',
    async (_what, texts, send, status) => {
      const productIds = await products()
      const arrived = proxy.hangNext(...texts)
      const first = send()
      await arrived
      const later = Promise.all([ordersOf(productIds), ordersOf(productIds)])
      expect(statuses(await first)).toEqual(all(status))
      expect((await later).map(statuses)).toEqual([all(201), all(201)])
    },
  )
})

describe('a locked document', () => {
  it('a locked order delays only the request for it', async () => {
    const productIds = await products()
    const { orderId } = (await buy(productIds[0] ?? '')).body
    const unlock = await lock('order', 'orders', orderId)
    const locked = shop.delete(`/orders/${orderId}`, { token: ada.token })
    const [beside, behind] = await Promise.all([ordersOf(productIds), ordersOf(productIds)])
    expect([beside, behind].map(statuses)).toEqual([all(201), all(201)])
    await unlock()
    await locked
  })

  it('a locked product in many orders does not delay orders of other products', async () => {
    const [locked = ''] = await products({ stock: 100 })
    const together = await Promise.all(Array.from({ length: 8 }, () => products()))
    const unlock = await lock('product', 'products', locked)
    const baskets = together.flat().map((productId) =>
      shop.order(
        ada.token,
        [locked, productId].map((id) => ({ productId: id, quantity: 1 })),
      ),
    )
    const productIds = await products()
    expect(statuses(await ordersOf(productIds))).toEqual(all(201))
    expect(statuses(await ordersOf(productIds))).toEqual(all(201))
    await unlock()
    expect(statuses(await Promise.all(baskets)).every((status) => [201, 503].includes(status))).toBe(true)
  })

  it('a locked product delays only its own orders', async () => {
    const [productIds, [locked = '']] = await Promise.all([products(), products()])
    const unlock = await lock('product', 'products', locked)
    const stuck = [buy(locked), buy(locked)]
    const [beside, behind] = await Promise.all([ordersOf(productIds), ordersOf(productIds)])
    const later = [buy(locked)]
    expect([beside, behind, await ordersOf(productIds)].map(statuses)).toEqual([all(201), all(201), all(201)])
    await unlock()
    expect(
      statuses(await Promise.all([...stuck, ...later])).every((status) => [201, 503].includes(status)),
    ).toBe(true)
  })
})

describe('a malformed product', () => {
  const damages: [string, object][] = [
    ['its price is a string', { $set: { price: '5.00' } }],
    ['its stock is a string', { $set: { stock: 'five' } }],
    ['its name is missing', { $unset: { name: 1 } }],
    ['it has no times', { $unset: { createdAt: 1, updatedAt: 1 } }],
    ['its version is not a number', { $set: { version: null } }],
  ]
  it.each(damages)(
    'a malformed product (%s) fails the requests for it and no others',
    async (_what, damage) => {
      const [productIds, [malformed = '']] = await Promise.all([products(), products()])
      await edit('product', 'products', malformed, damage)
      const reads = [malformed, ...productIds].map((productId) => shop.get(`/products/${productId}`))
      expect(statuses(await Promise.all(reads))).toEqual([500, ...all(200)])
      expect(lines.some(({ level }) => level === 50)).toBe(true)

      const mixed = shop.order(
        ada.token,
        [malformed, productIds[0] ?? ''].map((productId) => ({ productId, quantity: 1 })),
      )
      const [refused, ...sold] = await Promise.all([
        buy(malformed),
        ...productIds.map((productId) => buy(productId)),
      ])
      expect(statuses(sold)).toEqual(all(201))
      expect([refused, await mixed].map((answer) => answer?.status)).toEqual([500, 500])

      lines.length = 0
      for (const sort of ['newest', 'price', '-price', 'name']) {
        const shown: string[] = []
        for (let cursor = ''; ; ) {
          const { status, body } = await shop.get(`/products?sort=${sort}&limit=7${cursor}`)
          expect(status).toBe(200)
          shown.push(...body.data.map(({ productId }: { productId: string }) => productId))
          if (body.nextCursor === null) break
          expect(body.data).toHaveLength(7)
          cursor = `&cursor=${body.nextCursor}`
        }
        expect(shown).toEqual(expect.arrayContaining(productIds))
        expect(shown).not.toContain(malformed)
        expect(new Set(shown).size).toBe(shown.length)
      }
      // The product is logged once, although every list omits it.
      const named = lines.filter(
        ({ level, ids, count = 1 }) => level === 50 && ids?.includes(malformed) && count === 1,
      )
      expect(named).toHaveLength(1)
      await (await collection('product', 'products')).deleteOne({ _id: new Types.ObjectId(malformed) })
    },
  )
})

describe('a malformed order', () => {
  it.each<[string, object]>([
    ['a line is broken', { $set: { lines: [null] } }],
    ['it has no lease', { $unset: { leaseUntil: 1 } }],
    ['its steps are no list', { $set: { steps: 'many' } }],
    ['its steps are null', { $set: { steps: null } }],
    ['its steps are an object', { $set: { steps: {} } }],
    ['its total is a string', { $set: { totalAmount: '5.00' } }],
    ['its currency is a number', { $set: { currency: 978 } }],
  ])('a malformed order (%s) fails the requests for it and no others', async (_what, damage) => {
    const productIds = await products()
    const orderIds = (await ordersOf(productIds)).map(({ body }) => body.orderId)
    const malformed = (await buy(productIds[0] ?? '')).body.orderId
    await edit('order', 'orders', malformed, damage)
    const listed = await Promise.all([
      shop.get('/orders?limit=5', { token: ada.token }),
      shop.get('/orders?limit=5', { token: shop.adminToken }),
    ])
    expect(statuses(listed)).toEqual([200, 200])
    for (const { body } of listed) expect(body.data).toHaveLength(5)

    expect((await shop.get(`/orders/${malformed}`, { token: ada.token })).status).toBe(500)
    const cancel = (orderId: string) => shop.delete(`/orders/${orderId}`, { token: ada.token })
    const [failed, ...cancelled] = await Promise.all([malformed, ...orderIds].map(cancel))
    expect(statuses(cancelled)).toEqual(all(200))
    expect(failed?.status).toBe(500)
    await (await collection('order', 'orders')).deleteOne({ _id: new Types.ObjectId(malformed) })
  })
})

it('a malformed reservation fails its own release and no other', async () => {
  const productIds = await products()
  const orderIds = (await ordersOf(productIds)).map(({ body }) => body.orderId)
  const malformed = (await buy(productIds[0] ?? '')).body.orderId
  await edit('product', 'reservations', malformed, { $set: { state: 'lost', requested: 'some' } })
  const cancel = (orderId: string) => shop.delete(`/orders/${orderId}`, { token: ada.token })
  const [failed, ...cancelled] = await Promise.all([malformed, ...orderIds].map(cancel))
  expect(statuses(cancelled)).toEqual(all(200))
  expect(failed?.status).toBe(500)
})
