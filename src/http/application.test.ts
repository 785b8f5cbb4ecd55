import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, createClient } from '#test/support/client.ts'
import { sendRaw } from '#test/support/raw-http.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import { type Listener, listen } from './server.ts'

// These tests use a real socket, because they send requests that never reach a handler.
let shop: Shop
let listener: Listener
let client: Client
let url: string
beforeAll(async () => {
  shop = await startShop({ environment: { CORS_ORIGINS: 'https://shop.example' } })
  listener = await listen((request) => shop.fetch(request), {
    port: 0,
    host: '127.0.0.1',
    requestTimeoutMs: 5_000,
  })
  url = `http://127.0.0.1:${listener.port}`
  client = createClient((path, init) => fetch(`${url}${path}`, init))
})
afterAll(async () => {
  await listener.close(5_000)
  await shop.close()
})

describe('the request id', () => {
  it('the response and its problem have the request id of the client, if that id is well-formed', async () => {
    const headers = { 'X-Request-Id': 'order-42_a.B' }
    const answer = await client.get('/nowhere', { headers })
    expect(answer.headers.get('x-request-id')).toBe('order-42_a.B')
    expect(answer.body.requestId).toBe('order-42_a.B')
  })

  it.each(['with space', 'x'.repeat(129), '{"$gt":""}', ''])(
    'the response has a new request id if the client sends "%s"',
    async (given) => {
      const { headers } = await client.get('/healthz', { headers: { 'X-Request-Id': given } })
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    },
  )
})

describe('problem documents', () => {
  it('an unknown route gets 404 with a problem document', async () => {
    for (const path of ['/nowhere', '/products/a/b/c', '/products//', '/internal/nothing', '/metrics2']) {
      const answer = await client.get(path)
      expect(answer).toMatchObject({
        status: 404,
        body: { code: 'route_not_found', type: '/problems/route_not_found' },
      })
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    }
  })

  it.each([
    ['PATCH', '/products', 'GET, HEAD, POST, OPTIONS'],
    ['DELETE', '/products/', 'GET, HEAD, POST, OPTIONS'],
    ['POST', '/products/0123456789abcdef01234567', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
    ['GET', '/login', 'POST, OPTIONS'],
  ])('%s %s gets 405 with the allowed methods', async (method, path, allow) => {
    const answer = await client.request(method, path)
    expect(answer).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
    expect(answer.headers.get('allow')).toBe(allow)
  })
})

describe('request bodies', () => {
  it.each(['{"username": ', '', 'null byte \0', '{"a":1}}', "{'a': 1}"])(
    'a body that is not JSON gets 400 malformed_json: %s',
    async (raw) => {
      const headers = { 'content-type': 'application/json' }
      expect(await client.post('/register', { raw, headers })).toMatchObject({
        status: 400,
        body: { code: 'malformed_json' },
      })
    },
  )

  it.each(['null', '[]', '"text"', '1', '{"__proto__":{"role":"admin"}}', '{"constructor":{"a":1}}'])(
    'a JSON body of another type than the route expects gets 400 validation_failed: %s',
    async (raw) => {
      expect(await client.post('/register', { raw })).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      })
    },
  )

  it('a valid body with an additional __proto__ gets 400 validation_failed', async () => {
    const raw =
      '{"username":"prototype","email":"p@example.com","password":"long enough","__proto__":{"role":"admin"}}'
    const answer = await client.post('/register', { raw })
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
  })

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
  ])('a body of the media type %s gets 415', async (type) => {
    const answer = await client.post('/register', { raw: '{}', headers: { 'content-type': type } })
    expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } })
  })

  it('a body of more than 1 MiB gets 413, with and without Content-Length', async () => {
    const raw = JSON.stringify({ name: 'x'.repeat(2 * 1024 * 1024) })
    const token = shop.adminToken
    for (const path of ['/register', '/products', '/orders']) {
      const answer = await client.post(path, { raw, token })
      expect(answer).toMatchObject({ status: 413, body: { code: 'body_too_large' } })
    }
    const stream = new ReadableStream({
      start(controller) {
        for (let n = 0; n < 32; n++) controller.enqueue(new TextEncoder().encode('x'.repeat(65_536)))
        controller.close()
      },
    })
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', body: stream, duplex: 'half', headers } as RequestInit
    const answer = await fetch(`${url}/register`, init)
    expect(answer.status).toBe(413)
  })
})

describe('malformed HTTP', () => {
  const answerTo = (request: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(listener.port, '127.0.0.1')
      let received = ''
      socket.once('error', reject)
      socket.on('data', (data) => {
        received += data.toString()
      })
      socket.once('close', () => resolve(received))
      socket.end(request)
    })

  it.each([
    ['not a request', 'nonsense\r\n\r\n'],
    ['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n'],
    ['an invalid Host', 'GET /healthz HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
    [
      'two lengths',
      'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
  ])('malformed HTTP gets a problem document: %s', async (_, request) => {
    const [head = '', body = ''] = (await answerTo(request)).split('\r\n\r\n')
    expect(head).toMatch(/^HTTP\/1.1 400 /)
    expect(head).toMatch(/content-type: application\/problem\+json/i)
    const requestId = /x-request-id: (\S+)/i.exec(head)?.[1]
    expect(JSON.parse(body)).toMatchObject({ code: 'validation_failed', status: 400, requestId })
  })

  it('malformed HTTP does not affect the answers to earlier requests of the connection', async () => {
    const registration = JSON.stringify({ username: 'x' })
    const requests = [
      'GET /products?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n',
      `POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${registration.length}\r\n\r\n${registration}`,
      'nonsense\r\n\r\n',
    ]
    const { status, body } = await sendRaw(url, requests.join(''))
    expect([status, body.match(/HTTP\/1.1 \d+/g)]).toEqual([200, ['HTTP/1.1 400']])
    // This is the answer to the registration.
    expect(body).toContain('"/email"')
  })

  it('CONNECT gets 405, since the server is no proxy', async () => {
    const [head = '', body = ''] = (await answerTo('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')).split(
      '\r\n\r\n',
    )
    expect(head).toMatch(/^HTTP\/1.1 405 /)
    expect(head).toMatch(/^allow: GET/im)
    expect(JSON.parse(body)).toMatchObject({ code: 'method_not_allowed' })
  })

  it('an unknown expectation is ignored', async () => {
    const request = 'GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n'
    expect(await answerTo(request)).toMatch(/^HTTP\/1.1 200 /)
  })
})

describe('paths', () => {
  it.each([
    '/products',
    '/orders',
    '/healthz',
    '/docs',
    '/openapi.json',
    '/.well-known/jwks.json',
    '/profile',
  ])('%s has the same answer with and without a trailing slash', async (path) => {
    const token = shop.adminToken
    const [without, withSlash] = await Promise.all([
      client.get(path, { token }),
      client.get(`${path}/`, { token }),
    ])
    expect(without.status).toBe(200)
    expect(withSlash).toMatchObject({ status: 200, body: without.body })
  })

  it('a path with an id or a query is served with and without a trailing slash', async () => {
    const { productId } = await client.product(shop.adminToken)
    expect((await client.get(`/products/${productId}/`)).status).toBe(200)
    expect((await client.get('/products/?limit=1')).body.data).toHaveLength(1)
    expect((await client.get('/products?limit=1')).body.data).toHaveLength(1)
  })

  it('HEAD gets the answer to GET without the body', async () => {
    const { productId } = await client.product(shop.adminToken)
    const answer = await client.request('HEAD', `/products/${productId}`)
    expect(answer).toMatchObject({ status: 200, body: '' })
    expect(answer.headers.get('etag')).toBe('"1"')
  })
})

describe('query parameters', () => {
  it.each([
    ['/orders?staus=confirmed', 'staus'],
    ['/orders?Status=confirmed', 'Status'],
    ['/orders?userId[$ne]=', 'userId[$ne]'],
    ['/orders?userId%5B%24ne%5D=', 'userId[$ne]'],
    ['/orders?__proto__=x', '__proto__'],
    ['/products?price[$gt]=1', 'price[$gt]'],
    ['/products?limit=1&limit=2', 'limit'],
    ['/profile?role=admin', 'role'],
    ['/.well-known/jwks.json?kid=1', 'kid'],
  ])('a query parameter that the route does not have is refused by name: %s', async (path, parameter) => {
    expect(await client.get(path, { token: shop.adminToken })).toMatchObject({
      status: 400,
      body: { code: 'validation_failed', errors: [{ parameter, message: expect.any(String) }] },
    })
  })

  it('the probes ignore query parameters, since a monitor may add its own', async () => {
    for (const path of ['/healthz?t=1', '/readyz?t=1']) expect((await client.get(path)).status).toBe(200)
  })
})

it.each<[string, string, unknown, object]>([
  [
    'GET',
    '/products?limit=1&limit=2',
    undefined,
    { parameter: 'limit', code: 'repeated', message: 'must be given only once' },
  ],
  [
    'GET',
    '/products?sort=age',
    undefined,
    { parameter: 'sort', code: 'format', message: 'must be one of newest, price, -price, name' },
  ],
  [
    'GET',
    `/orders?cursor=${'x'.repeat(4_001)}`,
    undefined,
    { parameter: 'cursor', code: 'max', message: 'must have at most 4000 characters' },
  ],
  [
    'POST',
    '/orders',
    {},
    { pointer: '/productList', code: 'required', message: 'is required, and must be an array' },
  ],
  [
    'POST',
    '/orders',
    { productList: [] },
    { pointer: '/productList', code: 'min', message: 'must not be empty' },
  ],
  [
    'POST',
    '/orders',
    { productList: [{ productId: '0'.repeat(24), quantity: 0 }] },
    { pointer: '/productList/0/quantity', code: 'min', message: 'must be at least 1' },
  ],
  [
    'POST',
    '/orders',
    { productList: [{ productId: '0'.repeat(24), quantity: 1.5 }] },
    { pointer: '/productList/0/quantity', code: 'type', message: 'must be an integer' },
  ],
  [
    'POST',
    '/products',
    { name: 'Cup', price: 1 },
    { pointer: '/stock', code: 'required', message: 'is required, and must be an integer' },
  ],
  [
    'POST',
    '/register',
    { username: 'someone', password: 'correct horse battery' },
    { pointer: '/email', code: 'required', message: 'is required, and must be a string' },
  ],
  [
    'POST',
    '/products',
    { name: 'Cup', price: '1', stock: 1 },
    { pointer: '/price', code: 'type', message: 'must be a number' },
  ],
  [
    'POST',
    '/register',
    { username: 'someone', email: 'nowhere', password: 'correct horse battery' },
    {
      pointer: '/email',
      code: 'format',
      message: expect.stringMatching(/^must be an e-mail address such as/),
    },
  ],
])('a refusal says what the route expects: %s %s %j', async (method, path, body, fault) => {
  expect(await client.request(method, path, { token: shop.adminToken, body })).toMatchObject({
    status: 400,
    body: { errors: [fault] },
  })
})

describe('other origins', () => {
  it('another origin is allowed only if CORS_ORIGINS names it', async () => {
    const preflight = (origin: string) =>
      client.request('OPTIONS', '/orders', {
        headers: { Origin: origin, 'Access-Control-Request-Method': 'POST' },
      })
    const known = await preflight('https://shop.example')
    expect(known.status).toBe(204)
    expect(known.headers.get('access-control-allow-origin')).toBe('https://shop.example')
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('the probes', () => {
  it('both probes answer 200 while the database answers', async () => {
    expect(await client.get('/readyz')).toMatchObject({ status: 200, body: { status: 'ready' } })
    expect(await client.get('/healthz')).toMatchObject({ status: 200, body: { status: 'alive' } })
  })
})
