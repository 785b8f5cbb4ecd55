import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Deployment, deploy, type Shape } from '#test/support/processes.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { patchSuite } from './patch.suite.ts'

/** The behaviour that clients rely on in both shapes, with real processes, sockets and databases. */
export function endToEndSuite(shape: Shape) {
  describe(`the whole program, ${shape}`, () => {
    let shop: Deployment
    beforeAll(async () => {
      // Tests share two cores, so requests may be slow.
      shop = await deploy(shape, { REQUEST_TIMEOUT: '20s' })
    })
    afterAll(async () => {
      expect(await findUnbalancedBooks(shop)).toEqual([])
      expect(await shop.stop()).toBe(0)
    })
    patchSuite(() => shop)

    const stockOf = async (productId: string) => (await shop.get(`/products/${productId}`)).body.stock

    it('a customer registers, signs in, buys, repeats the order with its key, and cancels it', async () => {
      const ada = await shop.customer()
      expect(await shop.get('/profile', { token: ada.token })).toMatchObject({
        status: 200,
        body: { userId: ada.userId, role: 'customer' },
      })
      const { productId } = await shop.product(shop.adminToken, { name: 'Cup', price: 19.99, stock: 5 })
      const headers = { 'Idempotency-Key': 'tour' }
      const placed = await shop.order(ada.token, [{ productId, quantity: 3 }], headers)
      expect(placed).toMatchObject({
        status: 201,
        body: {
          userId: ada.userId,
          productList: [{ productId, name: 'Cup', price: 19.99, quantity: 3 }],
          totalAmount: 59.97,
          status: 'confirmed',
        },
      })
      const again = await shop.order(ada.token, [{ productId, quantity: 3 }], headers)
      expect(again).toMatchObject({ status: 201, body: placed.body })
      expect(again.headers.get('idempotent-replayed')).toBe('true')
      expect(await stockOf(productId)).toBe(2)

      const { orderId } = placed.body
      const list = await shop.get('/orders', { token: ada.token })
      expect(list.body.data).toEqual([placed.body])
      expect(await shop.delete(`/orders/${orderId}`, { token: ada.token })).toMatchObject({
        status: 200,
        body: { status: 'cancelled' },
      })
      expect(await stockOf(productId)).toBe(5)
    })

    it('an update with a stale version is refused with the current product', async () => {
      const { productId } = await shop.product(shop.adminToken, { price: 1 })
      const token = shop.adminToken
      const update = (body: object) => shop.put(`/products/${productId}`, { token, body })
      expect((await update({ price: 2, version: 1 })).status).toBe(200)
      expect(await update({ price: 3, version: 1 })).toMatchObject({
        status: 409,
        body: { code: 'version_conflict', currentVersion: 2, current: { productId, price: 2, version: 2 } },
      })
    })

    it('an order over the stock or for an unknown product is refused', async () => {
      const { token } = await shop.customer()
      const { productId } = await shop.product(shop.adminToken, { stock: 1 })
      expect(await shop.order(token, [{ productId, quantity: 2 }])).toMatchObject({
        status: 409,
        body: { code: 'insufficient_stock', items: [{ productId, requested: 2, available: 1 }] },
      })
      const unknown = '0123456789abcdef01234567'
      expect(await shop.order(token, [{ productId: unknown, quantity: 2 }])).toMatchObject({
        status: 422,
        body: { code: 'unknown_product', productIds: [unknown] },
      })
    })

    it('200 concurrent orders buy 50 units exactly', async () => {
      const buyers = await Promise.all(Array.from({ length: 10 }, () => shop.customer()))
      const { productId } = await shop.product(shop.adminToken, { stock: 50 })
      const order = async (token: string) => {
        for (;;) {
          const answer = await shop.order(token, [{ productId, quantity: 1 }])
          if (answer.body.code !== 'overloaded') return answer
          await sleep(1_000 * Number(answer.headers.get('Retry-After')))
        }
      }
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, n) => order(buyers[n % buyers.length]?.token ?? '')),
      )
      const count = (status: number) => answers.filter((answer) => answer.status === status).length
      expect({ confirmed: count(201), refused: count(409) }).toEqual({ confirmed: 50, refused: 150 })
      expect(answers.filter(({ body }) => body.status === 'confirmed')).toHaveLength(50)
      expect(await stockOf(productId)).toBe(0)
      const orders = await Promise.all(
        buyers.map(
          async ({ token }) => (await shop.get('/orders?status=confirmed&limit=100', { token })).body.data,
        ),
      )
      expect(orders.flat()).toHaveLength(50)
    })

    it('100 concurrent orders of several products are each confirmed whole or rejected whole', async () => {
      const buyers = await Promise.all(Array.from({ length: 10 }, () => shop.customer()))
      const scarce = await shop.product(shop.adminToken, { name: 'Scarce', stock: 30 })
      const plenty = await Promise.all(
        Array.from({ length: 5 }, (_, n) =>
          shop.product(shop.adminToken, { name: `Plenty ${n}`, stock: 1_000 }),
        ),
      )
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, n) => {
          const [first, second] = [plenty[n % 5], plenty[(n + 1 + (n % 4)) % 5]]
          const basket = [
            { productId: first.productId, quantity: 2 },
            { productId: second.productId, quantity: 3 },
          ]
          // The position of the scarce product varies. If transactions locked products in the order of the lines, they would deadlock.
          basket.splice(n % 3, 0, { productId: scarce.productId, quantity: 1 })
          return shop.order(buyers[n % buyers.length]?.token ?? '', basket)
        }),
      )
      const confirmed = answers.filter(({ status }) => status === 201)
      expect(confirmed).toHaveLength(30)
      for (const answer of answers.filter((answer) => !confirmed.includes(answer))) {
        expect(answer).toMatchObject({
          status: 409,
          body: {
            code: 'insufficient_stock',
            items: [{ productId: scarce.productId, requested: 1, available: 0 }],
          },
        })
      }
      const sold = new Map<string, number>()
      for (const { body } of confirmed) {
        for (const { productId, quantity } of body.productList)
          sold.set(productId, (sold.get(productId) ?? 0) + quantity)
      }
      expect(await stockOf(scarce.productId)).toBe(0)
      for (const { productId } of plenty)
        expect(await stockOf(productId)).toBe(1_000 - (sold.get(productId) ?? 0))
    })

    it('50 concurrent requests with one idempotency key place one order', async () => {
      const { token } = await shop.customer()
      const { productId } = await shop.product(shop.adminToken, { stock: 10 })
      const place = () => shop.order(token, [{ productId, quantity: 3 }], { 'Idempotency-Key': 'rush' })
      const answers = await Promise.all(Array.from({ length: 50 }, place))
      const placed = answers.filter(({ status }) => status === 201)
      const waiting = answers.filter(({ body }) => body.code === 'request_in_progress')
      expect(placed.length + waiting.length).toBe(50)
      expect(placed.filter(({ headers }) => !headers.has('idempotent-replayed'))).toHaveLength(1)
      for (const { headers } of waiting) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)

      const replays = await Promise.all(Array.from({ length: 50 }, place))
      for (const { status, headers } of replays) {
        expect({ status, replayed: headers.get('idempotent-replayed') }).toEqual({
          status: 201,
          replayed: 'true',
        })
      }
      const { data } = (await shop.get('/orders', { token })).body
      expect(data).toHaveLength(1)
      for (const { body } of [...placed, ...replays]) expect(body).toEqual(data[0])
      expect(await stockOf(productId)).toBe(7)
    })

    it('50 concurrent cancellations of one order return its stock once', async () => {
      const { token } = await shop.customer()
      const { productId } = await shop.product(shop.adminToken, { stock: 10 })
      const { orderId } = (await shop.order(token, [{ productId, quantity: 4 }])).body
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          n % 2 === 0
            ? shop.delete(`/orders/${orderId}`, { token })
            : shop.put(`/orders/${orderId}`, { token, body: { status: 'cancelled' } }),
        ),
      )
      for (const answer of answers) {
        expect(answer).toMatchObject({ status: 200, body: { orderId, status: 'cancelled', version: 4 } })
      }
      expect(await stockOf(productId)).toBe(10)
    })

    it('a customer cannot read or cancel the order of another customer', async () => {
      const [ada, grace] = await Promise.all([shop.customer(), shop.customer()])
      const { productId } = await shop.product(shop.adminToken)
      const { orderId } = (await shop.order(ada.token, [{ productId, quantity: 1 }])).body
      for (const method of ['GET', 'DELETE']) {
        expect(await shop.request(method, `/orders/${orderId}`, { token: grace.token })).toMatchObject({
          status: 404,
          body: { code: 'order_not_found' },
        })
      }
    })

    it('the aliases create_product and create_order do what POST /products and POST /orders do', async () => {
      const token = shop.adminToken
      const cup = { name: 'Cup', price: 12.9, stock: 10 }
      for (const path of [
        '/products',
        '/products/',
        '/products/create_product',
        '/products/create_product/',
      ]) {
        const answer = await shop.post(path, { token, body: cup })
        expect(answer, path).toMatchObject({ status: 201, body: cup })
        expect(answer.headers.get('location')).toBe(`/products/${answer.body.productId}`)
      }
      const { productId } = await shop.product(token)
      const body = { productList: [{ productId, quantity: 1 }] }
      const headers = { 'Idempotency-Key': randomUUID() }
      const paths = ['/orders', '/orders/', '/orders/create_order', '/orders/create_order/']
      const first = await shop.post('/orders', { token, headers, body })
      expect(first).toMatchObject({ status: 201, body: { productList: [{ productId }] } })
      for (const path of paths) {
        const again = await shop.post(path, { token, headers, body })
        expect(again, path).toMatchObject({ status: 201, body: first.body })
        expect(again.headers.get('location')).toBe(`/orders/${first.body.orderId}`)
        expect(again.headers.get('idempotent-replayed')).toBe('true')
      }
    })

    it('OPTIONS answers with the methods of a path', async () => {
      const answer = await shop.request('OPTIONS', '/orders')
      expect(answer).toMatchObject({ status: 204, body: '' })
      expect(answer.headers.get('allow')).toBe('GET, HEAD, POST, OPTIONS')
      expect((await shop.request('OPTIONS', '/nowhere')).status).toBe(404)
    })

    it('the request id is in the answer and in the log', async () => {
      const headers = { 'X-Request-Id': `e2e-${shape.replace(' ', '-')}` }
      const { token } = await shop.customer()
      const { productId } = await shop.product(shop.adminToken)
      const body = { productList: [{ productId, quantity: 1 }] }
      const answer = await shop.post('/orders', { token, headers, body })
      expect(answer.headers.get('x-request-id')).toBe(headers['X-Request-Id'])
      // The log line of a process arrives a moment after its answer.
      await vi.waitFor(() => expect(shop.output().includes(headers['X-Request-Id'])).toBe(true), {
        timeout: 5_000,
      })
    })

    const unknownId = '0123456789abcdef01234567'
    const operator = { $gt: '' }
    it.each<[string, string, unknown]>([
      ['POST', '/register', '{"username": '],
      ['POST', '/register', { username: operator, email: operator, password: operator }],
      [
        'POST',
        '/register',
        { username: 'ada', email: 'ada@example.com', password: 'long enough', role: 'admin' },
      ],
      ['POST', '/login', { email: operator, password: 'x' }],
      ['POST', '/login', { username: 'ada', password: operator }],
      ['POST', '/products', '[1, 2'],
      ['POST', '/products', { name: operator, description: operator, price: 1, stock: 1 }],
      ['POST', '/products', { name: 'Cup', price: 1.999, stock: 1 }],
      ['POST', '/products', { name: 'Cup', price: -1, stock: 1 }],
      ['POST', '/products', { name: 'Cup', price: 1, stock: 1e12 }],
      ['PUT', `/products/${unknownId}`, { name: operator, version: 1 }],
      ['PUT', '/products/nothing', { name: 'Cup', version: 1 }],
      ['POST', `/products/${unknownId}/stock`, { change: 1, reason: operator }],
      ['POST', `/products/${unknownId}/stock`, { change: -1e15 }],
      ['DELETE', '/products/nothing', undefined],
      ['POST', '/orders', '}'],
      ['POST', '/orders', { productList: [{ productId: operator, quantity: 1 }] }],
      ['POST', '/orders', { productList: [{ productId: unknownId, quantity: -5 }] }],
      ['POST', '/orders', { productList: [{ productId: unknownId, quantity: 1e9 }] }],
      ['POST', '/orders', { productList: 'x'.repeat(2 * 1024 * 1024) }],
      ['PUT', `/orders/${unknownId}`, { status: operator }],
      ['PUT', '/orders/nothing', { status: 'cancelled' }],
      ['DELETE', '/orders/nothing', undefined],
    ])(
      '%s %s with an invalid path or body answers a 4xx problem and changes nothing',
      async (method, path, body) => {
        const everything = async () => {
          const token = shop.adminToken
          const products = (await shop.get('/products?limit=100')).body
          return { products, orders: (await shop.get('/orders?limit=100', { token })).body }
        }
        const before = await everything()
        const sent = typeof body === 'string' ? { raw: body } : { body }
        const answer = await shop.request(method, path, { token: shop.adminToken, ...sent })
        expect(answer.status).toBeGreaterThanOrEqual(400)
        expect(answer.status).toBeLessThan(500)
        expect(answer.headers.get('content-type')).toBe('application/problem+json')
        expect(answer.body).toMatchObject({ status: answer.status, type: `/problems/${answer.body.code}` })
        expect(await everything()).toEqual(before)
      },
    )

    /** Signs in with headers that `fetch` does not send. */
    const login = (password: string, headers: Record<string, string>): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const body = JSON.stringify({ email: 'nobody@example.com', password })
        const length = { 'Content-Type': 'application/json', 'Content-Length': body.length }
        const sent = request(`${shop.url}/login`, { method: 'POST', headers: { ...headers, ...length } })
        sent.once('response', (response) => {
          response.resume()
          resolve(response.statusCode)
        })
        sent.once('error', reject)
        if ('Expect' in headers) sent.once('continue', () => sent.end(body))
        else sent.end(body)
      })

    it.each([
      ['announces its body with Expect, as curl does', { Expect: '100-continue' }],
      ['offers an upgrade to HTTP/2', { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c' }],
      ['has hop-by-hop headers', { Connection: 'X-Mine, keep-alive', 'X-Mine': '1', TE: 'trailers' }],
    ])('a client that %s is answered like any other', async (_, headers: Record<string, string>) => {
      expect(await login('wrong', headers)).toBe(401)
      expect(await login('x'.repeat(2 * 1024 * 1024), headers)).toBe(413)
    })

    it('/docs and its assets are served by the program, and /openapi.json is complete', async () => {
      const page = await shop.get('/docs')
      expect(page.status).toBe(200)
      const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => String(path))
      expect(assets.length).toBeGreaterThan(2)
      for (const path of assets) {
        expect(path).toMatch(/^\//)
        expect((await shop.get(path)).status, path).toBe(200)
      }
      const { paths } = (await shop.get('/openapi.json')).body
      for (const path of ['/register', '/products/{id}', '/orders']) expect(paths).toHaveProperty([path])
    })

    it('without CORS_ORIGINS no answer has CORS headers', async () => {
      const headers = { Origin: 'https://shop.example', 'Access-Control-Request-Method': 'POST' }
      const preflight = await shop.request('OPTIONS', '/orders', { headers })
      expect(preflight).toMatchObject({ status: 204, body: '' })
      const read = await shop.get('/products', { headers })
      expect(read.status).toBe(200)
      for (const answer of [preflight, read]) {
        expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
        expect(answer.headers.get('vary') ?? '').not.toContain('Origin')
      }
    })

    it('/internal refuses an admin', async () => {
      const answer = await shop.post('/internal/product/reserve', {
        token: shop.adminToken,
        body: { calls: [] },
      })
      expect([401, 404]).toContain(answer.status)
    })
  })
}
