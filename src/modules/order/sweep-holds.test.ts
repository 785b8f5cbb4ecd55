import { Types } from 'mongoose'
import { beforeAll, describe, expect, it, type TestContext, vi } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { createGate } from '#test/support/gate.ts'
import {
  restartHoldSweeps,
  type ShopWithProductStub,
  startShopWithProductStub,
} from '#test/support/product-stub-shop.ts'
import { connectMongo, databaseName, loadPasswordCheck } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import type { HoldPosition, ProductPort } from '../product/contract.ts'
import { createHoldSweeps } from './hold-sweep.repository.ts'
import type { OrderRepository } from './order.repository.ts'
import type { OrderScans } from './order-scans.repository.ts'
import { abandonedFromMs, sweepHolds } from './sweep-holds.ts'

const longAgo = 60_000
const unreachable = () => Promise.reject(dependencyUnavailable('product is not available'))

/** Starts a shop for one test, with one customer. The tests run concurrently, because they mostly wait for the sweeper. */
async function open({ onTestFinished }: TestContext, environment: Record<string, string> = {}) {
  const shop = await startShopWithProductStub({ REQUEST_TIMEOUT: '20s', ...environment })
  const ada = await shop.customer()
  const others: ShopWithProductStub[] = []
  onTestFinished(async () => {
    shop.stubProduct()
    expect(await findUnbalancedBooks(shop)).toEqual([])
    // This drops the database.
    for (const each of [...others, shop]) await each.close()
  })
  const orders = (await shop.collections('order')).collection('orders')
  const reservations = (await shop.collections('product')).collection('reservations')
  const stockOf = async (productId: string) => (await shop.get(`/products/${productId}`)).body.stock
  const place = (productId: string, key = 'basket', quantity = 2) =>
    shop.order(ada.token, [{ productId, quantity }], { 'Idempotency-Key': key })
  const product = (stock = 10) => shop.product(shop.adminToken, { stock })
  const read = async (orderId: string) => (await shop.get(`/orders/${orderId}`, { token: ada.token })).body
  const idOf = (orderId: string) => ({ _id: new Types.ObjectId(orderId) })

  /** Ages a hold until the sweeper has settled it. */
  const settled = (orderId: string) =>
    vi.waitFor(
      async () => {
        const reservation = await reservations.findOne(idOf(orderId))
        if (reservation?.state === 'held') await shop.ageHold(orderId, longAgo)
        expect(reservation?.state).toBe('released')
      },
      { timeout: 30_000, interval: 500 },
    )

  /** Places an order whose process dies after its reserve has taken effect. */
  const leaveHold = async (productId: string, key?: string) => {
    let orderId = ''
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        orderId = request.orderId
        await port.reserve(request, call)
        throw new Error('the process dies here')
      },
    }))
    expect((await place(productId, key)).status).toBe(500)
    shop.stubProduct()
    return orderId
  }

  /** Repeats a request in another process, which does not know that the key was used. */
  const placeElsewhere = async (productId: string) => {
    const other = await startShopWithProductStub({ REQUEST_TIMEOUT: '20s', MONGODB_DATABASE: shop.database })
    others.push(other)
    const headers = { 'Idempotency-Key': 'basket' }
    const token = await other.login(ada.email, ada.password)
    return other.order(token, [{ productId, quantity: 2 }], headers)
  }

  return {
    placeElsewhere,
    shop,
    ada,
    orders,
    reservations,
    stockOf,
    place,
    product,
    read,
    idOf,
    settled,
    leaveHold,
  }
}

beforeAll(loadPasswordCheck)

describe.concurrent('a hold without an order', () => {
  it('a hold without an order is undone: the customer finds a cancelled order, and a retry places a new order', async (context) => {
    const { ada, shop, product, stockOf, place, read, settled, leaveHold } = await open(context)
    const { productId } = await product()
    const orderId = await leaveHold(productId)
    expect(await stockOf(productId)).toBe(8)
    expect((await read(orderId)).code).toBe('order_not_found')
    await settled(orderId)
    expect(await stockOf(productId)).toBe(10)
    await vi.waitFor(async () => expect((await read(orderId)).status).toBe('cancelled'))
    expect(await read(orderId)).toMatchObject({
      version: 3,
      userId: ada.userId,
      totalAmount: null,
      productList: [{ productId, quantity: 2, name: null, price: null }],
    })
    const history = await shop.get(`/orders/${orderId}/history`, { token: ada.token })
    expect(history.body.data).toMatchObject([
      { status: 'pending', by: ada.userId },
      { status: 'cancelling', by: 'sweeper' },
      { status: 'cancelled', by: 'sweeper' },
    ])
    const retried = await place(productId)
    expect(retried).toMatchObject({ status: 201, body: { status: 'confirmed' } })
    expect(retried.body.orderId).not.toBe(orderId)
    expect(retried.headers.has('idempotent-replayed')).toBe(false)
    expect((await place(productId)).body).toEqual(retried.body)
    expect(await stockOf(productId)).toBe(8)
  })

  it('a retry carries on a hold without an order', async (context) => {
    const { product, stockOf, place, leaveHold } = await open(context)
    const { productId } = await product()
    const orderId = await leaveHold(productId)
    expect(await place(productId)).toMatchObject({ status: 201, body: { orderId } })
    expect(await stockOf(productId)).toBe(8)
  })

  it('a hold without an order is left to a retry until ten seconds after the time of its request', async (context) => {
    const { shop, product, reservations, idOf, settled, leaveHold } = await open(context)
    expect(abandonedFromMs(4_000)).toBe(14_000)
    const { productId } = await product()
    const early = await leaveHold(productId, 'early')
    const late = await leaveHold(productId, 'late')
    const interval = setInterval(async () => {
      // The hold is 20 s old, however long the sweeper takes.
      await reservations.updateOne(idOf(early), { $set: { createdAt: new Date(Date.now() - 20_000) } })
    }, 50)
    await settled(late)
    clearInterval(interval)
    expect(await reservations.findOne(idOf(early))).toMatchObject({ state: 'held' })
    expect((await shop.get(`/orders/${early}`, { token: shop.adminToken })).status).toBe(404)
  })

  it('a request whose hold was undone places its order under another id', async (context) => {
    const { shop, product, stockOf, place, settled } = await open(context)
    const { productId } = await product()
    const gate = createGate()
    let orderId = ''
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        const reservation = await port.reserve(request, call)
        orderId ||= request.orderId
        if (orderId === request.orderId) await gate.pass()
        return reservation
      },
    }))
    const placing = place(productId)
    await gate.reached
    await settled(orderId)
    gate.open()
    const placed = await vi.waitFor(async () => {
      const answer = await placing
      // The undo frees the key in its last step.
      const final = answer.status === 409 ? await place(productId) : answer
      expect(final.status).toBe(201)
      return final
    })
    expect(placed.body.orderId).not.toBe(orderId)
    expect(await stockOf(productId)).toBe(8)
  })

  it('a hold whose reserve named no user is undone as an order of an unknown user', async (context) => {
    const { reservations, product, idOf, stockOf, settled, leaveHold, shop } = await open(context)
    const { productId } = await product()
    const orderId = await leaveHold(productId)
    await reservations.updateOne(idOf(orderId), { $unset: { userId: 1 } })
    await settled(orderId)
    expect(await stockOf(productId)).toBe(10)
    expect(await shop.get(`/orders/${orderId}`, { token: shop.adminToken })).toMatchObject({
      body: { userId: '0'.repeat(24) },
    })
  })

  it('the sweeper of holds undoes more holds than one round reads', async (context) => {
    const { shop, ada, stockOf, reservations } = await open(context)
    const { productId } = await shop.product(shop.adminToken, { stock: 1_000 })
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        await port.reserve(request, call)
        throw new Error('the process dies here')
      },
    }))
    const buy = () => shop.order(ada.token, [{ productId, quantity: 1 }])
    const left = await Promise.all(Array.from({ length: 700 }, buy))
    expect(new Set(left.map(({ status }) => status))).toEqual(new Set([500]))
    expect(await stockOf(productId)).toBe(300)
    // All holds have one time, so that only their ids tell the pages apart.
    await reservations.updateMany({}, { $set: { createdAt: new Date(Date.now() - longAgo) } })
    await restartHoldSweeps(shop)
    await vi.waitFor(async () => expect(await stockOf(productId)).toBe(1_000), {
      timeout: 60_000,
      interval: 100,
    })
  })
})

describe.concurrent('a hold with an order', () => {
  it('the hold of a confirmed order and of a pending order stays', async (context) => {
    const { shop, product, stockOf, place, settled, leaveHold, read } = await open(context)
    const { productId } = await product()
    const confirmed = (await place(productId, 'confirmed')).body.orderId
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        await port.reserve(request, call)
        return unreachable()
      },
    }))
    const pending = (await place(productId, 'pending')).body.orderId
    const abandoned = await leaveHold(productId, 'abandoned')
    for (const orderId of [confirmed, pending]) await shop.ageHold(orderId, 2 * longAgo)
    await settled(abandoned)
    expect((await read(confirmed)).status).toBe('confirmed')
    expect((await read(pending)).status).toBe('pending')
    expect(await stockOf(productId)).toBe(6)
  })

  it('a hold that a retry made after the order was cancelled and its reservation expired is released', async (context) => {
    const { shop, ada, reservations, product, stockOf, place, placeElsewhere, idOf, settled } =
      await open(context)
    const { productId } = await product()
    const { orderId } = (await place(productId)).body
    expect((await shop.delete(`/orders/${orderId}`, { token: ada.token })).status).toBe(200)
    await reservations.deleteOne(idOf(orderId))
    const replayed = await placeElsewhere(productId)
    expect(replayed).toMatchObject({ status: 201, body: { orderId } })
    expect(await stockOf(productId)).toBe(8)
    await settled(orderId)
    expect(await stockOf(productId)).toBe(10)
  })

  it.for([
    ['young', 3_600_000, 409],
    ['old', 2 * 86_400_000, 201],
  ] as const)(
    'a hold that a retry made for a rejected order that is %s is returned, and an old order expires',
    async ([, ageMs, answer], context) => {
      const { shop, orders, reservations, stockOf, place, placeElsewhere, product, idOf, settled } =
        await open(context)
      const { productId } = await product(1)
      expect((await place(productId)).status).toBe(409)
      const order = await orders.findOne({ key: 'basket' })
      const orderId = String(order?._id)
      await reservations.deleteOne(idOf(orderId))
      await orders.updateOne(idOf(orderId), { $set: { updatedAt: new Date(Date.now() - ageMs) } })
      await shop.post(`/products/${productId}/stock`, { token: shop.adminToken, body: { change: 9 } })
      expect((await placeElsewhere(productId)).status).toBe(409)
      expect(await stockOf(productId)).toBe(8)
      await settled(orderId)
      expect(await stockOf(productId)).toBe(10)
      await vi.waitFor(async () => expect((await place(productId)).status).toBe(answer), { timeout: 5_000 })
      expect(await stockOf(productId)).toBe(answer === 201 ? 8 : 10)
    },
  )
})

describe.concurrent('the sweeper of holds', () => {
  it('the sweeper of holds continues when the product service is available again', async (context) => {
    const { shop, product, stockOf, settled, leaveHold } = await open(context, { REQUEST_TIMEOUT: '4s' })
    const { productId } = await product()
    const orderId = await leaveHold(productId)
    let refusals = 0
    shop.stubProduct(() => ({
      holdsByTime: () => {
        refusals += 1
        return unreachable()
      },
      release: unreachable,
    }))
    await shop.ageHold(orderId, longAgo)
    await vi.waitFor(() => expect(refusals).toBeGreaterThan(1), { timeout: 20_000 })
    shop.stubProduct(() => ({ release: unreachable }))
    // The order is stored, and the release has to be repeated.
    const undone = () => shop.get(`/orders/${orderId}`, { token: shop.adminToken })
    await vi.waitFor(async () => expect((await undone()).body.status).toBe('cancelling'), { timeout: 20_000 })
    shop.stubProduct()
    await settled(orderId)
    expect(await stockOf(productId)).toBe(10)
  })

  it('a hold is left alone while a replica of an earlier version says nothing about its user', async (context) => {
    const { shop, ada, product, read, settled, leaveHold } = await open(context, { REQUEST_TIMEOUT: '4s' })
    const { productId } = await product()
    const orderId = await leaveHold(productId)
    let answers = 0
    shop.stubProduct((port) => ({
      async reservations(request, call) {
        answers += 1
        const { reservations } = await port.reservations(request, call)
        return { reservations: reservations.map(({ orderId, reservation }) => ({ orderId, reservation })) }
      },
    }))
    await shop.ageHold(orderId, longAgo)
    await vi.waitFor(() => expect(answers).toBeGreaterThan(1), { timeout: 20_000 })
    expect((await read(orderId)).code).toBe('order_not_found')
    shop.stubProduct()
    await settled(orderId)
    await vi.waitFor(async () => expect(await read(orderId)).toMatchObject({ userId: ada.userId }))
  })

  it('the sweeper of holds settles other holds beside a malformed order', async (context) => {
    const { shop, orders, product, place, idOf, settled, leaveHold, reservations } = await open(context)
    const { productId } = await product()
    const malformed = (await place(productId, 'malformed')).body.orderId
    await orders.updateOne(idOf(malformed), { $unset: { userId: 1 }, $set: { status: 'rejected' } })
    await shop.ageHold(malformed, longAgo)
    await settled(await leaveHold(productId))
    expect(await reservations.findOne(idOf(malformed))).toMatchObject({ state: 'held' })
  })

  it('a hold that the first sweep missed is undone by the second one, from ten minutes after it was made', async (context) => {
    const { shop, product, reservations, stockOf, idOf, leaveHold } = await open(context)
    const { productId } = await product()
    const [early, late] = [await leaveHold(productId, 'early'), await leaveHold(productId, 'late')]
    const sweeps = (await shop.collections('order')).collection('holdSweeps')
    const ago = (seconds: number) => new Date(Date.now() - 1_000 * seconds)
    // Another process owns the first sweep, and does nothing.
    const owned = { owner: 'another process', ownedUntil: ago(-3_600) }
    await sweeps.updateOne({ _id: { $eq: 'first' } } as object, { $set: owned })
    await reservations.updateOne(idOf(early), { $set: { createdAt: ago(540) } })
    await reservations.updateOne(idOf(late), { $set: { createdAt: ago(660) } })
    await vi.waitFor(
      async () => {
        await sweeps.updateOne({ _id: { $eq: 'second' } } as object, { $set: { heldAt: ago(3_600) } })
        expect(await reservations.findOne(idOf(late))).toMatchObject({ state: 'released' })
      },
      { timeout: 30_000, interval: 1_000 },
    )
    expect(await reservations.findOne(idOf(early))).toMatchObject({ state: 'held' })
    expect(await stockOf(productId)).toBe(8)
  })

  it('the sweeper of holds reads them through an index of holds', async (context) => {
    const { shop, product, place, settled, leaveHold } = await open(context)
    const { productId } = await product()
    const db = await shop.collections('product')
    for (const key of ['one', 'two', 'three']) await place(productId, key)
    await db.command({ profile: 2 })
    await settled(await leaveHold(productId))
    await db.command({ profile: 0 })
    const read = await db.collection('system.profile').findOne({
      'command.find': 'reservations',
      'command.filter.createdAt': { $exists: true },
      nreturned: 1,
    })
    expect(read?.planSummary).toBe('IXSCAN { createdAt: 1, _id: 1 }')
    expect(read?.command).toMatchObject({ limit: expect.any(Number), maxTimeMS: expect.any(Number) })
    expect(read?.docsExamined).toBeLessThanOrEqual(1)
  })
})

it('one process at a time owns a sweep, until its ownership ends', async ({ onTestFinished }) => {
  const mongo = await connectMongo(databaseName())
  const database = mongo.database('order')
  onTestFinished(async () => {
    await database.connection.dropDatabase()
    await mongo.close()
  })
  const call = createCall(20_000, 'test')
  const { db } = database.connection
  if (!db) throw new Error('a connected database has a handle')
  const startedAt = Date.now()
  const sweeps = createHoldSweeps(database)
  await sweeps.begin(call)
  const beginning = await sweeps.own('first', 'a', call)
  // The clock of the product service may be behind.
  expect(beginning?.heldAt).toBeGreaterThanOrEqual(startedAt - 3_600_000)
  expect(beginning?.heldAt).toBeLessThanOrEqual(Date.now() - 3_600_000)
  // A later start does not begin again.
  await sweeps.begin(call)
  expect(await sweeps.own('first', 'a', call)).toEqual(beginning)
  expect(await sweeps.own('first', 'b', call)).toBeUndefined()
  expect(await sweeps.own('second', 'b', call)).toBeDefined()

  const position = { heldAt: startedAt + 1_000, orderId: 'f'.repeat(24) }
  await sweeps.advance('first', 'b', { ...position, heldAt: startedAt + 2_000 }, call)
  expect(await sweeps.own('first', 'a', call)).toEqual(beginning)
  await sweeps.advance('first', 'a', position, call)
  expect(await sweeps.own('first', 'a', call)).toEqual(position)
  await db.collection('holdSweeps').updateMany({}, { $set: { ownedUntil: new Date(Date.now() - 1) } })
  expect(await sweeps.own('first', 'b', call)).toEqual(position)
  expect(await sweeps.own('first', 'a', call)).toBeUndefined()
})

it('the sweeper of holds repeats a page whose holds fail, and passes it after ten rounds', async () => {
  const hold = { heldAt: 1_000, orderId: 'a'.repeat(24) }
  const advanced: HoldPosition[] = []
  let isAway = false
  const job = sweepHolds({
    orders: { findStatuses: async () => new Map() } as Partial<OrderRepository> as OrderRepository,
    scans: {} as OrderScans,
    product: {
      holdsByTime: async () => ({ holds: [hold] }),
      reservations: () => (isAway ? unreachable() : Promise.resolve({ reservations: [] })),
    } as Partial<ProductPort> as ProductPort,
    sweeps: {
      begin: async () => {},
      own: async (sweep) => (sweep === 'first' ? { heldAt: 0, orderId: '0'.repeat(24) } : undefined),
      advance: async (_sweep, _owner, position) => {
        advanced.push(position)
      },
    },
    refusal: () => undefined,
    requestTimeoutMs: 4_000,
  })
  const round = () => job.round(new AbortController().signal)
  const failedRounds = async (count: number) => {
    isAway = true
    for (let n = 0; n < count; n++) await expect(round()).rejects.toThrow('product is not available')
    isAway = false
  }
  // A page that succeeds ends the count.
  await failedRounds(9)
  expect(advanced).toEqual([])
  await round()
  expect(advanced).toEqual([hold])
  await failedRounds(9)
  expect(advanced).toEqual([hold])
  await failedRounds(1)
  expect(advanced).toEqual([hold, hold])
  await failedRounds(9)
  expect(advanced).toEqual([hold, hold])
})
