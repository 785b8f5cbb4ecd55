import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Shop, startShop } from '#test/support/shop.ts'

// A shop in francs, and the same shop after its operator has changed CURRENCY to euros.
let francs: Shop
let euros: Shop
beforeAll(async () => {
  francs = await startShop({ environment: { CURRENCY: 'CHF' } })
  euros = await startShop({ environment: { MONGODB_DATABASE: francs.database, DATA_DIR: francs.dataDir } })
})
afterAll(async () => {
  await francs.close()
  await euros.close()
})

const newProduct = (fields: Record<string, unknown> = {}) => francs.product(francs.adminToken, fields)
const restock = (shop: Shop, productId: string) =>
  shop.post(`/products/${productId}/stock`, {
    token: shop.adminToken,
    headers: { 'Idempotency-Key': productId },
    body: { change: 5 },
  })
const place = (shop: Shop, productId: string, quantity = 1) =>
  shop.order(shop.adminToken, [{ productId, quantity }], { 'Idempotency-Key': productId })

it('every answer with a product has the currency of the shop', async () => {
  const created = await newProduct()
  const { productId } = created
  const options = { token: francs.adminToken, body: { price: 2, version: 9 } }
  const conflict = await francs.put(`/products/${productId}`, options)
  const answers = [
    created,
    (await francs.get(`/products/${productId}`)).body,
    ...(await francs.get('/products')).body.data,
    conflict.body.current,
    (await restock(francs, productId)).body,
  ]
  expect(new Set(answers.map(({ currency }) => currency))).toEqual(new Set(['CHF']))
  expect((await euros.get(`/products/${productId}`)).body.currency).toBe('EUR')
})

it('an update may have the currency as it was read, and no other', async () => {
  const created = await newProduct()
  const path = `/products/${created.productId}`
  const token = francs.adminToken
  const updated = await francs.put(path, { token, body: { ...created, price: 3 } })
  expect(updated).toMatchObject({ status: 200, body: { price: 3, currency: 'CHF' } })
  const body = { ...updated.body, productId: '0'.repeat(24), currency: 'EUR' }
  expect(await francs.put(path, { token, body })).toMatchObject({
    status: 400,
    body: {
      errors: [
        { pointer: '/productId', code: 'rule' },
        { pointer: '/currency', code: 'rule', message: 'must be CHF, as in the product, or be left out' },
      ],
    },
  })
  const alone = await francs.put(path, { token, body: { currency: 'CHF', version: 2 } })
  expect(alone).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
})

it('a confirmed order keeps the currency of its confirmation, also in a repeated answer', async () => {
  const { productId } = await newProduct()
  const placed = await place(francs, productId)
  expect(placed).toMatchObject({ status: 201, body: { currency: 'CHF' } })
  const path = `/orders/${placed.body.orderId}`
  const token = euros.adminToken
  expect((await euros.get(path, { token })).body.currency).toBe('CHF')
  const shipped = await euros.put(path, { token, body: { status: 'shipped' } })
  expect(shipped).toMatchObject({ status: 200, body: { currency: 'CHF' } })
  const again = await place(euros, productId)
  expect(again).toMatchObject({ status: 201, body: placed.body })
  expect(again.headers.get('idempotent-replayed')).toBe('true')
  const other = await newProduct()
  expect((await place(euros, other.productId)).body.currency).toBe('EUR')
})

it('an order that was never confirmed has the currency of the shop', async () => {
  const { productId } = await newProduct({ stock: 0 })
  expect((await place(francs, productId)).status).toBe(409)
  const list = '/orders?status=rejected&limit=1'
  for (const [shop, currency] of [
    [francs, 'CHF'],
    [euros, 'EUR'],
  ] as const) {
    const { data } = (await shop.get(list, { token: shop.adminToken })).body
    expect(data).toMatchObject([{ status: 'rejected', totalAmount: null, currency }])
  }
})

it('documents of versions without a currency have the currency of the shop', async () => {
  const { productId } = await newProduct()
  const { body } = await place(francs, productId)
  expect((await restock(francs, productId)).status).toBe(200)
  const orders = (await francs.collections('order')).collection('orders')
  const answers = (await francs.collections('product')).collection('stockChangeAnswers')
  await orders.updateMany({}, { $unset: { currency: 1 } })
  await answers.updateMany({}, { $unset: { 'product.currency': 1 } })
  const read = await euros.get(`/orders/${body.orderId}`, { token: euros.adminToken })
  expect(read.body).toEqual({ ...body, currency: 'EUR' })
  const repeated = await restock(euros, productId)
  expect(repeated).toMatchObject({ status: 200, body: { productId, currency: 'EUR' } })
  expect(repeated.headers.get('idempotent-replayed')).toBe('true')
})
