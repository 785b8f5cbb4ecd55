import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer, Json } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'

let shop: Shop
let token: string
let customerToken: string
beforeAll(async () => {
  shop = await startShop()
  token = shop.adminToken
  customerToken = (await shop.customer()).token
})
afterAll(async () => {
  expect(await findUnbalancedBooks(shop)).toEqual([])
  await shop.close()
})

const product = (fields: Record<string, unknown> = {}) => shop.product(token, fields)
const read = async (productId: string) => (await shop.get(`/products/${productId}`)).body
const ledgerOf = async (productId: string) =>
  (await shop.collections('product'))
    .collection('stockLedger')
    .aggregate([
      { $match: { $expr: { $eq: [{ $toString: '$productId' }, productId] } } },
      { $sort: { at: 1 } },
    ])
    .toArray()

describe('POST /products', () => {
  it('POST /products answers 201 with the product, its Location and its ETag', async () => {
    const body = { name: 'Espresso cup', description: 'Stoneware', price: 19.99, stock: 50 }
    const answer = await shop.post('/products', { token, body })
    expect(answer).toMatchObject({ status: 201, body: { ...body, version: 1 } })
    expect(answer.headers.get('etag')).toBe('"1"')
    expect(answer.headers.get('location')).toBe(`/products/${answer.body.productId}`)
    expect(Object.keys(answer.body)).toEqual([
      'productId',
      'name',
      'description',
      'price',
      'currency',
      'stock',
      'version',
      'createdAt',
      'updatedAt',
    ])
    expect(await read(answer.body.productId)).toEqual(answer.body)
    expect(await ledgerOf(answer.body.productId)).toMatchObject([
      { change: 50, stock: 50, reason: 'created' },
    ])
  })

  it('POST /products refuses customers and anonymous clients', async () => {
    const body = { name: 'Cup', price: 1, stock: 1 }
    const asCustomer = await shop.post('/products', { token: customerToken, body })
    expect(asCustomer).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect(await shop.post('/products', { body })).toMatchObject({ status: 401 })
    // The role is checked before the body.
    expect(await shop.post('/products', { token: customerToken, body: {} })).toMatchObject({
      status: 403,
    })
  })

  it.each([
    ['a price with three decimals', { price: 19.999 }, '/price'],
    ['a tiny price', { price: 1e-7 }, '/price'],
    ['a negative price', { price: -1 }, '/price'],
    ['a price over the maximum', { price: 100_000_000.01 }, '/price'],
    ['a price as text', { price: '19.99' }, '/price'],
    ['a negative stock', { stock: -1 }, '/stock'],
    ['a stock that is not an integer', { stock: 1.5 }, '/stock'],
    ['a stock over the maximum', { stock: 1_000_000_001 }, '/stock'],
    ['an empty name', { name: '' }, '/name'],
    ['a blank name', { name: '   ' }, '/name'],
    ['a name over 200 characters', { name: 'x'.repeat(201) }, '/name'],
    ['a name that is not text', { name: { $gt: '' } }, '/name'],
    ['an unpaired surrogate', { name: 'a\ud800' }, '/name'],
    ['a description over 5,000 characters', { description: 'x'.repeat(5_001) }, '/description'],
    ['a MongoDB operator as description', { description: { $gt: '' } }, '/description'],
    ['an unknown field', { colour: 'blue' }, '/colour'],
    ['a version', { version: 7 }, '/version'],
  ])('POST /products refuses %s with 400', async (_, change, pointer) => {
    const before = await (await shop.collections('product')).collection('products').countDocuments()
    const body = { name: 'Cup', price: 1, stock: 1, ...change }
    const answer = await shop.post('/products', { token, body })
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed', errors: [{ pointer }] } })
    expect(await (await shop.collections('product')).collection('products').countDocuments()).toBe(before)
  })

  it('POST /products accepts each maximum, and counts characters rather than code units', async () => {
    const body = {
      name: '🫖'.repeat(200),
      description: 'x'.repeat(5_000),
      price: 100_000_000,
      stock: 1_000_000_000,
    }
    expect(await shop.post('/products', { token, body })).toMatchObject({ status: 201, body })
  })
})

describe('GET /products/{id}', () => {
  it('GET /products/{id} answers 304 if If-None-Match names the current version', async () => {
    const { productId } = await product()
    for (const tag of ['"1"', 'W/"1"', '"7", "1"', '*']) {
      const answer = await shop.get(`/products/${productId}`, { headers: { 'If-None-Match': tag } })
      expect(answer).toMatchObject({ status: 304, body: '' })
      expect(answer.headers.get('etag')).toBe('"1"')
    }
    expect((await shop.get(`/products/${productId}`, { headers: { 'If-None-Match': '"2"' } })).status).toBe(
      200,
    )
  })

  it('GET /products/{id} answers 404 for an unknown id', async () => {
    expect(await shop.get('/products/0123456789abcdef01234567')).toMatchObject({
      status: 404,
      body: { code: 'product_not_found' },
    })
  })

  it.each(['nothing', '0123456789ABCDEF01234567', '0123456789abcdef0123456', '%24gt'])(
    'GET /products/{id} answers 400 for the malformed id %s',
    async (id) => {
      expect(await shop.get(`/products/${id}`)).toMatchObject({
        status: 400,
        body: { code: 'validation_failed', errors: [{ parameter: 'id' }] },
      })
    },
  )
})

describe('PUT /products/{id}', () => {
  const update = (productId: string, body: object, headers: Record<string, string> = {}) =>
    shop.put(`/products/${productId}`, { token, body, headers })
  /** Sells one unit, which changes the version and not the content. */
  const sell = async (productId: string) => {
    expect((await shop.order(customerToken, [{ productId, quantity: 1 }])).status).toBe(201)
  }

  it('PUT /products/{id} answers 428 if the update names no version', async () => {
    const { productId } = await product()
    expect(await update(productId, { price: 1 })).toMatchObject({
      status: 428,
      body: { code: 'precondition_required' },
    })
  })

  it('PUT /products/{id} makes a new version, and answers a stale version with 409 and the current product', async () => {
    const { productId } = await product({ price: 5 })
    const first = await update(productId, { price: 6, version: 1 })
    expect(first).toMatchObject({ status: 200, body: { price: 6, version: 2 } })
    expect(first.headers.get('etag')).toBe('"2"')
    const late = await update(productId, { price: 7, version: 1 })
    expect(late).toMatchObject({ status: 409, body: { code: 'version_conflict', currentVersion: 2 } })
    expect(late.body.current).toEqual(first.body)
  })

  it('PUT /products/{id} refuses a version that never existed with 409', async () => {
    const { productId } = await product()
    for (const version of [9, 0, -1]) {
      expect(await update(productId, { price: 7, version })).toMatchObject({ status: 409 })
    }
  })

  it('PUT /products/{id} accepts an older version for a new price if only the stock has changed since', async () => {
    const { productId } = await product({ price: 5, stock: 10 })
    await sell(productId)
    const answer = await update(productId, { price: 6, version: 1 })
    expect(answer).toMatchObject({ status: 200, body: { price: 6, stock: 9, version: 3 } })
  })

  it('PUT /products/{id} refuses an older version for a new stock, so that no reservation is overwritten', async () => {
    const { productId } = await product({ stock: 10 })
    await sell(productId)
    expect(await update(productId, { stock: 20, version: 1 })).toMatchObject({ status: 409 })
    expect(await update(productId, { stock: 20, version: 2 })).toMatchObject({
      status: 200,
      body: { stock: 20, version: 3 },
    })
    expect(await ledgerOf(productId)).toMatchObject([{ change: 10 }, { change: 11, stock: 20 }])
  })

  it('PUT /products/{id} sets the stock either before or after a concurrent sale', async () => {
    for (let round = 0; round < 10; round++) {
      const { productId } = await product({ stock: 10 })
      const set = () => update(productId, { stock: 20, version: 1 })
      const order = () => shop.order(customerToken, [{ productId, quantity: 3 }])
      const [answer] = await Promise.all(round % 2 === 0 ? [set(), order()] : [order(), set()].reverse())
      if (answer?.status === 200) expect(answer.body.stock).toBe(20)
      else expect(answer).toMatchObject({ status: 409, body: { current: { stock: 7 } } })
      expect((await read(productId)).stock).toBe(answer?.status === 200 ? 17 : 7)
    }
  })

  it('PUT /products/{id} with If-Match: * sets the stock of a product that is sold continuously', async () => {
    const { productId } = await product({ stock: 1_000 })
    let selling = true
    const buyers = Array.from({ length: 16 }, async () => {
      while (selling) await shop.order(customerToken, [{ productId, quantity: 1 }])
    })
    try {
      for (let round = 0; round < 3; round++) {
        const answer = await update(productId, { stock: 5_000 }, { 'If-Match': '*' })
        expect(answer).toMatchObject({ status: 200, body: { stock: 5_000 } })
      }
    } finally {
      selling = false
      await Promise.all(buyers)
    }
  })

  it('PUT /products/{id} answers 412 if If-Match does not name the current version', async () => {
    const { productId } = await product()
    await sell(productId)
    expect(await update(productId, { price: 6 }, { 'If-Match': '"1"' })).toMatchObject({
      status: 412,
      body: { code: 'precondition_failed' },
    })
    expect(await update(productId, { price: 6 }, { 'If-Match': 'W/"2"' })).toMatchObject({ status: 412 })
    expect(await update(productId, { price: 6 }, { 'If-Match': '"1", "2"' })).toMatchObject({
      status: 200,
      body: { version: 3 },
    })
    expect(await update(productId, { price: 7 }, { 'If-Match': '*' })).toMatchObject({ status: 200 })
  })

  it('PUT /products/{id} changes only the version that If-Match names while the stock changes', async () => {
    const { productId } = await product({ stock: 10 })
    const addStock = () => shop.post(`/products/${productId}/stock`, { token, body: { change: 1 } })
    for (let round = 0; round < 10; round++) {
      const { version } = await read(productId)
      // Each update names a version that may be the current one when it arrives.
      const expectedVersions = Array.from({ length: 8 }, (_, ahead) => version + ahead)
      const answers = await Promise.all(
        expectedVersions.flatMap((expected) => [
          update(productId, { price: (round * 8 + expected) / 100 }, { 'If-Match': `"${expected}"` }),
          addStock(),
        ]),
      )
      for (const [at, expected] of expectedVersions.entries()) {
        const answer = answers[at * 2]
        if (answer?.status === 200) expect(answer.body.version).toBe(expected + 1)
        else expect(answer?.status).toBe(412)
      }
    }
  })

  it('PUT /products/{id} requires both the version and If-Match to hold if both are given', async () => {
    const { productId } = await product()
    await sell(productId)
    expect(await update(productId, { price: 6, version: 2 }, { 'If-Match': '"1"' })).toMatchObject({
      status: 412,
    })
    expect(await update(productId, { stock: 6, version: 1 }, { 'If-Match': '"2"' })).toMatchObject({
      status: 409,
    })
    expect(await update(productId, { stock: 6, version: 2 }, { 'If-Match': '"2"' })).toMatchObject({
      status: 200,
    })
  })

  it('PUT /products/{id} makes no new version if the update changes nothing', async () => {
    const { productId } = await product({ name: 'Cup', price: 5, stock: 10 })
    const same = { name: 'Cup', price: 5, stock: 10, version: 1 }
    expect(await update(productId, same)).toMatchObject({ status: 200, body: { version: 1 } })
  })

  it('PUT /products/{id} stores the content and the stock of one update, and a ledger entry only for a new stock', async () => {
    const { productId } = await product({ name: 'Cup', price: 5, stock: 10 })
    const renamed = { name: 'Mug', description: 'Blue', price: 6, stock: 10 }
    expect(await update(productId, { ...renamed, version: 1 })).toMatchObject({ status: 200, body: renamed })
    expect(await read(productId)).toMatchObject({ ...renamed, version: 2 })
    expect(await ledgerOf(productId)).toMatchObject([{ change: 10 }])
    const sold = { name: 'Jug', description: 'Red', price: 7, stock: 4 }
    expect(await update(productId, { ...sold, version: 2 })).toMatchObject({ status: 200, body: sold })
    expect(await read(productId)).toMatchObject({ ...sold, version: 3 })
    expect(await ledgerOf(productId)).toMatchObject([{ change: 10 }, { change: -6, stock: 4 }])
  })

  it('PUT /products/{id} accepts the product as it was read with a change, and refuses another productId', async () => {
    const created = await product()
    const answer = await update(created.productId, { ...created, price: 1.5 })
    expect(answer).toMatchObject({ status: 200, body: { price: 1.5, version: 2 } })
    const other = await product()
    const wrong = await update(created.productId, { ...answer.body, productId: other.productId })
    expect(wrong).toMatchObject({ status: 400, body: { errors: [{ pointer: '/productId' }] } })
  })

  it.each([
    ['an update without a field', { version: 1 }],
    ['a name that is null', { name: null, version: 1 }],
    ['a MongoDB operator', { name: { $set: 1 }, version: 1 }],
    ['an unknown field', { stocked: 5, version: 1 }],
    ['a version that is not a number', { price: 1, version: '1' }],
    ['a version that is not an integer', { price: 1, version: 1.5 }],
  ])('PUT /products/{id} refuses %s with 400, and changes nothing', async (_, body) => {
    const created = await product()
    expect(await update(created.productId, body)).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    })
    expect(await read(created.productId)).toEqual(created)
  })

  it('PUT /products/{id} stores text that looks like a MongoDB field path unchanged', async () => {
    const { productId } = await product()
    const body = { name: '$stock', description: '$$ROOT', version: 1 }
    expect(await update(productId, body)).toMatchObject({
      status: 200,
      body: { name: '$stock', description: '$$ROOT' },
    })
  })

  it('PUT /products/{id} accepts one of many concurrent updates with the same version', async () => {
    const { productId } = await product()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => update(productId, { price: n + 20, version: 1 })),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19)
  })

  it('PUT /products/{id} refuses customers with 403, and unknown products with 404', async () => {
    const { productId } = await product()
    const body = { price: 1, version: 1 }
    expect((await shop.put(`/products/${productId}`, { token: customerToken, body })).status).toBe(403)
    for (const unknown of [body, { ...body, stock: 5 }]) {
      expect(await update('0123456789abcdef01234567', unknown)).toMatchObject({
        status: 404,
        body: { code: 'product_not_found' },
      })
    }
  })
})

describe('POST /products/{id}/stock', () => {
  const change = (productId: string, body: object, key?: string) =>
    shop.post(`/products/${productId}/stock`, { token, body, headers: key ? { 'Idempotency-Key': key } : {} })

  it('a stock change is recorded in the ledger with the admin, the change and the reason', async () => {
    const { productId, createdAt } = await product({ stock: 10 })
    const delivery = await change(productId, { change: 5, reason: 'delivery' })
    expect(delivery).toMatchObject({ status: 200, body: { stock: 15, version: 2, createdAt } })
    expect(delivery.body.updatedAt > createdAt).toBe(true)
    expect(await change(productId, { change: -3 })).toMatchObject({ status: 200, body: { stock: 12 } })
    const { userId } = (await shop.get('/profile', { token })).body
    expect(await ledgerOf(productId)).toMatchObject([
      { change: 10 },
      { change: 5, stock: 15, by: userId, reason: 'delivery' },
      { change: -3, stock: 12, by: userId, reason: '' },
    ])
  })

  it('a stock change is refused with 409 if it leads below zero, and with 400 if it leads over the maximum', async () => {
    const { productId } = await product({ stock: 10 })
    expect(await change(productId, { change: -11 })).toMatchObject({
      status: 409,
      body: {
        code: 'insufficient_stock',
        detail: 'change: would take 11 from a stock of 10',
        items: [{ productId, requested: 11, available: 10 }],
      },
    })
    expect(await change(productId, { change: 999_999_991 })).toMatchObject({
      status: 400,
      body: {
        errors: [
          {
            pointer: '/change',
            code: 'max',
            message: 'must not raise the stock (10) above 1000000000',
          },
        ],
      },
    })
    expect(await read(productId)).toMatchObject({ stock: 10, version: 1 })
  })

  it.each([
    { change: 0 },
    { change: 1.5 },
    { change: '5' },
    { change: { $gt: 0 } },
    {},
    { change: 1, reason: 7 },
  ])('a stock change with the body %j is refused with 400', async (body) => {
    const { productId } = await product()
    expect(await change(productId, body)).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
  })

  it('a keyed stock change is carried out once, and its first answer is repeated', async () => {
    const { productId } = await product({ stock: 10 })
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => change(productId, { change: 5 }, 'delivery-1')),
    )
    for (const { status, body } of answers) {
      expect(status).toBe(200)
      expect(body).toEqual(answers[0]?.body)
    }
    const replayed = answers.filter(({ headers }) => headers.get('idempotent-replayed') === 'true')
    expect(replayed).toHaveLength(9)
    expect((await read(productId)).stock).toBe(15)

    await change(productId, { change: 1 })
    expect((await change(productId, { change: 5 }, 'delivery-1')).body).toMatchObject({
      stock: 15,
      version: 2,
    })
    const other = await change(productId, { change: 6 }, 'delivery-1')
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } })
  })

  it('the refusal of a keyed stock change is repeated', async () => {
    const { productId } = await product({ stock: 1 })
    const first = await change(productId, { change: -5 }, 'write-off')
    await change(productId, { change: 10 })
    const again = await change(productId, { change: -5 }, 'write-off')
    expect(again).toMatchObject({
      status: 409,
      body: { code: 'insufficient_stock', items: first.body.items },
    })
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(again.body.requestId).not.toBe(first.body.requestId)
  })

  it('each of many concurrent stock changes is carried out with its own version', async () => {
    const { productId } = await product({ stock: 0 })
    await Promise.all(Array.from({ length: 25 }, () => change(productId, { change: 2 })))
    expect(await read(productId)).toMatchObject({ stock: 50, version: 26 })
  })

  it('all reservations of a batch make one version of the product', async () => {
    const { productId } = await product({ stock: 100 })
    const orders = Array.from({ length: 50 }, () => shop.order(customerToken, [{ productId, quantity: 2 }]))
    for (const { status } of await Promise.all(orders)) expect(status).toBe(201)
    const { stock, version } = await read(productId)
    expect(stock).toBe(0)
    expect(version).toBeLessThan(25)
  })

  it('one version of a product never has two different stocks, while the stock changes', async () => {
    const { productId } = await product({ stock: 1_000 })
    const stocks = new Map<number, Set<number>>()
    const record = ({ version, stock }: { version: number; stock: number }) =>
      stocks.set(version, (stocks.get(version) ?? new Set()).add(stock))
    const buy = () => shop.order(customerToken, [{ productId, quantity: 1 }])
    const put = (body: Json, headers = {}) => shop.put(`/products/${productId}`, { token, body, headers })
    const recordAnswer = async (answer: Promise<Answer>) => {
      const { status, body } = await answer
      expect(status).toBe(200)
      record(body)
    }
    for (let round = 0; round < 10; round++) {
      await Promise.all([
        buy(),
        recordAnswer(change(productId, { change: 5 })),
        buy(),
        recordAnswer(put({ stock: 1_000 }, { 'If-Match': '*' })),
        buy(),
        recordAnswer(change(productId, { change: -3 })),
        buy(),
        // The refusal has the current product.
        put({ stock: 1, version: 1 }).then(({ body }) => record(body.current)),
        buy(),
        recordAnswer(shop.get(`/products/${productId}`)),
      ])
    }
    expect(stocks.size).toBeGreaterThan(10)
    expect([...stocks].filter(([, each]) => each.size > 1)).toEqual([])
  })

  it.each([
    ['empty', ''],
    ['blank', ' '],
    ['two words', 'a b'],
    ['not ASCII', 'ä'],
    ['256 characters long', 'x'.repeat(256)],
  ])('a stock change with an Idempotency-Key that is %s is refused with 400', async (_, key) => {
    const { productId } = await product()
    const headers = { 'Idempotency-Key': key }
    const answer = await shop.post(`/products/${productId}/stock`, { token, body: { change: 1 }, headers })
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ parameter: 'Idempotency-Key' }] } })
  })
})

describe('DELETE /products/{id}', () => {
  it('DELETE /products/{id} deletes the product for readers, buyers and admins', async () => {
    const { productId } = await product()
    expect(await shop.delete(`/products/${productId}`, { token: customerToken })).toMatchObject({
      status: 403,
    })
    expect(await shop.delete(`/products/${productId}`, { token })).toMatchObject({ status: 204, body: '' })
    const notFound = { status: 404, body: { code: 'product_not_found' } }
    expect(await shop.get(`/products/${productId}`)).toMatchObject(notFound)
    expect(await shop.delete(`/products/${productId}`, { token })).toMatchObject(notFound)
    const body = { price: 1, version: 1 }
    expect(await shop.put(`/products/${productId}`, { token, body })).toMatchObject(notFound)
    expect(await shop.post(`/products/${productId}/stock`, { token, body: { change: 1 } })).toMatchObject(
      notFound,
    )
    expect(await shop.order(customerToken, [{ productId, quantity: 1 }])).toMatchObject({
      status: 422,
      body: { code: 'unknown_product', productIds: [productId] },
    })
  })

  it('DELETE /products/{id} answers 412 if If-Match does not name the current version', async () => {
    const { productId } = await product()
    const remove = (tag: string) =>
      shop.delete(`/products/${productId}`, { token, headers: { 'If-Match': tag } })
    expect(await remove('"2"')).toMatchObject({ status: 412 })
    expect(await remove('"1"')).toMatchObject({ status: 204 })
  })

  it('DELETE /products/{id} does not change the orders of the product, which can still be cancelled', async () => {
    const { productId } = await product({ name: 'Rare', price: 3.5 })
    const { body: order } = await shop.order(customerToken, [{ productId, quantity: 2 }])
    await shop.delete(`/products/${productId}`, { token })
    expect((await shop.get(`/orders/${order.orderId}`, { token: customerToken })).body.productList).toEqual([
      { productId, name: 'Rare', price: 3.5, quantity: 2 },
    ])
    expect(await shop.delete(`/orders/${order.orderId}`, { token: customerToken })).toMatchObject({
      status: 200,
      body: { status: 'cancelled' },
    })
  })
})

describe('GET /products', () => {
  let list: Shop
  const names = ['delta', 'Alpha', 'charlie', 'Bravo', 'echo', 'Foxtrot', 'golf']
  const prices = [3, 1, 3, 2, 5, 3, 4]
  beforeAll(async () => {
    list = await startShop()
    for (const [at, name] of names.entries()) await list.product(list.adminToken, { name, price: prices[at] })
  })
  afterAll(() => list.close())

  const all = async (query: string, between?: () => Promise<unknown>, limit = 2): Promise<Json[]> => {
    const rows: Json[] = []
    let cursor = ''
    for (;;) {
      const { status, body } = await list.get(`/products?limit=${limit}${query}${cursor}`)
      expect(status).toBe(200)
      rows.push(...body.data)
      if (body.nextCursor === null) return rows
      cursor = `&cursor=${body.nextCursor}`
      await between?.()
    }
  }

  it('GET /products lists the newest products first, on pages of two', async () => {
    expect((await all('')).map(({ name }) => name)).toEqual(names.toReversed())
  })

  it('GET /products sorts by price in both directions, and by name without regard to case', async () => {
    expect((await all('&sort=price')).map(({ price }) => price)).toEqual([1, 2, 3, 3, 3, 4, 5])
    expect((await all('&sort=-price')).map(({ price }) => price)).toEqual([5, 4, 3, 3, 3, 2, 1])
    const byName = (await all('&sort=name')).map(({ name }) => name)
    expect(byName).toEqual(['Alpha', 'Bravo', 'charlie', 'delta', 'echo', 'Foxtrot', 'golf'])
  })

  it('GET /products neither skips nor repeats a row while rows are added', async () => {
    const before = (await all('')).map(({ productId }) => productId)
    const seen = (await all('', () => list.product(list.adminToken, { name: 'new', price: 3 }))).map(
      ({ productId }) => productId,
    )
    expect(seen).toEqual(before)
  })

  it('GET /products continues a list by name after a name of any length', async () => {
    for (const name of ['😀'.repeat(200), `${'\u0001'.repeat(199)}x`])
      await list.product(list.adminToken, { name })
    // With one row on each page, each name becomes a cursor.
    const rows = await all('&sort=name', undefined, 1)
    expect(new Set(rows.map(({ productId }) => productId)).size).toBe(rows.length)
    expect(rows.length).toBeGreaterThanOrEqual(names.length + 2)
  })

  it('GET /products answers with nextCursor null if the page has the last row', async () => {
    const { body } = await list.get('/products?limit=100')
    expect(body.nextCursor).toBeNull()
    expect(body.data.length).toBeGreaterThanOrEqual(names.length)
  })

  it.each([
    'limit=0',
    'limit=101',
    'limit=-1',
    'limit=x',
    'limit=',
    'limit=1&limit=2',
    'sort=stock',
    'sort[$gt]=x&sort=',
    'cursor=nonsense',
    'cursor=e30',
  ])('GET /products answers 400 for ?%s', async (query) => {
    expect(await list.get(`/products?${query}`)).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    })
  })

  it('GET /products refuses the cursor of another sort order, and a forged cursor', async () => {
    const { body } = await list.get('/products?limit=2&sort=price')
    expect((await list.get(`/products?sort=name&cursor=${body.nextCursor}`)).status).toBe(400)
    const forged = Buffer.from(JSON.stringify(['price', { key: { $gt: '' }, productId: 'x' }])).toString(
      'base64url',
    )
    expect((await list.get(`/products?sort=price&cursor=${forged}`)).status).toBe(400)
  })

  it.each([
    ['', 'createdAt'],
    ['price', 'price'],
    ['name', 'name'],
  ])('GET /products reads each page from an index (sort=%s)', async (sort) => {
    const products = (await list.collections('product')).collection('products')
    const field = { '': 'createdAt', price: 'price', name: 'name' }[sort] ?? ''
    const direction = sort === '' ? -1 : 1
    const cursor = products
      .find({ deleted: false })
      .sort({ [field]: direction, _id: direction })
      .limit(2)
    const plan = await (sort === 'name' ? cursor.collation({ locale: 'en', strength: 2 }) : cursor).explain()
    expect(JSON.stringify(plan)).toContain('IXSCAN')
    expect(JSON.stringify(plan.queryPlanner.winningPlan)).not.toMatch(/"SORT"|COLLSCAN/)
  })
})
