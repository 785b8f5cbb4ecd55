import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Deployment, deploy, type Shape } from '#test/support/processes.ts'
import { root, runProgram } from '#test/support/run-program.ts'
import { admin } from '#test/support/shop.ts'
import { signIn } from '../../examples/client/api.ts'
import { buy } from '../../examples/client/buy.ts'
import { fetchWithRetries } from '../../examples/client/fetch-with-retries.ts'
import { reprice } from '../../examples/client/reprice.ts'

const demo = { email: 'demo@example.com', password: 'two cups of coffee' }

describe.each<Shape>(['one process', 'split'])('the example client, %s', (shape) => {
  let shop: Deployment
  beforeAll(async () => {
    shop = await deploy(shape, { DEMO: 'true', REQUEST_TIMEOUT: '20s' })
  })
  afterAll(() => shop.stop())

  it('the example client signs in, searches, buys what is left, and changes a price', async () => {
    const output = await runProgram(process.execPath, [join(root, 'examples/client/main.ts')], {
      SHOP_URL: shop.url,
      SHOP_ADMIN_EMAIL: admin.email,
      SHOP_ADMIN_PASSWORD: admin.password,
    })
    expect(output.split('\n')).toEqual([
      'Cappuccino cup: 14.9 (80 in stock)',
      'Espresso cup: 12.9 (120 in stock)',
      expect.stringMatching(/^order [0-9a-f]{24} is confirmed: 28.8$/),
      '  1 × Last year’s calendar',
      '  1 × Cappuccino cup',
      '  1 × Espresso cup',
      'Cappuccino cup now costs 13.41',
    ])
  })

  it('the example client reports insufficient_stock if no product of its order is left', async () => {
    const { productId } = await shop.product(shop.adminToken, { stock: 0 })
    const api = await signIn(shop.url, demo.email, demo.password)
    await expect(buy(api, [{ productId, quantity: 1 }])).rejects.toMatchObject({ code: 'insufficient_stock' })
  })

  it('the example client computes a price again from the product that another client has changed', async () => {
    const product = await shop.product(shop.adminToken, { price: 10 })
    const change = { price: 20, version: product.version }
    await shop.put(`/products/${product.productId}`, { token: shop.adminToken, body: change })
    const api = await signIn(shop.url, admin.email, admin.password)
    expect(await reprice(api, product, ({ price }) => price + 1)).toMatchObject({ price: 21 })
  })
})

describe('the retries of the example client', () => {
  /** Answers each request with the next of the statuses. Returns the keys of the requests that arrived. */
  const ask = async (
    method: string,
    key: string | undefined,
    answers: { status: number; body: object }[],
  ) => {
    const arrived: string[] = []
    const server = createServer((request, response) => {
      arrived.push(String(request.headers['idempotency-key']))
      const { status, body } = answers[arrived.length - 1] ?? { status: 500, body: {} }
      response.writeHead(status, { 'Content-Type': 'application/problem+json', 'Retry-After': '0' })
      response.end(JSON.stringify(body))
    })
    const { promise: listening, resolve } = Promise.withResolvers<void>()
    server.listen(0, '127.0.0.1', resolve)
    await listening
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const headers = key === undefined ? {} : { 'Idempotency-Key': key }
    const response = await fetchWithRetries(
      new Request(`http://127.0.0.1:${port}/`, { method, headers, ...(method === 'POST' && { body: '{}' }) }),
    )
    server.close()
    server.closeAllConnections()
    return { arrived, status: response.status }
  }
  const unavailable = { status: 503, body: { retryable: true } }
  const created = { status: 201, body: {} }

  it('the example client repeats a request with its key until the answer is final', async () => {
    const { arrived, status } = await ask('POST', 'k1', [unavailable, unavailable, created])
    expect({ arrived, status }).toEqual({ arrived: ['k1', 'k1', 'k1'], status: 201 })
  })

  it('the example client sends a request at most five times', async () => {
    const { arrived, status } = await ask('GET', undefined, Array(9).fill(unavailable))
    expect({ times: arrived.length, status }).toEqual({ times: 5, status: 503 })
  })

  it('the example client repeats no request whose problem is not retryable, and no POST without a key', async () => {
    const refused = { status: 409, body: { retryable: false } }
    expect(await ask('GET', undefined, [refused])).toMatchObject({ arrived: ['undefined'], status: 409 })
    expect(await ask('POST', undefined, [unavailable])).toMatchObject({ arrived: ['undefined'], status: 503 })
  })
})
