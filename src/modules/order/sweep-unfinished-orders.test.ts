import { beforeAll, describe, expect, it, type TestContext, vi } from 'vitest'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { createGate } from '#test/support/gate.ts'
import { startShopWithProductStub } from '#test/support/product-stub-shop.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { connectMongo, databaseName, loadPasswordCheck } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import type { ProductPort } from '../product/contract.ts'
import { createOrderRepository } from './order.repository.ts'
import { finishOrder, pendingGraceMs } from './sweep-unfinished-orders.ts'

const longAgo = 60_000
const unreachable = () => Promise.reject(dependencyUnavailable('product is not available'))

/** Starts a shop for one test, with one customer. The tests run concurrently, because they mostly wait for the sweeper. */
async function open({ onTestFinished }: TestContext, environment: Record<string, string> = {}) {
  const shop = await startShopWithProductStub({ REQUEST_TIMEOUT: '5s', ...environment })
  const ada = await shop.customer()
  onTestFinished(async () => {
    shop.stubProduct()
    expect(await findUnbalancedBooks(shop)).toEqual([])
    await shop.close()
  })
  const stockOf = async (productId: string) => (await shop.get(`/products/${productId}`)).body.stock
  const place = (productId: string, key = 'basket') =>
    shop.order(ada.token, [{ productId, quantity: 2 }], { 'Idempotency-Key': key })
  const read = async (orderId: string) => (await shop.get(`/orders/${orderId}`, { token: ada.token })).body
  const becomes = (orderId: string, status: string) =>
    vi.waitFor(async () => expect(await read(orderId)).toMatchObject({ status }), {
      timeout: 20_000,
      interval: 50,
    })

  /** Places an order whose reserve is lost on its way to the product module, or whose answer is lost on its way back. */
  const leavePending = async (lost: string, key?: string) => {
    const { productId } = await shop.product(shop.adminToken, { stock: 10 })
    shop.stubProduct((port) => ({
      reserve: async (request, call) => {
        if (lost === 'the answer') await port.reserve(request, call)
        return unreachable()
      },
    }))
    const answer = await place(productId, key)
    expect(answer.status).toBe(503)
    shop.stubProduct()
    return { productId, orderId: answer.body.orderId }
  }

  return { shop, ada, stockOf, place, read, becomes, leavePending }
}

beforeAll(loadPasswordCheck)

describe.concurrent('an order that is left pending', () => {
  it.for(['the request', 'the answer'])(
    'a pending order is undone and frees its key if %s of its reserve was lost, so that a retry places a new order',
    async (lost, context) => {
      const { shop, ada, stockOf, place, read, becomes, leavePending } = await open(context)
      const { productId, orderId } = await leavePending(lost)
      expect(await stockOf(productId)).toBe(lost === 'the answer' ? 8 : 10)
      await shop.ageLease(orderId, longAgo)
      await becomes(orderId, 'cancelled')
      expect(await read(orderId)).toMatchObject({
        version: 3,
        totalAmount: null,
        productList: [{ price: null }],
      })
      expect(await stockOf(productId)).toBe(10)
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
      expect(await stockOf(productId)).toBe(8)
      expect((await place(productId)).body).toEqual(retried.body)
      expect(await read(orderId)).toMatchObject({ status: 'cancelled', version: 3 })
    },
  )

  it('a pending order is left to a retry until ten seconds after its lease', async (context) => {
    const { shop, place, read, leavePending } = await open(context)
    expect(pendingGraceMs).toBe(10_000)
    const early = await leavePending('the answer', 'early')
    const late = await leavePending('the answer', 'late')
    await shop.ageLease(late.orderId, 12_000)
    await vi.waitFor(
      async () => {
        // Its lease has ended one second ago, however long the sweeper takes.
        await shop.ageLease(early.orderId, 1_000)
        expect(await read(late.orderId)).toMatchObject({ status: 'cancelled' })
      },
      { timeout: 20_000, interval: 50 },
    )
    expect(await read(early.orderId)).toMatchObject({ status: 'pending' })
    expect(await place(early.productId, 'early')).toMatchObject({
      status: 201,
      body: { orderId: early.orderId },
    })
  })

  it.for(['before', 'after'] as const)(
    'a retry that returns after the undo of its order places a new order if its reserve was stopped %s it took effect',
    async (where, context) => {
      const { shop, stockOf, place, becomes, leavePending } = await open(context, { REQUEST_TIMEOUT: '20s' })
      const { productId, orderId } = await leavePending('the request')
      const gate = createGate()
      shop.stubProduct((port) => ({
        async reserve(request, call) {
          if (where === 'before') await gate.pass()
          const reservation = await port.reserve(request, call)
          if (where === 'after') await gate.pass()
          return reservation
        },
      }))
      const retrying = place(productId)
      await gate.reached
      await shop.ageLease(orderId, longAgo)
      await becomes(orderId, 'cancelled')
      gate.open()
      const retried = await retrying
      expect(retried).toMatchObject({ status: 201, body: { status: 'confirmed' } })
      expect(retried.body.orderId).not.toBe(orderId)
      expect(await stockOf(productId)).toBe(8)
    },
  )
})

describe.concurrent('an order that is left cancelling', () => {
  it.for(['the request', 'the answer'])(
    'a cancelling order is completed if %s of its release was lost, and keeps its key',
    async (lost, context) => {
      const { shop, ada, stockOf, place, becomes } = await open(context)
      const { productId } = await shop.product(shop.adminToken, { stock: 10 })
      const bought = await place(productId)
      shop.stubProduct((port) => ({
        release: async (request, call) => {
          if (lost === 'the answer') await port.release(request, call)
          return unreachable()
        },
      }))
      const { orderId } = bought.body
      expect(await shop.delete(`/orders/${orderId}`, { token: ada.token })).toMatchObject({
        status: 202,
        body: { status: 'cancelling' },
      })
      shop.stubProduct()
      await becomes(orderId, 'cancelled')
      expect(await stockOf(productId)).toBe(10)
      const replayed = await place(productId)
      expect(replayed).toMatchObject({ status: 201, body: bought.body })
      expect(replayed.headers.get('idempotent-replayed')).toBe('true')
    },
  )

  it('a cancelling order that its owner cancelled while it was pending is cancelled for good', async (context) => {
    const { shop, ada, stockOf, place, becomes, leavePending } = await open(context)
    const { productId, orderId } = await leavePending('the answer')
    shop.stubProduct(() => ({ release: unreachable }))
    const cancelling = { status: 202, body: { status: 'cancelling' } }
    expect(await shop.delete(`/orders/${orderId}`, { token: ada.token })).toMatchObject(cancelling)
    shop.stubProduct()
    await becomes(orderId, 'cancelled')
    const refused = { status: 409, body: { code: 'invalid_transition', from: 'cancelled' } }
    expect(await place(productId)).toMatchObject(refused)
    expect(await stockOf(productId)).toBe(10)
  })
})

describe.concurrent('the sweeper', () => {
  it('the sweeper does not change a cancelling order while a request works on it', async (context) => {
    const { shop, ada, place, becomes, leavePending } = await open(context, { REQUEST_TIMEOUT: '20s' })
    const { productId } = await shop.product(shop.adminToken, { stock: 10 })
    const { orderId } = (await place(productId, 'cancelled')).body
    const other = await leavePending('the request', 'other')
    // The request that placed the order has ended long ago.
    await shop.ageLease(orderId, longAgo)
    let releases = 0
    const gate = createGate()
    shop.stubProduct((port) => ({
      async release(request, call) {
        if (request.orderId === orderId) {
          releases += 1
          await gate.pass()
        }
        return port.release(request, call)
      },
    }))
    const cancelling = shop.delete(`/orders/${orderId}`, { token: ada.token })
    await vi.waitFor(() => expect(releases).toBe(1))
    await shop.ageLease(other.orderId, longAgo)
    // The sweeper undid the other order. So it has also seen this order, and left it alone.
    await becomes(other.orderId, 'cancelled')
    expect(releases).toBe(1)
    gate.open()
    expect(await cancelling).toMatchObject({ status: 200, body: { status: 'cancelled' } })
  })

  it.for(['pending', 'cancelling'])(
    'the sweeper does not change a %s order that another process has taken over since it was read',
    async (status, context) => {
      const { shop, ada, becomes, place, leavePending } = await open(context, { REQUEST_TIMEOUT: '20s' })
      const { productId, orderId } = await leavePending('the request')
      shop.stubProduct(() => ({ reserve: () => new Promise(() => {}), release: unreachable }))
      if (status === 'cancelling') await shop.delete(`/orders/${orderId}`, { token: ada.token })

      const mongo = await connectMongo(shop.database)
      context.onTestFinished(() => mongo.close())
      const orders = createOrderRepository(mongo.database('order'), await quiet)
      const call = { deadline: Date.now() + 20_000, requestId: 'sweep' }
      const product = { release: vi.fn(unreachable) } as unknown as ProductPort
      const read = async () => {
        const order = await orders.find({ orderId }, call)
        if (!order) throw new Error('the order is there')
        return order
      }
      const asRead = await read()
      if (status === 'pending') {
        // A retry takes the order over.
        await orders.takeOver(asRead, call.deadline + 1, call)
      } else {
        const first = finishOrder({ orders, product }, asRead, 'sweeper', {
          ...call,
          deadline: call.deadline + 1,
        })
        await expect(first).rejects.toMatchObject({ code: 'dependency_unavailable' })
      }
      const before = await read()
      expect(await finishOrder({ orders, product }, asRead, 'sweeper', call)).toBe(false)
      expect(await read()).toEqual(before)
      expect(product.release).toHaveBeenCalledTimes(status === 'pending' ? 0 : 1)

      shop.stubProduct()
      await shop.ageLease(orderId, longAgo)
      await becomes(orderId, 'cancelled')
      expect((await place(productId)).status).toBe(status === 'pending' ? 201 : 409)
    },
  )

  it('the sweeper continues when the product service is available again', async (context) => {
    const { shop, stockOf, place, becomes, leavePending } = await open(context)
    const { productId, orderId } = await leavePending('the answer')
    let refusals = 0
    shop.stubProduct(() => ({
      release: () => {
        refusals += 1
        return unreachable()
      },
    }))
    await shop.ageLease(orderId, longAgo)
    await becomes(orderId, 'cancelling')
    await vi.waitFor(() => expect(refusals).toBeGreaterThan(1), { timeout: 15_000 })
    // While the order is `cancelling`, a retry is answered with a conflict that says to retry later.
    expect(await place(productId)).toMatchObject({ status: 409, body: { code: 'request_in_progress' } })
    shop.stubProduct()
    await becomes(orderId, 'cancelled')
    expect(await stockOf(productId)).toBe(10)
    expect(await place(productId)).toMatchObject({ status: 201 })
  })

  it('the sweeper finishes other orders beside a malformed one', async (context) => {
    const { shop, becomes, leavePending } = await open(context)
    const malformed = await leavePending('the request', 'malformed')
    const other = await leavePending('the request', 'other')
    const orders = (await shop.collections('order')).collection('orders')
    await orders.updateOne({ key: 'malformed' }, { $unset: { userId: 1 } })
    await shop.ageLease(malformed.orderId, 2 * longAgo)
    await shop.ageLease(other.orderId, longAgo)
    await becomes(other.orderId, 'cancelled')
  })

  it('the sweeper finishes more orders than one round reads', async (context) => {
    const { shop, stockOf, place } = await open(context, { REQUEST_TIMEOUT: '20s' })
    const { productId } = await shop.product(shop.adminToken, { stock: 1_000 })
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        await port.reserve(request, call)
        return unreachable()
      },
    }))
    const left = await Promise.all(Array.from({ length: 450 }, (_, n) => place(productId, `basket-${n}`)))
    expect(new Set(left.map(({ status }) => status))).toEqual(new Set([503]))
    expect(await stockOf(productId)).toBe(100)
    const orders = (await shop.collections('order')).collection('orders')
    await orders.updateMany({}, { $set: { leaseUntil: new Date(Date.now() - longAgo) } })
    await vi.waitFor(async () => expect(await orders.countDocuments({ status: 'cancelled' })).toBe(450), {
      timeout: 25_000,
      interval: 100,
    })
    expect(await stockOf(productId)).toBe(1_000)
  })

  it('the sweeper reads only unfinished orders from the index, however many orders there are', async (context) => {
    const { shop, place } = await open(context)
    const db = await shop.collections('order')
    const { productId } = await shop.product(shop.adminToken, { stock: 10 })
    await Promise.all([1, 2, 3].map((n) => place(productId, `done-${n}`)))
    await db.command({ profile: 2 })
    const scan = await vi.waitFor(
      async () => {
        const [entry] = await db
          .collection('system.profile')
          .find({ 'command.find': 'orders', 'command.filter.$or': { $exists: true } })
          .toArray()
        expect(entry).toBeDefined()
        return entry
      },
      { timeout: 10_000 },
    )
    await db.command({ profile: 0 })
    expect(scan).toMatchObject({ docsExamined: 0, keysExamined: 0 })
    expect(scan?.planSummary).toContain('IXSCAN { status: 1, leaseUntil: 1 }')
    expect(scan?.command).toMatchObject({ limit: expect.any(Number), maxTimeMS: expect.any(Number) })
  })
})

it.concurrent('two sweepers that work on the same order return its stock once', async (context) => {
  const environment = { MONGODB_DATABASE: databaseName() }
  const { shop, stockOf, becomes, leavePending } = await open(context, environment)
  const other = await startShopWithProductStub({ REQUEST_TIMEOUT: '5s', ...environment })
  const { productId, orderId } = await leavePending('the answer')
  const releasing = new Set<string>()
  const gate = createGate()
  for (const [name, each] of Object.entries({ shop, other })) {
    each.stubProduct((port) => ({
      async release(request, call) {
        releasing.add(name)
        await gate.pass()
        // A stalled process sends its release after the deadline of its call.
        return port.release(request, { ...call, deadline: Date.now() + 20_000 })
      },
    }))
  }
  await vi.waitFor(
    async () => {
      // The process that holds the lease has stalled for longer than the lease lasts.
      await shop.ageLease(orderId, longAgo)
      expect(releasing).toEqual(new Set(['shop', 'other']))
    },
    { timeout: 25_000, interval: 500 },
  )
  gate.open()
  other.stubProduct()
  shop.stubProduct()
  await becomes(orderId, 'cancelled')
  expect(await stockOf(productId)).toBe(10)
  expect(await findUnbalancedBooks(shop)).toEqual([])
  await other.close()
})
