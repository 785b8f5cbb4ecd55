import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import type { Account, Answer } from '#test/support/client.ts'
import { createGate } from '#test/support/gate.ts'
import { type ShopWithProductStub, startShopWithProductStub } from '#test/support/product-stub-shop.ts'
import { recordCommands, recordedUri } from '#test/support/recorded-commands.ts'
import { loadPasswordCheck } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'

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

/** Repeats the request until the lease of the earlier request is over. */
const afterLease = (repeat: () => Promise<Answer>): Promise<Answer> =>
  vi.waitFor(
    async () => {
      const answer = await repeat()
      expect(answer.body.code).not.toBe('request_in_progress')
      return answer
    },
    { timeout: 5_000, interval: 50 },
  )

/** The answer to a request whose order another request carries on. */
const inProgress = {
  code: 'request_in_progress',
  detail:
    'Idempotency-Key: the first request with this key is still in progress; repeat this request shortly',
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

describe('an order whose outcome is not known in time', () => {
  it.each(['the request', 'the answer'])(
    'a retry with the key of an order carries the order on if %s of its reserve was lost',
    async (lost) => {
      await open()
      const { productId } = await product()
      shop.stubProduct((port) => ({
        reserve: async (request, call) => {
          if (lost === 'the answer') await port.reserve(request, call)
          return unreachable()
        },
      }))
      const first = await place(productId)
      expect(first).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
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

      shop.stubProduct()
      const early = await place(productId)
      expect(early).toMatchObject({ status: 409, body: inProgress })
      expect(early.headers.get('retry-after')).toBe('1')
      const later = await afterLease(() => place(productId))
      expect(later).toMatchObject({ status: 201, body: { orderId, status: 'confirmed', version: 2 } })
      expect(later.headers.has('idempotent-replayed')).toBe(false)
      expect(await stockOf(productId)).toBe(8)
    },
  )

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

  it('an order that the product service was too busy for is named in the answer and in its Location', async () => {
    await open({ REQUEST_TIMEOUT: '20s' })
    const { productId } = await product()
    shop.stubProduct(() => ({
      reserve: () => Promise.reject(new DomainError('overloaded', 'the stock queue is full')),
    }))
    const answer = await place(productId)
    expect(answer).toMatchObject({ status: 503, body: { code: 'overloaded', orderId: await onlyOrder() } })
    expect(answer.headers.get('location')).toBe(`/orders/${answer.body.orderId}`)
    const early = await place(productId)
    expect(early).toMatchObject({ status: 409, body: { code: 'request_in_progress' } })
    // A retry cannot take the order over before the deadline of the first request.
    for (const { headers } of [answer, early]) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(1)
      expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(20)
    }
  })

  it('one of several retries carries an order on', async () => {
    await open()
    const { productId } = await product()
    shop.stubProduct(() => ({ reserve: unreachable }))
    const { orderId } = (await place(productId)).body
    shop.stubProduct()
    const answers = await vi.waitFor(
      async () => {
        const tried = await Promise.all(Array.from({ length: 8 }, () => place(productId)))
        expect(tried.some(({ status }) => status === 201)).toBe(true)
        return tried
      },
      { timeout: 5_000, interval: 50 },
    )
    const first = answers.filter(
      ({ status, headers }) => status === 201 && !headers.has('idempotent-replayed'),
    )
    expect(first).toHaveLength(1)
    for (const { status, body } of answers) {
      expect(body).toMatchObject(status === 201 ? { orderId } : inProgress)
      if (status !== 201) expect(body.orderId).toBeUndefined()
    }
    expect(await stockOf(productId)).toBe(8)
  })

  it('a retry a day later does not carry an order on, and places a new order after the undo', async () => {
    await open()
    const { productId } = await product()
    shop.stubProduct(() => ({ reserve: unreachable }))
    const { orderId } = (await place(productId)).body
    shop.stubProduct()
    // The lease is over, and the sweeper still leaves the order to a retry.
    await shop.ageLease(orderId, 1_000)
    const orders = (await shop.collections('order')).collection('orders')
    const createdAt = new Date(Date.now() - 25 * 3_600_000)
    await orders.updateOne({ key: 'basket' }, { $set: { createdAt } })
    expect(await place(productId)).toMatchObject({ status: 409, body: { code: 'request_in_progress' } })
    expect(await statusOf(orderId)).toBe('pending')
    await shop.ageLease(orderId, 60_000)
    const later = await vi.waitFor(
      async () => {
        const answer = await place(productId)
        expect(answer.status).toBe(201)
        return answer
      },
      { timeout: 15_000, interval: 50 },
    )
    expect(later.body.orderId).not.toBe(orderId)
    expect(await stockOf(productId)).toBe(8)
  })

  it('an order is confirmed once when the first request returns after a retry has finished', async () => {
    await open({ REQUEST_TIMEOUT: '500ms' })
    const { productId } = await product()
    const gate = stopReserve('after')
    const first = place(productId)
    await gate.reached
    const retried = await afterLease(() => place(productId))
    gate.open()
    expect(retried.status).toBe(201)
    // The first request is past its deadline, and its late steps change nothing.
    expect((await first).body.orderId).toBe(retried.body.orderId)
    expect(await shop.get(`/orders/${retried.body.orderId}`, { token: ada.token })).toMatchObject({
      body: retried.body,
    })
    expect(await stockOf(productId)).toBe(8)
  })

  it('the first request and a retry that has carried its order on get the same answer', async () => {
    await open({ REQUEST_TIMEOUT: '20s' })
    const { productId } = await product()
    const gate = stopReserve('after')
    const placing = place(productId)
    await gate.reached
    await shop.ageLease(await onlyOrder(), 1_000)
    const retried = await place(productId)
    gate.open()
    for (const answer of [retried, await placing]) {
      expect(answer).toMatchObject({ status: 201, body: { ...retried.body, version: 2 } })
      expect(answer.headers.has('idempotent-replayed')).toBe(false)
    }
    expect(await stockOf(productId)).toBe(8)
  })

  it('the answer is request_in_progress if the reservation of a pending order was released', async () => {
    await open()
    const { productId } = await product()
    shop.stubProduct(() => ({ reserve: async () => ({ state: 'released' }) }))
    const answer = await place(productId)
    expect(answer).toMatchObject({ status: 409, body: inProgress })
    expect(answer.body.orderId).toBeUndefined()
    expect(await statusOf(await onlyOrder())).toBe('pending')
  })
})

describe('an order that its owner cancels while it is pending', () => {
  it.each(['before', 'after'] as const)(
    'an order that its owner cancels while it is pending holds no stock if its reserve was stopped %s it took effect',
    async (where) => {
      await open({ REQUEST_TIMEOUT: '10s' })
      const { productId } = await product()
      const gate = stopReserve(where)
      const placing = place(productId)
      await gate.reached
      const orderId = await onlyOrder()
      expect(await cancel(orderId)).toMatchObject({
        status: 200,
        body: { status: 'cancelled', totalAmount: null },
      })
      gate.open()
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
      const first = await placing
      expect(first).toMatchObject(refusal)
      expect(first.headers.has('idempotent-replayed')).toBe(false)
      const again = await place(productId)
      expect(again).toMatchObject(refusal)
      expect(again.headers.get('idempotent-replayed')).toBe('true')
      expect(await statusOf(orderId)).toBe('cancelled')
      expect(await stockOf(productId)).toBe(10)
    },
  )

  it('an order that its owner cancels while it is pending stays cancelled if its reserve is rejected', async () => {
    await open({ REQUEST_TIMEOUT: '10s' })
    const { productId } = await product(1)
    const gate = stopReserve('after')
    const placing = place(productId)
    await gate.reached
    const orderId = await onlyOrder()
    expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
    gate.open()
    expect(await placing).toMatchObject({
      status: 409,
      body: { code: 'invalid_transition', from: 'cancelled' },
    })
    expect(await statusOf(orderId)).toBe('cancelled')
  })

  it('the request of a cancelled order gets its own answer, even if its owner has placed another order without a key', async () => {
    await open({ REQUEST_TIMEOUT: '10s' })
    const { productId } = await product()
    const buy = () => shop.order(ada.token, [{ productId, quantity: 1 }])
    const gate = stopReserve('after')
    const placing = buy()
    await gate.reached
    const orderId = await onlyOrder()
    const other = (await buy()).body.orderId
    for (const id of [other, orderId]) {
      expect(await cancel(id)).toMatchObject({ status: 200, body: { orderId: id, status: 'cancelled' } })
    }
    gate.open()
    expect(await placing).toMatchObject({
      status: 409,
      body: { code: 'invalid_transition', from: 'cancelled' },
    })
    expect(await stockOf(productId)).toBe(10)
  })

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
