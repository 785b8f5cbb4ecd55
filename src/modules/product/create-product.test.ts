import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'

// Two replicas share one database, and one key for access tokens.
let shop: Shop
let replica: Shop
let restarted: Shop
let token: string
beforeAll(async () => {
  shop = await startShop()
  replica = await startReplica()
  token = shop.adminToken
})
afterAll(async () => {
  expect(await findUnbalancedBooks(shop)).toEqual([])
  await shop.close()
  await replica.close()
  await restarted.close()
})
const startReplica = () =>
  startShop({ environment: { MONGODB_DATABASE: shop.database, DATA_DIR: shop.dataDir } })

const cup = () => ({ name: `Cup ${randomUUID()}`, price: 12.9, stock: 3 })
const create = (body: object, key: string, { at = shop, path = '/products' } = {}) =>
  at.post(path, { token, headers: { 'Idempotency-Key': key }, body })
const countOf = async ({ name }: { name: string }) =>
  (await shop.collections('product')).collection('products').countDocuments({ name })
const isReplayed = ({ headers }: Answer) => headers.get('idempotent-replayed') === 'true'

describe('a keyed creation of a product', () => {
  it('twenty equal requests at once, at two replicas, create one product and get the same answer', async () => {
    for (let round = 0; round < 5; round++) {
      const [body, key] = [cup(), randomUUID()]
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          create(body, key, {
            at: n % 2 === 0 ? shop : replica,
            path: n % 3 === 0 ? '/products/create_product' : '/products',
          }),
        ),
      )
      const [first] = answers
      for (const answer of answers) {
        expect(answer).toMatchObject({ status: 201, body })
        expect(answer.body).toEqual(first?.body)
        expect(answer.headers.get('location')).toBe(`/products/${first?.body.productId}`)
        expect(answer.headers.get('etag')).toBe('"1"')
      }
      expect(answers.filter(isReplayed)).toHaveLength(19)
      expect(await countOf(body)).toBe(1)
    }
  })

  it('a repeated creation gets its first answer, even after the product was changed, deleted, and the process restarted', async () => {
    const [body, key] = [cup(), randomUUID()]
    const first = await create(body, key)
    expect(isReplayed(first)).toBe(false)
    const path = `/products/${first.body.productId}`
    await shop.put(path, { token, body: { price: 1, stock: 0, version: 1 } })
    restarted = await startReplica()
    for (const at of [shop, restarted]) {
      const again = await create(body, key, { at })
      expect(again).toMatchObject({ status: 201, body: first.body })
      expect(isReplayed(again)).toBe(true)
      expect(again.headers.get('etag')).toBe(first.headers.get('etag'))
      expect((await shop.delete(path, { token })).status).toBe(at === shop ? 204 : 404)
    }
    expect(await countOf(body)).toBe(1)
  })

  it('a used idempotency key is refused with 422 for another product, and for another operation', async () => {
    const [body, key] = [cup(), randomUUID()]
    const { productId } = (await create(body, key)).body
    const reused = { status: 422, body: { code: 'idempotency_key_reused' } }
    for (const change of [{ name: 'Pot' }, { price: 13 }, { stock: 4 }, { description: 'Red' }])
      expect(await create({ ...body, ...change }, key)).toMatchObject(reused)
    const headers = { 'Idempotency-Key': key }
    const path = `/products/${productId}/stock`
    expect(await shop.post(path, { token, headers, body: { change: 1 } })).toMatchObject(reused)
    const stockKey = randomUUID()
    const restock = { token, headers: { 'Idempotency-Key': stockKey }, body: { change: 1 } }
    expect((await shop.post(path, restock)).status).toBe(200)
    expect(await create(cup(), stockKey)).toMatchObject(reused)
    expect(await create({ ...body, description: '' }, key)).toMatchObject({ status: 201 })
  })

  it('a refused body takes no key, and a malformed key is refused', async () => {
    const [body, key] = [cup(), randomUUID()]
    expect((await create({ ...body, price: -1 }, key)).status).toBe(400)
    expect((await create(body, key)).status).toBe(201)
    expect(await create(body, 'a b')).toMatchObject({
      status: 400,
      body: { errors: [{ parameter: 'Idempotency-Key' }] },
    })
  })

  it('each request without an idempotency key creates a product', async () => {
    const body = cup()
    for (const _ of [1, 2]) expect((await shop.post('/products', { token, body })).status).toBe(201)
    expect(await countOf(body)).toBe(2)
  })
})
