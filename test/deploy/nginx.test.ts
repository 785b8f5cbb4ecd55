import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { registry } from '../../src/registry.ts'
import { type Client, createClient } from '../client.ts'
import { exchange, requestText } from '../raw-exchange.ts'
import { type Names, startNames } from './names.ts'
import { type Nginx, nginxBinary, startNginx } from './nginx.ts'

if (!nginxBinary) console.log('skipped: nginx is not installed (Debian: apt-get install nginx)')

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** What stands for replicas here: they do as they are told, and count. */
const first = '127.0.8.1'
const second = '127.0.8.2'
const nobody = '127.0.8.3'
let port: number
const servers: Server[] = []
const answers = new Map<string, Answer>()
let received: { by: string; method?: string | undefined; url?: string | undefined; headers: object }[] = []
/** Where the services are. */
const at = new Map<string, string[]>()
let names: Names
let nginx: Nginx
let client: Client

const fine: Answer = (_, response) => response.end('{}')
/** What NGINX asks for a service by its name for. */
const pathOf = new Map([
  ['auth', '/profile'],
  ['product', '/products/'],
  ['order', '/orders'],
  ['trivet', '/docs'],
])

describe.skipIf(!nginxBinary)('NGINX with the configuration that is shipped', () => {
  beforeAll(async () => {
    port = await freePort()
    for (const address of [first, second]) {
      const server = createServer((request, response) => {
        received.push({ by: address, method: request.method, url: request.url, headers: request.headers })
        answers.get(address)?.(request, response)
      })
      await new Promise<void>((resolve) => server.listen(port, address, resolve))
      servers.push(server)
    }
    names = await startNames()
    nginx = await startNginx(nginxBinary ?? '', { resolver: names.address, servicePort: port })
    client = createClient((path, init) => fetch(`${nginx.url}${path}`, init))
  })
  afterAll(async () => {
    await nginx.stop()
    await names.close()
    for (const server of servers) server.close().closeAllConnections()
  })
  beforeEach(() => {
    answers.set(first, fine)
    answers.set(second, fine)
    received = []
  })

  /** All services are there from now on, and NGINX knows it: it asks again once what it knows is a second old. */
  const all = async (...addresses: string[]) => {
    await each(Object.fromEntries(pathOf.keys().map((name) => [name, addresses])))
  }
  const each = async (addresses: Record<string, string[]>) => {
    for (const [name, own] of Object.entries(addresses)) {
      if (!isDeepStrictEqual(at.get(name), own)) names.set(name, own)
      at.set(name, own)
    }
    await vi.waitFor(
      async () => {
        for (const [name, path] of pathOf) {
          if (!names.told(name)) await client.get(path)
          expect(names.told(name)).toBe(true)
        }
      },
      { timeout: 10_000, interval: 50 },
    )
    received = []
  }

  it.each(['GET', 'HEAD'])('takes a %s that a replica was lost with to the other one', async (method) => {
    await all(first, second)
    answers.set(first, (request) => request.socket.destroy())
    for (let n = 0; n < 20; n++) expect((await client.request(method, '/products/1')).status).toBe(200)
    expect(received.some(({ by }) => by === first)).toBe(true)
  })

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])(
    'says 502 of a %s that a replica was lost with, and lets no other carry it out again',
    async (method) => {
      await all(first, second)
      const lose: Answer = (request) => request.resume().on('end', () => request.socket.destroy())
      answers.set(first, lose)
      answers.set(second, lose)
      const answer = await client.request(method, '/orders/1', {
        body: { some: 'thing' },
        headers: { 'X-Request-Id': 'once' },
      })
      expect(answer).toMatchObject({
        status: 502,
        body: { status: 502, code: 'dependency_unavailable', requestId: 'once' },
      })
      expect(answer.headers.get('retry-after')).toBe('1')
      expect(received).toEqual([expect.objectContaining({ method, url: '/orders/1' })])
    },
  )

  const id = '66f2a1b0c3d4e5f60718293a'
  const key = { 'Idempotency-Key': 'once' }
  it.each<[string, string, Record<string, string>]>([
    ['POST', '/orders/create_order', key],
    ['POST', `/products/${id}/stock`, key],
    ['POST', '/token/refresh', {}],
    ['POST', '/logout/', {}],
    ['DELETE', `/orders/${id}`, {}],
  ])(
    'takes a %s %s that may come twice to the other replica when one was lost with it',
    async (method, path, headers) => {
      await all(first, second)
      answers.set(first, (request) => request.resume().on('end', () => request.socket.destroy()))
      for (let n = 0; n < 10; n++) {
        expect((await client.request(method, path, { headers, body: { some: 'thing' } })).status).toBe(200)
      }
      expect(received.filter(({ by }) => by === second)).toHaveLength(10)
      expect(received.some(({ by }) => by === first)).toBe(true)
    },
  )

  it.each<[string, string, Record<string, string>]>([
    ['POST', '/orders/create_order', {}],
    ['POST', `/products/${id}/stock`, {}],
    ['POST', '/products/create_product', key],
    ['POST', '/register', key],
    ['POST', '/login', key],
    ['PUT', `/orders/${id}`, key],
    ['DELETE', `/products/${id}`, key],
  ])('lets no other replica carry out a %s %s that was lost', async (method, path, headers) => {
    await all(first, second)
    const lose: Answer = (request) => request.resume().on('end', () => request.socket.destroy())
    answers.set(first, lose)
    answers.set(second, lose)
    expect((await client.request(method, path, { headers, body: {} })).status).toBe(502)
    expect(received).toHaveLength(1)
  })

  it('leaves an order that takes too long where it is', async () => {
    await all(first, second)
    answers.set(first, () => undefined)
    answers.set(second, () => undefined)
    const answer = await client.post('/orders/create_order', { headers: key, body: {} })
    expect(answer).toMatchObject({ status: 504, body: { status: 504, code: 'dependency_unavailable' } })
    expect(received).toHaveLength(1)
  })

  it.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH'])(
    'takes a %s to another replica where one cannot be reached, every time',
    async (method) => {
      await all(nobody, first)
      const body = method === 'GET' ? {} : { body: { some: 'thing' } }
      for (let n = 0; n < 10; n++) {
        expect((await client.request(method, '/orders/1?a=b%2Fc', body)).status).toBe(200)
      }
      expect(received).toHaveLength(10)
      expect(received[9]).toMatchObject({ method, url: '/orders/1?a=b%2Fc' })
    },
  )

  it('takes a read that a replica does not answer to the other one after 1.5 s', async () => {
    await all(first, second)
    answers.set(first, () => undefined)
    const times: number[] = []
    for (let n = 0; n < 8; n++) {
      const started = performance.now()
      expect((await client.get('/products/')).status).toBe(200)
      times.push(performance.now() - started)
    }
    expect(Math.max(...times)).toBeLessThan(3_000)
    expect(received.some(({ by }) => by === first)).toBe(true)
  })

  it.each(['POST', 'PUT'])(
    'waits for a %s for longer than the API may take, and then says 504',
    async (method) => {
      await all(first)
      answers.set(first, (_, response) => setTimeout(() => response.end('{}'), 4_500))
      expect((await client.request(method, '/orders/1', { body: {} })).status).toBe(200)
      answers.set(first, () => undefined)
      const answer = await client.request(method, '/orders/1', { body: {} })
      expect(answer).toMatchObject({ status: 504, body: { status: 504, code: 'dependency_unavailable' } })
      expect(received).toHaveLength(2)
    },
  )

  it('takes a read that a replica answers with 503 to the other one, and leaves its 503 to a write', async () => {
    await all(first, second)
    answers.set(first, (_, response) => response.writeHead(503).end('{"code":"x"}'))
    for (let n = 0; n < 10; n++) expect((await client.get('/orders')).status).toBe(200)
    answers.set(second, (_, response) => response.writeHead(503).end('{"code":"dependency_unavailable"}'))
    for (const method of ['POST', 'PUT']) {
      expect((await client.request(method, '/orders/1', { body: {} })).status).toBe(503)
    }
  })

  it('finds containers that come, and forgets those that go', async () => {
    await all(first)
    await client.get('/products/')
    expect(received).toMatchObject([{ by: first }])
    await all(second)
    for (let n = 0; n < 10; n++) await client.get('/products/')
    expect(new Set(received.map(({ by }) => by))).toEqual(new Set([second]))
  })

  it('shuts no replica out after failures', async () => {
    await all(first)
    answers.set(first, (request) => request.socket.destroy())
    for (let n = 0; n < 10; n++) expect((await client.get('/products/')).status).toBe(502)
    answers.set(first, fine)
    expect((await client.get('/products/')).status).toBe(200)
  })

  it('takes every route to the service that has it', async () => {
    const owners: Record<string, string> = {}
    for (const name of registry.map((module) => module.name)) {
      await each({ auth: [second], product: [second], order: [second], trivet: [second], [name]: [first] })
      for (const path of registry.flatMap(({ api }) => Object.values(api)).map((route) => route.path)) {
        received = []
        await client.get(path.replace(/\{\w+\}/, '66f2a1b0c3d4e5f60718293a'))
        if (received[0]?.by === first) owners[path] = name
      }
    }
    const expected = registry.flatMap(({ name, api }) => Object.values(api).map(({ path }) => [path, name]))
    expect(owners).toEqual(Object.fromEntries(expected))
  })

  it.each([
    '/internal/product/reserve',
    '/internal',
    '/metrics',
    '/metrics/',
    '//internal/product/reserve',
    '/products/../internal/product/reserve',
    '/products/%2e%2e/internal/product/reserve',
    '/products/.%2e/internal/product/reserve',
    '/products/..%2finternal/product/reserve',
    '/%69nternal/product/reserve',
    'http://shop.example/internal/product/reserve',
  ])('takes %s nowhere', async (path) => {
    await all(first)
    // As it is: `fetch` would straighten it.
    const { status, body } = await exchange(nginx.url, requestText('GET', path))
    expect(status).toBe(404)
    expect(JSON.parse(body)).toMatchObject({ status: 404, code: 'route_not_found' })
    expect(received).toEqual([])
  })

  it.each(['/POST', '/PUT', '/REPEATABLE', '/PROBLEM'])(
    'keeps %s, which is its own, from clients',
    async (path) => {
      await all(first)
      await client.get(path)
      // A path like any other for the service that answers.
      expect(received.every(({ url }) => url === path)).toBe(true)
      expect((await client.post(path, { body: {} })).status).not.toBe(502)
    },
  )

  it('refuses a body that is larger than the API takes', async () => {
    await all(first)
    for (const method of ['POST', 'PUT']) {
      const answer = await client.request(method, '/products/create_product', {
        raw: 'x'.repeat(1024 * 1024 + 1),
      })
      expect(answer).toMatchObject({ status: 413, body: { status: 413, code: 'body_too_large' } })
    }
    expect((await client.post('/products/create_product', { raw: 'x'.repeat(1024 * 1024) })).status).toBe(200)
    expect(received).toHaveLength(1)
  })

  const chunk = `fffff\r\n${'x'.repeat(0xfffff)}\r\n`
  it.each<[string, number, string, string[]]>([
    ['a request line that is none', 400, 'validation_failed', ['GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n']],
    ['a path that leads out', 400, 'validation_failed', [requestText('GET', '/../x')]],
    ['a method that it does not take', 405, 'method_not_allowed', [requestText('TRACE', '/products/')]],
    [
      'headers that are too large',
      431,
      'validation_failed',
      [requestText('GET', '/', { A: 'x'.repeat(20_000) })],
    ],
    [
      'a body that turns out to be too large',
      413,
      'body_too_large',
      [requestText('PUT', '/products/1', { 'Transfer-Encoding': 'chunked' }), chunk, chunk, '0\r\n\r\n'],
    ],
  ])('answers %s as the API does', async (_, status, code, parts) => {
    await all(first)
    const answer = await exchange(nginx.url, ...parts)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body)).toMatchObject({ status, code, requestId: expect.any(String) })
    expect(received).toEqual([])
  })

  it('has room for the headers that the API has room for', async () => {
    await all(first)
    expect((await client.get('/products/', { headers: { A: 'x'.repeat(12_000) } })).status).toBe(200)
  })

  it.each(['GET', 'POST', 'PUT', 'DELETE'])(
    'says of a %s who sent it and which request it is',
    async (method) => {
      await all(first)
      const headers = {
        'X-Request-Id': 'a.b-c_1',
        'X-Forwarded-For': '203.0.113.9',
        Authorization: 'Bearer t',
      }
      await client.request(method, '/orders/1', { headers })
      await client.request(method, '/orders/1', { headers: { 'X-Request-Id': 'not one!' } })
      expect(received[0]?.headers).toMatchObject({
        'x-request-id': 'a.b-c_1',
        // The API believes the end of it, as far as it trusts who has written it.
        'x-forwarded-for': '203.0.113.9, 127.0.0.1',
        authorization: 'Bearer t',
        host: `127.0.0.1:${nginx.port}`,
      })
      expect(received[1]?.headers).toMatchObject({
        'x-request-id': expect.stringMatching(/^[0-9a-f]{32}$/),
        'x-forwarded-for': '127.0.0.1',
      })
    },
  )
})
