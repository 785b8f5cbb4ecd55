import { Types } from 'mongoose'
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import type { Account } from '#test/support/client.ts'
import { createGate } from '#test/support/gate.ts'
import { type ShopWithProductStub, startShopWithProductStub } from '#test/support/product-stub-shop.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { recordCommands, recordedUri } from '#test/support/recorded-commands.ts'
import { connectMongo, loadPasswordCheck } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import type { ProductPort } from '../product/contract.ts'
import { createOrderRepository } from './order.repository.ts'
import { hashLines, mergeLines } from './order.ts'
import { orderIdOf } from './order-ids.ts'
import { placeOrder } from './place-order.ts'

let shop: ShopWithProductStub
let ada: Account
beforeAll(loadPasswordCheck)
afterEach(async () => {
  expect(await findUnbalancedBooks(shop)).toEqual([])
  await shop.close()
})

async function open(environment: Record<string, string> = {}): Promise<void> {
  shop = await startShopWithProductStub({ REQUEST_TIMEOUT: '1s', ...environment })
  ada = await shop.customer()
}

const product = (stock = 10) => shop.product(shop.adminToken, { stock })
const stockOf = async (productId: string) => (await shop.get(`/products/${productId}`)).body.stock
const place = (productId: string, key = 'basket') =>
  shop.order(ada.token, [{ productId, quantity: 2 }], { 'Idempotency-Key': key })
const statusOf = async (orderId: string) =>
  (await shop.get(`/orders/${orderId}`, { token: ada.token })).body.status
const cancel = (orderId: string) => shop.delete(`/orders/${orderId}`, { token: ada.token })
const onlyOrder = async (): Promise<string> => {
  const { data } = (await shop.get('/orders', { token: ada.token })).body
  expect(data).toHaveLength(1)
  return data[0].orderId
}

/** The answer to a request whose order is being undone. */
const inProgress = {
  code: 'request_in_progress',
  detail: 'Idempotency-Key: an earlier request with this key is not settled yet; repeat this request shortly',
  retryAfter: 1,
}

const unreachable = () => Promise.reject(dependencyUnavailable('product is not available'))

/** Stops the next reserve before or after the product module executes it, until the test lets it continue. */
function stopReserve(where: 'before' | 'after') {
  const gate = createGate()
  let first = true
  shop.stubProduct((port) => ({
    async reserve(request, call) {
      if (!first) return port.reserve(request, call)
      first = false
      const carriedOut = where === 'after' ? await port.reserve(request, call) : undefined
      await gate.pass()
      return carriedOut ?? port.reserve(request, call)
    },
  }))
  return gate
}

/** Places an order that stays pending, because its reserve or the answer to it is lost. */
async function leavePending(productId: string, lost: 'the request' | 'the answer' = 'the request') {
  shop.stubProduct((port) => ({
    reserve: async (request, call) => {
      if (lost === 'the answer') await port.reserve(request, call)
      return unreachable()
    },
  }))
  const answer = await place(productId)
  shop.stubProduct()
  expect(answer).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
  return answer
}

/** Stores an order of two units, as an earlier request or a replica of an earlier version has left it. */
async function store(productId: string, fields: object) {
  const lines = mergeLines([{ productId, quantity: 2 }])
  const orders = (await shop.collections('order')).collection('orders')
  const { insertedId } = await orders.insertOne({
    userId: new Types.ObjectId(ada.userId),
    lines: lines.map((line) => ({ ...line, name: null, price: null })),
    totalAmount: null,
    linesHash: hashLines(lines),
    leaseUntil: new Date(Date.now() + 60_000),
    version: 2,
    createdAt: new Date(),
    updatedAt: new Date(),
    ...fields,
  })
  return String(insertedId)
}

describe('an order whose outcome is not known in time', () => {
  it.each(['the request', 'the answer'] as const)(
    'a retry with the key of an order carries the order on if %s of its reserve was lost',
    async (lost) => {
      await open()
      const { productId } = await product()
      const first = await leavePending(productId, lost)
      expect(first.headers.get('retry-after')).toBe('1')
      const { orderId } = first.body
      expect(first.body.retryAfter).toBe(1)
      expect(first.body.detail).toBe(
        `the outcome of order ${orderId} is not known yet; retry with the same Idempotency-Key`,
      )
      expect(first.headers.get('location')).toBe(`/orders/${orderId}`)
      expect(await shop.get(`/orders/${orderId}`, { token: ada.token })).toMatchObject({
        body: {
          status: 'pending',
          version: 1,
          totalAmount: null,
          productList: [{ name: null, price: null }],
        },
      })
      const retried = await place(productId)
      expect(retried).toMatchObject({ status: 201, body: { orderId, status: 'confirmed', version: 2 } })
      expect(retried.headers.has('idempotent-replayed')).toBe(false)
      const again = await place(productId)
      expect(again.body).toEqual(retried.body)
      expect(again.headers.get('idempotent-replayed')).toBe('true')
      expect(await stockOf(productId)).toBe(8)
    },
  )

  it('a retry whose reserve is not answered either gets the same answer, and the order stays pending', async () => {
    await open()
    const { productId } = await product()
    const { orderId } = (await leavePending(productId)).body
    expect((await leavePending(productId)).body.orderId).toBe(orderId)
    expect(await statusOf(orderId)).toBe('pending')
  })

  it('a retry carries an order on, and the order is rejected, if the stock does not suffice', async () => {
    await open()
    const { productId } = await product(1)
    const { orderId } = (await leavePending(productId)).body
    const refusal = { status: 409, body: { code: 'insufficient_stock' } }
    const retried = await place(productId)
    expect(retried).toMatchObject(refusal)
    expect(retried.headers.has('idempotent-replayed')).toBe(false)
    expect(await statusOf(orderId)).toBe('rejected')
    const again = await place(productId)
    expect(again).toMatchObject(refusal)
    expect(again.headers.get('idempotent-replayed')).toBe('true')
  })

  it('an order is answered by the deadline when the product service hangs', async () => {
    await open()
    const { productId } = await product()
    stopReserve('before')
    const started = performance.now()
    const answer = await place(productId)
    expect(answer).toMatchObject({
      status: 503,
      body: { code: 'dependency_unavailable', orderId: expect.any(String) },
    })
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(answer.headers.get('location')).toBe(`/orders/${answer.body.orderId}`)
  })

  it('an order that the product service was too busy for is not stored, and a retry places it at once', async () => {
    await open({ REQUEST_TIMEOUT: '20s' })
    const { productId } = await product()
    shop.stubProduct(() => ({
      reserve: () => Promise.reject(new DomainError('overloaded', 'the stock queue is full')),
    }))
    const answer = await place(productId)
    expect(answer).toMatchObject({ status: 503, body: { code: 'overloaded' } })
    expect(answer.body.orderId).toBeUndefined()
    expect(answer.headers.has('location')).toBe(false)
    expect(answer.headers.has('retry-after')).toBe(true)
    expect((await shop.get('/orders', { token: ada.token })).body.data).toEqual([])
    shop.stubProduct()
    const retried = await place(productId)
    expect(retried.status).toBe(201)
    expect(retried.headers.has('idempotent-replayed')).toBe(false)
  })

  it('several retries that carry an order on all get the same order', async () => {
    await open({ REQUEST_TIMEOUT: '20s' })
    const { productId } = await product()
    const { orderId } = (await leavePending(productId)).body
    const answers = await Promise.all(Array.from({ length: 8 }, () => place(productId)))
    for (const { status, body } of answers) {
      expect({ status, body }).toMatchObject({ status: 201, body: { ...answers[0]?.body, orderId } })
    }
    expect(await stockOf(productId)).toBe(8)
  })

  it('a retry carries an order on, however old the order is', async () => {
    await open()
    const { productId } = await product()
    const { orderId } = (await leavePending(productId, 'the answer')).body
    const orders = (await shop.collections('order')).collection('orders')
    const createdAt = new Date(Date.now() - 25 * 3_600_000)
    await orders.updateOne({ key: 'basket' }, { $set: { createdAt } })
    expect(await place(productId)).toMatchObject({ status: 201, body: { orderId } })
    expect(await stockOf(productId)).toBe(8)
  })

  it('a retry of other products is refused, and does not prevent that the order is undone and the key is free', async () => {
    await open()
    const [{ productId }, other] = await Promise.all([product(), product()])
    const { orderId } = (await leavePending(productId)).body
    expect(await place(other.productId)).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused' },
    })
    // The id is reserved with the other products now, so that the order cannot be carried on.
    expect(await place(productId)).toMatchObject({ status: 409, body: inProgress })
    await shop.ageLease(orderId, 60_000)
    await vi.waitFor(async () => expect(await statusOf(orderId)).toBe('cancelled'), { timeout: 15_000 })
    const later = await place(productId)
    expect(later.status).toBe(201)
    expect(later.body.orderId).not.toBe(orderId)
    expect(await stockOf(productId)).toBe(8)
    expect(await stockOf(other.productId)).toBe(10)
  })

  it('a request whose time is over stores its order as pending, and a retry confirms it', async () => {
    await open({ REQUEST_TIMEOUT: '500ms' })
    const { productId } = await product()
    const gate = stopReserve('after')
    const first = place(productId)
    await gate.reached
    const stopped = await first
    expect(stopped.status).toBe(503)
    const retried = await place(productId)
    gate.open()
    expect(retried).toMatchObject({ status: 201, body: { orderId: stopped.body.orderId } })
    expect(await shop.get(`/orders/${retried.body.orderId}`, { token: ada.token })).toMatchObject({
      body: retried.body,
    })
    expect(await stockOf(productId)).toBe(8)
  })

  it('a replay reserves nothing if the same process gave the first answer', async () => {
    await open()
    const { productId } = await product()
    const first = await place(productId)
    let reserves = 0
    shop.stubProduct((port) => ({
      reserve(request, call) {
        reserves += 1
        return port.reserve(request, call)
      },
    }))
    expect((await place(productId)).body).toEqual(first.body)
    expect(reserves).toBe(0)
    await place(productId, 'other')
    expect(reserves).toBe(1)
  })

  it('the first request and a retry that is faster get the same answer', async () => {
    await open({ REQUEST_TIMEOUT: '20s' })
    const { productId } = await product()
    const gate = stopReserve('after')
    const placing = place(productId)
    await gate.reached
    const retried = await place(productId)
    gate.open()
    expect(retried).toMatchObject({ status: 201, body: { status: 'confirmed', version: 2 } })
    expect(retried.headers.has('idempotent-replayed')).toBe(false)
    const first = await placing
    expect(first).toMatchObject({ status: 201, body: retried.body })
    expect(first.headers.get('idempotent-replayed')).toBe('true')
    expect(await stockOf(productId)).toBe(8)
  })

  it('a request places its order under another id if the reservation of the first id was released before', async () => {
    await open()
    const { productId } = await product()
    let released = ''
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        if (released === '') await port.release({ orderId: request.orderId }, call)
        released ||= request.orderId
        return port.reserve(request, call)
      },
    }))
    const placed = await place(productId)
    expect(placed.status).toBe(201)
    expect(placed.body.orderId).not.toBe(released)
    expect((await place(productId)).body).toEqual(placed.body)
    expect(await stockOf(productId)).toBe(8)
  })

  it('a request of other products is refused if an earlier request has reserved under its key, and has no order', async () => {
    await open()
    const { productId } = await product()
    const other = await product()
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        const { orderId, userId } = request
        await port.reserve({ orderId, userId, lines: [{ productId, quantity: 2 }] }, call)
        return port.reserve(request, call)
      },
    }))
    expect(await place(other.productId)).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused' },
    })
    expect(await stockOf(other.productId)).toBe(10)
  })

  it('the answer is request_in_progress if the reservation of a pending order was released', async () => {
    await open()
    const { productId } = await product()
    await leavePending(productId)
    shop.stubProduct(() => ({ reserve: async () => ({ state: 'released' }) }))
    const answer = await place(productId)
    expect(answer).toMatchObject({ status: 409, body: inProgress })
    expect(answer.body.orderId).toBeUndefined()
    expect(await statusOf(await onlyOrder())).toBe('pending')
  })
})

describe('an order whose earlier orders with the same key were undone', () => {
  const idOf = (attempt: number) => orderIdOf(ada.userId, 'basket', attempt)
  const undone = (attempt: number, status: string) => ({
    _id: new Types.ObjectId(idOf(attempt)),
    status,
    undo: true,
  })
  /** The undo of an order releases its reservation before anything else can reserve under its id. */
  const releaseFirst = (isUndone: (orderId: string) => boolean) =>
    shop.stubProduct((port) => ({
      async reserve(request, call) {
        if (isUndone(request.orderId)) await port.release({ orderId: request.orderId }, call)
        return port.reserve(request, call)
      },
    }))

  it('an order has the first id of its key whose order was not undone, however many were undone', async () => {
    await open()
    const { productId } = await product()
    for (let attempt = 0; attempt < 40; attempt++) await store(productId, undone(attempt, 'cancelled'))
    releaseFirst((orderId) => orderId !== idOf(40))
    const placed = await place(productId)
    expect(placed).toMatchObject({ status: 201, body: { orderId: idOf(40) } })
    expect((await place(productId)).body).toEqual(placed.body)
    expect(await stockOf(productId)).toBe(8)
  })

  it('a request gets request_in_progress while the order with the first id of its key is being undone', async () => {
    await open()
    const { productId } = await product()
    await store(productId, undone(0, 'cancelling'))
    releaseFirst((orderId) => orderId === idOf(0))
    expect(await place(productId)).toMatchObject({ status: 409, body: inProgress })
    expect(await stockOf(productId)).toBe(10)
  })
})

describe('an order that a replica of an earlier version placed', () => {
  it('a retry of an order that a replica of an earlier version is cancelling gets request_in_progress, and takes no stock', async () => {
    await open()
    const { productId } = await product()
    await store(productId, { key: 'basket', status: 'cancelling' })
    expect(await place(productId)).toMatchObject({ status: 409, body: inProgress })
    expect(await stockOf(productId)).toBe(10)
  })

  it('a retry of an order that a replica of an earlier version placed gets its answer, and takes no stock', async () => {
    await open()
    const { productId } = await product()
    const rejection = { code: 'unknown_product', productIds: [productId] }
    await store(productId, { key: 'basket', status: 'rejected', rejection })
    for (let retries = 1; retries <= 3; retries++) {
      const retried = await place(productId)
      expect(retried).toMatchObject({ status: 422, body: { code: 'unknown_product' } })
      expect(retried.headers.get('idempotent-replayed')).toBe('true')
      expect(await stockOf(productId)).toBe(10)
    }
    const other = await product()
    expect(await place(other.productId)).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused' },
    })
    expect(await stockOf(other.productId)).toBe(10)
  })

  it('a retry carries on an order that a replica of an earlier version has left pending', async () => {
    await open()
    const { productId } = await product()
    const orderId = await store(productId, { key: 'basket', status: 'pending', version: 1 })
    const other = await product()
    expect(await place(other.productId)).toMatchObject({ status: 422 })
    const placed = await place(productId)
    expect(placed).toMatchObject({ status: 201, body: { orderId } })
    expect((await place(productId)).body).toEqual(placed.body)
    expect([await stockOf(productId), await stockOf(other.productId)]).toEqual([8, 10])
  })

  it('a retry of an order that a replica of an earlier version placed gets its answer, even if the product service does not answer', async () => {
    await open()
    const { productId } = await product()
    const rejection = { code: 'unknown_product', productIds: [productId] }
    await store(productId, { key: 'basket', status: 'rejected', rejection })
    shop.stubProduct(() => ({ reserve: unreachable }))
    const retried = await place(productId)
    expect(retried).toMatchObject({ status: 422, body: { code: 'unknown_product' } })
    expect(retried.headers.get('idempotent-replayed')).toBe('true')
  })
})

describe('an order that its owner cancels while it is pending', () => {
  const refusal = {
    status: 409,
    body: {
      code: 'invalid_transition',
      detail: 'the order was cancelled before it was confirmed',
      from: 'cancelled',
      to: 'confirmed',
      allowed: [],
    },
  }

  it.each(['before', 'after'] as const)(
    'an order that its owner cancels while it is pending holds no stock if the reserve of a retry was stopped %s it took effect',
    async (where) => {
      await open({ REQUEST_TIMEOUT: '10s' })
      const { productId } = await product()
      const { orderId } = (await leavePending(productId)).body
      const gate = stopReserve(where)
      const retrying = place(productId)
      await gate.reached
      expect(await cancel(orderId)).toMatchObject({
        status: 200,
        body: { status: 'cancelled', totalAmount: null },
      })
      gate.open()
      for (const answer of [await retrying, await place(productId)]) {
        expect(answer).toMatchObject(refusal)
        expect(answer.headers.get('idempotent-replayed')).toBe('true')
      }
      expect(await statusOf(orderId)).toBe('cancelled')
      expect(await stockOf(productId)).toBe(10)
    },
  )

  it('an order that its owner cancels while it is pending stays cancelled if the reserve of a retry is rejected', async () => {
    await open({ REQUEST_TIMEOUT: '10s' })
    const { productId } = await product(1)
    const { orderId } = (await leavePending(productId)).body
    const gate = stopReserve('after')
    const retrying = place(productId)
    await gate.reached
    expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
    gate.open()
    expect(await retrying).toMatchObject(refusal)
    expect(await statusOf(orderId)).toBe('cancelled')
  })

  it.each(['held', 'rejected'] as const)(
    'a retry whose reserve is %s answers that its owner cancelled the order between the read and the compare-and-set',
    async (state) => {
      await open()
      const { productId } = await product(state === 'held' ? 10 : 1)
      const { orderId } = (await leavePending(productId)).body
      const mongo = await connectMongo(shop.database)
      onTestFinished(() => mongo.close())
      const orders = createOrderRepository(mongo.database('order'), await quiet)
      const afterCancel =
        <Args extends unknown[], Result>(step: (...args: Args) => Promise<Result>) =>
        async (...args: Args) => {
          expect((await cancel(orderId)).status).toBe(200)
          return step(...args)
        }
      const answers = {
        held: { state, lines: [{ productId, quantity: 2, name: 'Cup', price: 1 }] },
        rejected: { state, rejection: { code: 'unknown_product', productIds: [productId] } },
      }
      const dependencies = {
        orders: { ...orders, confirm: afterCancel(orders.confirm), reject: afterCancel(orders.reject) },
        product: { reserve: async () => answers[state] } as unknown as ProductPort,
        refusal: () => undefined,
        settledIds: new Map<string, true>(),
        currency: 'EUR',
      }
      const request = { userId: ada.userId, key: 'basket', lines: [{ productId, quantity: 2 }] }
      const placement = await placeOrder(dependencies, request, createCall(20_000, 'test'))
      expect(placement).toMatchObject({ refusal: { code: 'invalid_transition' }, replayed: false })
      expect(await statusOf(orderId)).toBe('cancelled')
    },
  )

  it('the reserve of a cancelled order that arrives after the release is refused', async () => {
    await open()
    const { productId } = await product()
    shop.stubProduct(() => ({ reserve: unreachable }))
    const { orderId } = (await place(productId)).body
    shop.stubProduct()
    expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
    expect(await place(productId)).toMatchObject({ status: 409, body: { code: 'invalid_transition' } })
    expect(await stockOf(productId)).toBe(10)
  })
})

describe('a retry while the order is being cancelled', () => {
  it('a retry gets request_in_progress while its order is being cancelled, and then the outcome', async () => {
    await open()
    const { productId } = await product()
    shop.stubProduct(() => ({ reserve: unreachable, release: unreachable }))
    const { orderId } = (await place(productId)).body
    expect(await cancel(orderId)).toMatchObject({ status: 202, body: { status: 'cancelling' } })
    expect(await place(productId)).toMatchObject({ status: 409, body: { code: 'request_in_progress' } })
    shop.stubProduct()
    expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
    expect(await place(productId)).toMatchObject({
      status: 409,
      body: { code: 'invalid_transition', from: 'cancelled' },
    })
  })
})

describe('a cancellation that cannot finish at once', () => {
  it.each(['the request', 'the answer'])(
    'a cancellation answers 202 if %s of its release was lost, and a repeated request finishes it',
    async (lost) => {
      await open()
      const { productId } = await product()
      const { orderId } = (await place(productId)).body
      shop.stubProduct((port) => ({
        release: async (request, call) => {
          if (lost === 'the answer') await port.release(request, call)
          return unreachable()
        },
      }))
      const first = await cancel(orderId)
      expect(first).toMatchObject({ status: 202, body: { status: 'cancelling', version: 3 } })
      expect(first.headers.get('etag')).toBe('"3"')
      const shipped = await shop.put(`/orders/${orderId}`, {
        token: shop.adminToken,
        body: { status: 'shipped' },
      })
      expect(shipped).toMatchObject({ status: 409, body: { from: 'cancelling', allowed: ['cancelled'] } })

      shop.stubProduct()
      expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled', version: 4 } })
      expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled', version: 4 } })
      expect(await stockOf(productId)).toBe(10)
    },
  )

  it.each(['PUT', 'PATCH'])('%s with the status cancelled answers 202 as DELETE does', async (method) => {
    await open()
    const { productId } = await product()
    const { orderId } = (await place(productId)).body
    shop.stubProduct(() => ({ release: unreachable }))
    const cancelled = { token: ada.token, body: { status: 'cancelled' } }
    const answer = await shop.request(method, `/orders/${orderId}`, cancelled)
    expect(answer).toMatchObject({ status: 202, body: { status: 'cancelling' } })
  })
})

// On a single server a linearizable read waits for the next write to the journal, which takes longer than placing an order.
it('a replay and two simultaneous cancellations send no linearizable read if the order is final', async () => {
  await open({ MONGODB_URI: recordedUri() })
  const [{ productId }, gone] = await Promise.all([product(5), product()])
  await shop.delete(`/products/${gone.productId}`, { token: shop.adminToken })
  const bodies = [
    { key: 'confirmed', lines: [{ productId, quantity: 2 }] },
    { key: 'rejected', lines: [{ productId, quantity: 100 }] },
    { key: 'unknown', lines: [{ productId: gone.productId, quantity: 1 }] },
  ]
  const placeAll = () =>
    Promise.all(bodies.map(({ key, lines }) => shop.order(ada.token, lines, { 'Idempotency-Key': key })))
  const first = await placeAll()
  const shipped = first[0]?.body.orderId
  await shop.put(`/orders/${shipped}`, { token: shop.adminToken, body: { status: 'shipped' } })
  const cancelled = (await place(productId, 'cancelled')).body.orderId

  const commands = recordCommands()
  const replayed = await placeAll()
  const reused = await shop.order(ada.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': 'confirmed' })
  const twice = await Promise.all([cancel(cancelled), cancel(cancelled)])
  const afterwards = await place(productId, 'cancelled')
  commands.stop()

  expect(replayed.map(({ status }) => status)).toEqual([201, 409, 422])
  expect(replayed.map(({ body: { requestId: _, ...body } }) => body)).toEqual(
    first.map(({ body: { requestId: _, ...body } }) => body),
  )
  expect(replayed[0]?.headers.get('idempotent-replayed')).toBe('true')
  expect(reused.body.code).toBe('idempotency_key_reused')
  expect(twice.map(({ status, body }) => [status, body.status])).toEqual(Array(2).fill([200, 'cancelled']))
  expect(afterwards).toMatchObject({ status: 201, body: { orderId: cancelled, status: 'confirmed' } })
  const levels = commands.take().map(({ command }) => command.readConcern?.level)
  expect(levels).toContain('majority')
  expect(levels).not.toContain('linearizable')
})
