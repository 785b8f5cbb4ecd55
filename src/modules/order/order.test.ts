import { Types } from 'mongoose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Account, Json } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'

let shop: Shop
let ada: Account
let admin: string
beforeAll(async () => {
  shop = await startShop()
  ada = await shop.customer()
  admin = shop.adminToken
})
afterAll(async () => {
  expect(await findUnbalancedBooks(shop)).toEqual([])
  await shop.close()
})

const product = (fields: Record<string, unknown> = {}) => shop.product(admin, fields)
const stockOf = async (productId: string) => (await shop.get(`/products/${productId}`)).body.stock
const buy = async (account: Account = ada, quantity = 1): Promise<Json> => {
  const { productId } = await product()
  const answer = await shop.order(account.token, [{ productId, quantity }])
  expect(answer.status).toBe(201)
  return answer.body
}
const setStatus = (orderId: string, status: string, token: string, headers: Record<string, string> = {}) =>
  shop.put(`/orders/${orderId}`, { token, body: { status }, headers })

describe('POST /orders', () => {
  it("POST /orders confirms the order at the products' names and prices, and adds lines of one product together", async () => {
    const [cup, pot] = await Promise.all([
      product({ name: 'Cup', price: 0.1 }),
      product({ name: 'Pot', price: 29.99 }),
    ])
    const answer = await shop.order(ada.token, [
      { productId: pot.productId, quantity: 1 },
      { productId: cup.productId, quantity: 2 },
      { productId: cup.productId, quantity: 1 },
    ])
    expect(answer).toMatchObject({
      status: 201,
      body: { userId: ada.userId, totalAmount: 30.29, status: 'confirmed', version: 2 },
    })
    expect(answer.body.productList).toHaveLength(2)
    expect(answer.body.productList).toEqual(
      expect.arrayContaining([
        { productId: cup.productId, name: 'Cup', price: 0.1, quantity: 3 },
        { productId: pot.productId, name: 'Pot', price: 29.99, quantity: 1 },
      ]),
    )
    expect(answer.headers.get('location')).toBe(`/orders/${answer.body.orderId}`)
    expect(answer.headers.get('etag')).toBe('"2"')
    expect(answer.headers.get('idempotent-replayed')).toBeNull()
    expect(await stockOf(cup.productId)).toBe(7)
    const read = await shop.get(`/orders/${answer.body.orderId}`, { token: ada.token })
    expect(read.body).toEqual(answer.body)
  })

  it('POST /orders replays the order for the same lines in any sequence, however they are split', async () => {
    const [cup, pot, tray] = await Promise.all([product(), product(), product()])
    const lines = [cup, pot, tray].map(({ productId }) => ({ productId, quantity: 2 }))
    const [first, second, third] = lines
    const headers = { 'Idempotency-Key': 'any-sequence' }
    const { body } = await shop.order(ada.token, lines, headers)
    const half = { productId: cup.productId, quantity: 1 }
    for (const same of [
      [third, second, first],
      [second, third, first],
      [third, first, second],
      [half, third, half, second],
    ]) {
      const replayed = await shop.order(ada.token, same, headers)
      expect(replayed).toMatchObject({ status: 201, body: { orderId: body.orderId } })
      expect(replayed.headers.get('idempotent-replayed')).toBe('true')
    }
  })

  it('POST /orders takes no stock if the stock of any line is too low, and names each such line', async () => {
    const [plenty, few, none] = await Promise.all([
      product({ stock: 10 }),
      product({ stock: 2 }),
      product({ stock: 0 }),
    ])
    const lines = [plenty, few, none].map(({ productId }) => ({ productId, quantity: 3 }))
    const answer = await shop.order(ada.token, lines)
    expect(answer).toMatchObject({ status: 409, body: { code: 'insufficient_stock' } })
    expect(answer.body.items).toHaveLength(2)
    expect(answer.body.items).toEqual(
      expect.arrayContaining([
        { productId: few.productId, requested: 3, available: 2 },
        { productId: none.productId, requested: 3, available: 0 },
      ]),
    )
    const [first, second] = answer.body.items.map(
      ({ productId, available }: Json) => `3 of ${productId} (available: ${available})`,
    )
    expect(answer.body.detail).toBe(`productList: not enough in stock for ${first}, ${second}`)
    expect(await stockOf(plenty.productId)).toBe(10)
  })

  it('POST /orders answers 422 for products that do not exist, and names each of them', async () => {
    const { productId } = await product()
    const missing = ['0123456789abcdef01234567', '1123456789abcdef01234567']
    const lines = [productId, ...missing].map((id) => ({ productId: id, quantity: 1 }))
    const answer = await shop.order(ada.token, lines)
    const detail = `productList: there is no product ${missing.join(', ')}`
    expect(answer).toMatchObject({
      status: 422,
      body: { code: 'unknown_product', detail, productIds: missing },
    })
    expect(await stockOf(productId)).toBe(10)
  })

  const line = { productId: '0123456789abcdef01234567', quantity: 1 }
  it.each([
    ['a missing list', {}, '/productList'],
    ['an empty list', { productList: [] }, '/productList'],
    ['101 lines', { productList: Array(101).fill(line) }, '/productList'],
    ['quantity 0', { productList: [{ ...line, quantity: 0 }] }, '/productList/0/quantity'],
    ['a negative quantity', { productList: [line, { ...line, quantity: -1 }] }, '/productList/1/quantity'],
    ['quantity 1,001', { productList: [{ ...line, quantity: 1001 }] }, '/productList/0/quantity'],
    ['a fractional quantity', { productList: [{ ...line, quantity: 1.5 }] }, '/productList/0/quantity'],
    ['a quantity as text', { productList: [{ ...line, quantity: '1' }] }, '/productList/0/quantity'],
    [
      'an operator as quantity',
      { productList: [{ ...line, quantity: { $gt: '' } }] },
      '/productList/0/quantity',
    ],
    ['a malformed id', { productList: [{ ...line, productId: 'x' }] }, '/productList/0/productId'],
    ['an operator as id', { productList: [{ ...line, productId: { $gt: '' } }] }, '/productList/0/productId'],
    ["the client's price", { productList: [{ ...line, price: 0.01 }] }, '/productList/0/price'],
    ["another's user id", { productList: [line], userId: line.productId }, '/userId'],
    ['a status', { productList: [line], status: 'delivered' }, '/status'],
  ])('POST /orders refuses %s with 400, and stores no order', async (_, body, pointer) => {
    const before = await (await shop.collections('order')).collection('orders').countDocuments()
    const answer = await shop.post('/orders', { token: ada.token, body })
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed', errors: [{ pointer }] } })
    expect(await (await shop.collections('order')).collection('orders').countDocuments()).toBe(before)
  })

  it('POST /orders refuses a request without a token with 401', async () => {
    expect(await shop.post('/orders', { body: {} })).toMatchObject({ status: 401 })
  })
})

describe('POST /orders with a key', () => {
  const withKey = (key: string, lines: unknown, account = ada) =>
    shop.order(account.token, lines, { 'Idempotency-Key': key })

  it('POST /orders with a used key repeats the first answer, even after the order was shipped', async () => {
    const { productId } = await product()
    const lines = [{ productId, quantity: 2 }]
    const first = await withKey('basket-1', lines)
    await setStatus(first.body.orderId, 'shipped', admin)
    const again = await withKey('basket-1', lines)
    expect(again).toMatchObject({ status: 201, body: first.body })
    for (const header of ['location', 'etag'])
      expect(again.headers.get(header)).toBe(first.headers.get(header))
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    await setStatus(first.body.orderId, 'delivered', admin)
    expect((await withKey('basket-1', lines)).body).toEqual(first.body)
    expect(await stockOf(productId)).toBe(8)
  })

  it('POST /orders with a used key repeats the first answer even after a cancellation', async () => {
    const { productId } = await product()
    const first = await withKey('basket-2', [{ productId, quantity: 2 }])
    await shop.delete(`/orders/${first.body.orderId}`, { token: ada.token })
    expect(await withKey('basket-2', [{ productId, quantity: 2 }])).toMatchObject({
      status: 201,
      body: first.body,
    })
    expect(await stockOf(productId)).toBe(10)
  })

  it('POST /orders with a used key treats two bodies as equal if their merged, sorted lines are equal', async () => {
    const [a, b] = await Promise.all([product(), product()])
    const [one, two] = [a, b].map(({ productId }) => ({ productId, quantity: 2 }))
    const first = await withKey('basket-3', [one, two])
    const half = { ...one, quantity: 1 }
    expect(await withKey('basket-3', [half, two, half])).toMatchObject({ status: 201, body: first.body })
    expect(await withKey('basket-3', [half, two])).toMatchObject({
      status: 422,
      body: {
        code: 'idempotency_key_reused',
        detail:
          'Idempotency-Key: was used for an order of other products; repeat that order with this key, or use a new key',
      },
    })
  })

  it('POST /orders with a used key repeats a rejection, even if the stock suffices by then', async () => {
    const { productId } = await product({ stock: 1 })
    const lines = [{ productId, quantity: 5 }]
    const first = await withKey('basket-4', lines)
    await shop.post(`/products/${productId}/stock`, { token: admin, body: { change: 50 } })
    const again = await withKey('basket-4', lines)
    expect(again).toMatchObject({
      status: 409,
      body: { code: 'insufficient_stock', items: first.body.items },
    })
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(again.body.requestId).not.toBe(first.body.requestId)
    expect(again.body.detail).toBe(first.body.detail)

    const missing = [{ productId: '0123456789abcdef01234567', quantity: 1 }]
    await withKey('basket-5', missing)
    expect(await withKey('basket-5', missing)).toMatchObject({
      status: 422,
      body: { code: 'unknown_product', productIds: ['0123456789abcdef01234567'] },
    })
  })

  it('POST /orders places an order for each of two users that send the same key', async () => {
    const [{ productId }, grace] = await Promise.all([product(), shop.customer()])
    const first = await withKey('basket-6', [{ productId, quantity: 1 }])
    const other = await withKey('basket-6', [{ productId, quantity: 1 }], grace)
    expect(other.status).toBe(201)
    expect(other.body.orderId).not.toBe(first.body.orderId)
  })

  it('POST /orders refuses a malformed key with 400', async () => {
    const answer = await withKey('two words', [{ productId: '0123456789abcdef01234567', quantity: 1 }])
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ parameter: 'Idempotency-Key' }] } })
  })
})

describe('GET /orders/{id}', () => {
  it('GET /orders/{id} answers 404 to a user that is neither the owner nor an admin, as PUT and DELETE do', async () => {
    const { orderId } = await buy()
    const { token } = await shop.customer()
    const hidden = { status: 404, body: { code: 'order_not_found' } }
    expect(await shop.get(`/orders/${orderId}`, { token })).toMatchObject(hidden)
    expect(await shop.delete(`/orders/${orderId}`, { token })).toMatchObject(hidden)
    for (const status of ['cancelled', 'shipped'])
      expect(await setStatus(orderId, status, token)).toMatchObject(hidden)
    expect(await shop.get(`/orders/${orderId}`)).toMatchObject({ status: 401 })
    expect(await shop.get(`/orders/${orderId}`, { token: admin })).toMatchObject({
      status: 200,
      body: { status: 'confirmed', version: 2 },
    })
  })

  it('GET /orders/{id} answers 304 to a client that has the current version', async () => {
    const { orderId } = await buy()
    const headers = { 'If-None-Match': '"2"' }
    expect(await shop.get(`/orders/${orderId}`, { token: ada.token, headers })).toMatchObject({ status: 304 })
  })

  it('GET /orders/{id} answers 400 to a malformed id, as DELETE does', async () => {
    for (const method of ['GET', 'DELETE']) {
      expect(await shop.request(method, '/orders/nothing', { token: ada.token })).toMatchObject({
        status: 400,
        body: { errors: [{ parameter: 'id' }] },
      })
    }
  })
})

describe('PUT /orders/{id}', () => {
  it('PUT /orders/{id} lets only an admin set a confirmed order to shipped, and a shipped order to delivered', async () => {
    const { orderId } = await buy()
    for (const status of ['shipped', 'delivered']) {
      expect(await setStatus(orderId, status, ada.token)).toMatchObject({
        status: 403,
        body: { code: 'forbidden' },
      })
    }
    expect(await setStatus(orderId, 'delivered', admin)).toMatchObject({
      status: 409,
      body: {
        code: 'invalid_transition',
        from: 'confirmed',
        to: 'delivered',
        allowed: ['shipped', 'cancelled'],
      },
    })
    expect(await setStatus(orderId, 'shipped', admin)).toMatchObject({ status: 200, body: { version: 3 } })
    expect(await setStatus(orderId, 'cancelled', ada.token)).toMatchObject({
      status: 409,
      body: { from: 'shipped', to: 'cancelled', allowed: [] },
    })
    const delivered = await setStatus(orderId, 'delivered', admin)
    expect(delivered).toMatchObject({ status: 200, body: { status: 'delivered', version: 4 } })
    expect(delivered.headers.get('etag')).toBe('"4"')
    expect(await setStatus(orderId, 'shipped', admin)).toMatchObject({ status: 409, body: { allowed: [] } })
  })

  it.each(['PUT', 'DELETE'])(
    '%s cancels an order for its owner, and returns the stock once',
    async (method) => {
      const order = await buy(ada, 4)
      const [{ productId }] = order.productList
      const cancel = () =>
        method === 'PUT'
          ? setStatus(order.orderId, 'cancelled', ada.token)
          : shop.delete(`/orders/${order.orderId}`, { token: ada.token })
      expect(await stockOf(productId)).toBe(6)
      const first = await cancel()
      expect(first).toMatchObject({
        status: 200,
        body: { status: 'cancelled', totalAmount: order.totalAmount },
      })
      expect(await stockOf(productId)).toBe(10)
      expect(await cancel()).toMatchObject({ status: 200, body: first.body })
      expect(await stockOf(productId)).toBe(10)
    },
  )

  it('an order is either shipped or cancelled if both requests arrive at once', async () => {
    for (let round = 0; round < 10; round++) {
      const order = await buy(ada, 4)
      const ship = () => setStatus(order.orderId, 'shipped', admin)
      const cancel = () => setStatus(order.orderId, 'cancelled', ada.token)
      const answers = await Promise.all(
        (round % 2 === 0 ? [ship, cancel] : [cancel, ship]).map((ask) => ask()),
      )
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409])
      const done = answers.find(({ status }) => status === 200)?.body.status
      expect((await shop.get(`/orders/${order.orderId}`, { token: admin })).body.status).toBe(done)
      expect(await stockOf(order.productList[0].productId)).toBe(done === 'shipped' ? 6 : 10)
    }
  })

  it('PUT /orders/{id} answers 412 if the version does not match If-Match', async () => {
    const { orderId } = await buy()
    expect(await setStatus(orderId, 'shipped', admin, { 'If-Match': '"1"' })).toMatchObject({
      status: 412,
      body: { code: 'precondition_failed' },
    })
    expect(await setStatus(orderId, 'shipped', admin, { 'If-Match': '"2"' })).toMatchObject({ status: 200 })
  })

  it('DELETE /orders/{id} answers 412 to a stale If-Match, and 409 if the order was shipped', async () => {
    const { orderId } = await buy()
    const stale = await shop.delete(`/orders/${orderId}`, {
      token: ada.token,
      headers: { 'If-Match': '"1"' },
    })
    expect(stale).toMatchObject({ status: 412, body: { code: 'precondition_failed' } })
    expect(await setStatus(orderId, 'shipped', admin)).toMatchObject({ status: 200 })
    expect(await shop.delete(`/orders/${orderId}`, { token: ada.token })).toMatchObject({
      status: 409,
      body: { code: 'invalid_transition', from: 'shipped', to: 'cancelled' },
    })
  })

  it.each([
    { status: 'confirmed' },
    { status: 'pending' },
    { status: 'cancelling' },
    { status: 7 },
    {},
    { status: { $ne: '' } },
  ])('PUT /orders/{id} refuses the body %j with 400', async (body) => {
    const { orderId } = await buy()
    const answer = await shop.put(`/orders/${orderId}`, { token: admin, body })
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/status' }] } })
  })
})

describe('GET /orders', () => {
  let grace: Account
  const mine: string[] = []
  beforeAll(async () => {
    grace = await shop.customer()
    for (let n = 0; n < 5; n++) mine.unshift((await buy(grace)).orderId)
    await shop.delete(`/orders/${mine[0]}`, { token: grace.token })
    const { productId } = await product({ stock: 0 })
    await shop.order(grace.token, [{ productId, quantity: 1 }])
  })
  const pages = async (query: string, token: string): Promise<Json[]> => {
    const rows: Json[] = []
    for (let cursor = ''; ; ) {
      const { status, body } = await shop.get(`/orders?${query}${cursor}`, { token })
      expect(status).toBe(200)
      rows.push(...body.data)
      if (body.nextCursor === null) return rows
      cursor = `&cursor=${body.nextCursor}`
    }
  }

  it("GET /orders returns the customer's own orders, newest first, without rejected ones", async () => {
    expect((await pages('limit=2', grace.token)).map(({ orderId }) => orderId)).toEqual(mine)
  })

  it('GET /orders returns only the orders with the requested status', async () => {
    const cancelled = await pages('limit=2&status=cancelled', grace.token)
    expect(cancelled.map(({ orderId }) => orderId)).toEqual([mine[0]])
    const [rejected, ...others] = await pages('limit=2&status=rejected', grace.token)
    expect(others).toEqual([])
    expect(rejected).toMatchObject({
      status: 'rejected',
      totalAmount: null,
      productList: [{ name: null, price: null }],
    })
  })

  it('GET /orders returns the orders of all users, or of one user, to an admin', async () => {
    const everyone = new Set((await pages('limit=2', admin)).map(({ userId }) => userId))
    expect(everyone).toContain(ada.userId)
    expect(everyone).toContain(grace.userId)
    const one = await pages(`limit=2&userId=${grace.userId}`, admin)
    expect(one.map(({ orderId }) => orderId)).toEqual(mine)
  })

  it('GET /orders refuses the orders of another user to a customer with 403', async () => {
    expect(await shop.get(`/orders?userId=${ada.userId}`, { token: grace.token })).toMatchObject({
      status: 403,
      body: { code: 'forbidden' },
    })
    expect((await pages(`limit=2&userId=${grace.userId}`, grace.token)).length).toBe(5)
  })

  it.each([1, 2, 19, 20, 40])(
    'GET /orders returns each of several orders with equal times once, %i per page',
    async (limit) => {
      const linus = await shop.customer()
      const { orderId } = await buy(linus)
      await shop.delete(`/orders/${orderId}`, { token: linus.token })
      const orders = (await shop.collections('order')).collection('orders')
      const cancelled = await orders.findOne({ _id: new Types.ObjectId(orderId) })
      // The orders have their times alone, in pairs, in threes, and in groups larger than a page.
      const times = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 45, 1, 1].flatMap((many, time) =>
        Array(many).fill(time),
      )
      const documents = times.map((time: number, n) => ({
        ...cancelled,
        _id: new Types.ObjectId(),
        key: `key-${n}`,
        createdAt: new Date(time * 1_000),
      }))
      await orders.insertMany(documents)
      const listed = await pages(`limit=${limit}`, linus.token)
      const newestFirst = documents.map(({ _id }) => _id.toHexString()).reverse()
      expect(listed.map((order) => order.orderId)).toEqual([orderId, ...newestFirst])
    },
  )

  it.each(['limit=0', 'limit=x', 'status=nothing', 'userId=x', 'userId[$ne]=x&userId=', 'cursor=nonsense'])(
    'GET /orders answers 400 to ?%s',
    async (query) => {
      const answer = await shop.get(`/orders?${query}`, { token: ada.token })
      expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
    },
  )
})
