import { Types } from 'mongoose'
import { beforeAll, expect, it, type TestContext, vi } from 'vitest'
import { productPort } from '#src/modules/product/contract.ts'
import type { Answer, Client } from '#test/support/client.ts'
import { call, startPortShop } from '#test/support/port-shop.ts'
import { dropConnection, forwardTo, startAuthServer, startService } from '#test/support/remote-auth.ts'
import { loadPasswordCheck, startShop } from '#test/support/shop.ts'

// An order that cannot be reserved now is refused before it is stored. Otherwise each refused request would leave an order
// behind that the sweeper has to undo.

beforeAll(loadPasswordCheck)

/** Starts a shop, and an order service that reaches the auth and product modules of the shop over HTTP. */
async function startSplit({ onTestFinished }: TestContext) {
  const INTERNAL_SECRET = 'a secret that only these tests know'
  const shop = await startShop({ environment: { INTERNAL_SECRET } })
  const answer = forwardTo(shop.fetch)
  const server = await startAuthServer(answer)
  const order = await startService('order', {
    AUTH_URL: server.url,
    PRODUCT_URL: server.url,
    INTERNAL_SECRET,
  })
  onTestFinished(async () => {
    server.answer = answer
    await order.close()
    await server.close()
    await shop.close()
  })
  return { shop, order: order.client, server, answer }
}

/** A customer with one product. `client` serves the orders. */
async function customerOf(shop: Awaited<ReturnType<typeof startShop>>, client: Client, stock: number) {
  const { token } = await shop.customer()
  const { productId } = await shop.product(shop.adminToken, { stock })
  const cancel = (orderId: string) => client.delete(`/orders/${orderId}`, { token })
  const buy = (key?: string, quantity = 1): Promise<Answer> =>
    client.order(token, [{ productId, quantity }], key === undefined ? {} : { 'Idempotency-Key': key })
  const countStored = async () => (await client.get('/orders?limit=100', { token })).body.data.length
  return { productId, buy, cancel, countStored }
}

const expectRefusedUnstored = ({ status, body, headers }: Answer, code: string) => {
  expect(status).toBe(503)
  expect(body).toMatchObject({ code, retryable: true })
  expect(body.orderId).toBeUndefined()
  expect(headers.get('location')).toBeNull()
  expect(headers.get('retry-after')).toBe('1')
}

it('orders are refused without being stored while the product service is away, and a settled order keeps its answer', async (context) => {
  const { shop, order, server, answer } = await startSplit(context)
  const { buy, cancel, countStored } = await customerOf(shop, order, 10)
  const dropCalls: typeof answer = (request, response) =>
    request.url?.startsWith('/internal/') ? dropConnection(request, response) : answer(request, response)
  const first = await buy('first')
  expect([first.status, (await buy()).status]).toEqual([201, 201])
  const rejected = await buy('rejected', 11)
  expect(rejected).toMatchObject({ status: 409, body: { code: 'insufficient_stock' } })
  server.answer = dropCalls
  const { orderId } = (await buy('cancelled')).body
  server.answer = answer
  await vi.waitFor(
    async () => expect(await cancel(orderId)).toMatchObject({ status: 200, body: { status: 'cancelled' } }),
    { timeout: 10_000 },
  )
  server.answer = dropCalls
  expect((await buy('pending')).status).toBe(503)
  await vi.waitFor(
    async () => {
      await buy()
      expect((await order.get('/readyz')).body).toEqual({ status: 'ready', unavailable: ['product'] })
    },
    { timeout: 10_000 },
  )
  const stored = await countStored()
  for (const key of [undefined, 'second', 'pending', undefined])
    expectRefusedUnstored(await buy(key), 'dependency_unavailable')
  expect(await countStored()).toBe(stored)

  const repeated = await buy('first')
  expect(repeated).toMatchObject({ status: 201, body: first.body })
  expect(repeated.headers.get('idempotent-replayed')).toBe('true')
  expect(await buy('first', 2)).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } })
  expect(await buy('rejected', 11)).toMatchObject({ status: 409, body: { items: rejected.body.items } })
  expect(await buy('cancelled')).toMatchObject({ status: 409, body: { code: 'invalid_transition' } })

  server.answer = answer
  await vi.waitFor(async () => expect((await buy('second')).status).toBe(201), { timeout: 10_000 })
})

it('orders are refused without being stored while many operations wait for the stock queue', async ({
  onTestFinished,
}) => {
  const host = await startPortShop()
  onTestFinished(host.close)
  const { shop } = host
  const { productId, buy, countStored } = await customerOf(shop, shop, 10_000)
  expect((await buy('first')).status).toBe(201)
  const { client, databaseName } = await shop.collections('product')
  const session = client.startSession()
  session.startTransaction()
  await client
    .db(databaseName)
    .collection('products')
    .updateOne({ _id: new Types.ObjectId(productId) }, { $set: { lock: 1 } }, { session })
  const { reserve } = host.local(productPort)
  const waiting = Array.from({ length: 1_300 }, () => {
    const orderId = new Types.ObjectId().toHexString()
    return reserve({ orderId, lines: [{ productId, quantity: 1 }] }, call())
  })
  for (const key of [undefined, 'first']) expectRefusedUnstored(await buy(key), 'overloaded')
  expect(await countStored()).toBe(1)
  await session.abortTransaction()
  await session.endSession()
  expect(new Set((await Promise.all(waiting)).map(({ state }) => state))).toEqual(new Set(['held']))
  expect((await buy()).status).toBe(201)
})
