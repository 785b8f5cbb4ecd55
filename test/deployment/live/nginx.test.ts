import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '#src/embedded/free-port.ts'
import { securityHeaders } from '#src/http/security-headers.ts'
import { registry } from '#src/registry.ts'
import { type Client, createClient } from '#test/support/client.ts'
import { problems } from '#test/support/problems.ts'
import { type RawAnswer, requestText, sendRaw } from '#test/support/raw-http.ts'
import { type DnsServer, startDnsServer } from './dns-server.ts'
import { type Nginx, nginxBinary, startIngressController, startNginx } from './nginx.ts'

if (!nginxBinary) console.log('skipped: nginx is not installed (Debian: apt-get install nginx)')

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** The addresses of two HTTP servers in place of replicas. Each test sets their `answers`, and `received` has their requests. */
const first = '127.0.8.1'
const second = '127.0.8.2'
const unusedAddress = '127.0.8.3'
let port: number
const servers: Server[] = []
const answers = new Map<string, Answer>()
let received: { by: string; method?: string | undefined; url?: string | undefined; headers: object }[] = []
/** The addresses of each service, by its name. */
const addressesOf = new Map<string, string[]>()
let names: DnsServer
let nginx: Nginx
let client: Client

/** The details of NGINX's problem documents about a replica that cannot be reached, and about one that is too slow. */
const unreachable = 'the service cannot be reached, or was lost before it answered'
const late = 'the service did not answer in time'

/** Expects an answer that NGINX itself wrote: the problem document with this code, as the API would write it. */
function expectProblem(
  { status, headers, body }: Awaited<ReturnType<Client['get']>> | RawAnswer,
  code: string,
) {
  const document = typeof body === 'string' ? JSON.parse(body) : body
  const sent = Object.fromEntries(headers)
  expect(document).toMatchObject({
    type: `/problems/${code}`,
    code,
    status,
    title: expect.any(String),
    detail: expect.any(String),
    requestId: sent['x-request-id'],
  })
  const problem = problems[code]
  if (problem) {
    const { title, status: own, retryAfter, retryable = false } = problem
    const described = {
      title: document.title,
      retryAfter: document.retryAfter,
      retryable: document.retryable,
    }
    expect({ ...described, status }).toEqual({ title, status: own, retryAfter, retryable })
  } else expect(code).toBe('headers_too_large')
  expect(sent).toMatchObject({ ...securityHeaders, 'content-type': 'application/problem+json' })
  expect(sent['retry-after']).toBe(document.retryAfter?.toString())
  expect(sent.allow).toBe(document.allowed?.join(', '))
}

/** Answers after the whole body has arrived. If the server closed the connection earlier, NGINX would report a lost connection. */
const answerOk: Answer = (request, response) => request.resume().on('end', () => response.end('{}'))
/** A path for which NGINX sends a request to the service. */
const pathOf = new Map([
  ...registry.map(({ name, api }): [string, string] => [name, Object.values(api)[0]?.path ?? '']),
  ['auth', '/profile'],
  ['product', '/products'],
  ['order', '/orders'],
  ['trivet', '/docs'],
])

describe.skipIf(!nginxBinary)('NGINX with the shipped configuration', () => {
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
    names = await startDnsServer()
    nginx = await startNginx(nginxBinary ?? '', { resolver: names.address, servicePort: port })
    client = createClient((path, init) => fetch(`${nginx.url}${path}`, init))
  })
  afterAll(async () => {
    await nginx.stop()
    await names.close()
    for (const server of servers) server.close().closeAllConnections()
  })
  beforeEach(() => {
    answers.set(first, answerOk)
    answers.set(second, answerOk)
    received = []
  })

  /** Sets the addresses of all services, and waits until NGINX has queried them. NGINX caches an address for one second. */
  const resolveAllTo = async (...addresses: string[]) => {
    await resolveTo(Object.fromEntries(pathOf.keys().map((name) => [name, addresses])))
  }
  const resolveTo = async (addresses: Record<string, string[]>) => {
    for (const [name, own] of Object.entries(addresses)) {
      if (!isDeepStrictEqual(addressesOf.get(name), own)) names.setAddresses(name, own)
      addressesOf.set(name, own)
    }
    await vi.waitFor(
      async () => {
        for (const [name, path] of pathOf) {
          if (!names.wasQueried(name)) await client.get(path)
          expect(names.wasQueried(name)).toBe(true)
        }
      },
      { timeout: 10_000, interval: 50 },
    )
    received = []
  }

  it.each(['GET', 'HEAD'])(
    'NGINX sends a %s again to the other replica if the first closes the connection',
    async (method) => {
      await resolveAllTo(first, second)
      answers.set(first, (request) => request.socket.destroy())
      for (let n = 0; n < 20; n++) expect((await client.request(method, '/products/1')).status).toBe(200)
      expect(received.some(({ by }) => by === first)).toBe(true)
    },
  )

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])(
    'NGINX answers 503 to a %s if its replica closes the connection, and does not send it again',
    async (method) => {
      await resolveAllTo(first, second)
      const lose: Answer = (request) => request.resume().on('end', () => request.socket.destroy())
      answers.set(first, lose)
      answers.set(second, lose)
      const answer = await client.request(method, '/orders/1', {
        body: { some: 'thing' },
        headers: { 'X-Request-Id': 'once' },
      })
      expect(answer).toMatchObject({ status: 503, body: { requestId: 'once', detail: unreachable } })
      expectProblem(answer, 'dependency_unavailable')
      expect(received).toEqual([expect.objectContaining({ method, url: '/orders/1' })])
    },
  )

  const id = '66f2a1b0c3d4e5f60718293a'
  const key = { 'Idempotency-Key': 'once' }
  it.each<[string, string, Record<string, string>]>([
    ['POST', '/orders', key],
    ['POST', '/orders/', key],
    ['POST', '/orders/create_order', key],
    ['POST', '/products', key],
    ['POST', '/products/create_product', key],
    ['POST', `/products/${id}/stock`, key],
    ['POST', '/token/refresh', {}],
    ['POST', '/logout/', {}],
    ['DELETE', `/orders/${id}`, {}],
  ])(
    'NGINX sends the repeatable request %s %s again to the other replica if the first closes the connection',
    async (method, path, headers) => {
      await resolveAllTo(first, second)
      answers.set(first, (request) => request.resume().on('end', () => request.socket.destroy()))
      for (let n = 0; n < 10; n++) {
        expect((await client.request(method, path, { headers, body: { some: 'thing' } })).status).toBe(200)
      }
      expect(received.filter(({ by }) => by === second)).toHaveLength(10)
      expect(received.some(({ by }) => by === first)).toBe(true)
    },
  )

  it.each<[string, string, Record<string, string>]>([
    ['POST', '/orders', {}],
    ['POST', '/orders/create_order', {}],
    ['POST', `/products/${id}/stock`, {}],
    ['POST', '/products', {}],
    ['POST', '/register', key],
    ['POST', '/login', key],
    ['PUT', `/orders/${id}`, key],
    ['DELETE', `/products/${id}`, key],
  ])(
    'NGINX does not send %s %s again if its replica closes the connection',
    async (method, path, headers) => {
      await resolveAllTo(first, second)
      const lose: Answer = (request) => request.resume().on('end', () => request.socket.destroy())
      answers.set(first, lose)
      answers.set(second, lose)
      expect((await client.request(method, path, { headers, body: {} })).status).toBe(503)
      expect(received).toHaveLength(1)
    },
  )

  it('NGINX answers 503 to an order that is not answered in time, and does not send it again', async () => {
    await resolveAllTo(first, second)
    answers.set(first, () => undefined)
    answers.set(second, () => undefined)
    const answer = await client.post('/orders', { headers: key, body: {} })
    expect(answer).toMatchObject({ status: 503, body: { detail: late } })
    expectProblem(answer, 'dependency_unavailable')
    expect(received).toHaveLength(1)
  })

  it.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH'])(
    'NGINX sends every %s to the other replica if one cannot be reached',
    async (method) => {
      await resolveAllTo(unusedAddress, first)
      const body = method === 'GET' ? {} : { body: { some: 'thing' } }
      for (let n = 0; n < 10; n++) {
        expect((await client.request(method, '/orders/1?a=b%2Fc', body)).status).toBe(200)
      }
      expect(received).toHaveLength(10)
      expect(received[9]).toMatchObject({ method, url: '/orders/1?a=b%2Fc' })
    },
  )

  it('NGINX sends a read to the other replica if the first does not answer within 1.5 s', async () => {
    await resolveAllTo(first, second)
    answers.set(first, () => undefined)
    const times: number[] = []
    for (let n = 0; n < 8; n++) {
      const started = performance.now()
      expect((await client.get('/products')).status).toBe(200)
      times.push(performance.now() - started)
    }
    expect(Math.max(...times)).toBeLessThan(3_000)
    expect(received.some(({ by }) => by === first)).toBe(true)
  })

  it.each(['POST', 'PUT'])(
    'NGINX waits for the answer to a %s longer than the API may take, and then answers 503',
    async (method) => {
      await resolveAllTo(first)
      answers.set(first, (_, response) => setTimeout(() => response.end('{}'), 4_500))
      expect((await client.request(method, '/orders/1', { body: {} })).status).toBe(200)
      answers.set(first, () => undefined)
      const answer = await client.request(method, '/orders/1', { body: {} })
      expect(answer).toMatchObject({ status: 503, body: { detail: late } })
      expectProblem(answer, 'dependency_unavailable')
      expect(received).toHaveLength(2)
    },
  )

  it('NGINX sends a read to the other replica after a 503, and passes on the 503 of a write', async () => {
    await resolveAllTo(first, second)
    answers.set(first, (_, response) => response.writeHead(503).end('{"code":"x"}'))
    for (let n = 0; n < 10; n++) expect((await client.get('/orders')).status).toBe(200)
    answers.set(second, (_, response) => response.writeHead(503).end('{"code":"dependency_unavailable"}'))
    for (const method of ['POST', 'PUT']) {
      expect((await client.request(method, '/orders/1', { body: {} })).status).toBe(503)
    }
  })

  it('NGINX sends requests to new containers, and none to removed containers', async () => {
    await resolveAllTo(first)
    await client.get('/products')
    expect(received).toMatchObject([{ by: first }])
    await resolveAllTo(second)
    for (let n = 0; n < 10; n++) await client.get('/products')
    expect(new Set(received.map(({ by }) => by))).toEqual(new Set([second]))
  })

  it('NGINX excludes no replica after failures', async () => {
    await resolveAllTo(first)
    answers.set(first, (request) => request.socket.destroy())
    for (let n = 0; n < 10; n++) expect((await client.get('/products')).status).toBe(503)
    answers.set(first, answerOk)
    expect((await client.get('/products')).status).toBe(200)
  })

  it('NGINX sends every route to the service that hosts it', async () => {
    const owners: Record<string, string> = {}
    for (const name of registry.map((module) => module.name)) {
      await resolveTo({
        ...Object.fromEntries(registry.map((module) => [module.name, [second]])),
        trivet: [second],
        [name]: [first],
      })
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
  ])('NGINX answers 404 to %s and sends it to no service', async (path) => {
    await resolveAllTo(first)
    // `fetch` would normalize the path.
    const { status, body } = await sendRaw(nginx.url, requestText('GET', path))
    expect(status).toBe(404)
    expect(JSON.parse(body)).toMatchObject({ status: 404, code: 'route_not_found' })
    expect(received).toEqual([])
  })

  it.each(['/POST', '/PUT', '/REPEATABLE', '/FROM_SOCKET', '/PUT/order/orders/1', '/PROBLEM'])(
    'clients cannot reach the internal location %s of NGINX',
    async (path) => {
      await resolveAllTo(first)
      await client.get(path)
      // To the service, this is a path like any other.
      expect(received.every(({ url }) => url === path)).toBe(true)
      expect((await client.post(path, { body: {} })).status).not.toBe(503)
    },
  )

  it('NGINX refuses a body over 1 MiB, as the API does', async () => {
    await resolveAllTo(first)
    for (const method of ['POST', 'PUT']) {
      const answer = await client.request(method, '/products', {
        raw: 'x'.repeat(1024 * 1024 + 1),
      })
      expectProblem(answer, 'body_too_large')
    }
    expect((await client.post('/products', { raw: 'x'.repeat(1024 * 1024) })).status).toBe(200)
    expect(received).toHaveLength(1)
  })

  const chunk = `fffff\r\n${'x'.repeat(0xfffff)}\r\n`
  const chunked = { 'Transfer-Encoding': 'chunked' }
  it.each<[string, string, string[]]>([
    ['an invalid request line', 'validation_failed', ['GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n']],
    ['a path above the root', 'validation_failed', [requestText('GET', '/../x')]],
    ['a method in lower case', 'validation_failed', [requestText('get', '/products')]],
    ['a request without a host', 'validation_failed', ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n']],
    ['an unknown version of HTTP', 'validation_failed', ['GET / HTTP/2.0\r\nHost: x\r\n\r\n']],
    [
      'an invalid Content-Length',
      'validation_failed',
      [requestText('POST', '/orders', { 'Content-Length': '1x' })],
    ],
    [
      'an unknown transfer encoding',
      'validation_failed',
      [requestText('POST', '/orders', { 'Transfer-Encoding': 'gzip' })],
    ],
    [
      'an invalid chunk in a POST',
      'validation_failed',
      [requestText('POST', '/orders', chunked), 'x\r\n\r\n'],
    ],
    [
      'an invalid chunk in a PUT',
      'validation_failed',
      [requestText('PUT', '/orders/1', chunked), 'x\r\n\r\n'],
    ],
    ['a private path', 'route_not_found', [requestText('GET', '/internal')]],
    ['a TRACE request', 'method_not_allowed', [requestText('TRACE', '/products')]],
    ['a header that is too large', 'headers_too_large', [requestText('GET', '/', { A: 'x'.repeat(20_000) })]],
    [
      'headers that are too large together',
      'headers_too_large',
      [
        requestText(
          'PUT',
          '/orders/1',
          Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`A-${n}`, 'x'.repeat(12_000)])),
        ),
      ],
    ],
    ['a path that is too long', 'headers_too_large', [requestText('GET', `/products/${'x'.repeat(20_000)}`)]],
    [
      'a path that is too long for the internal socket of NGINX alone',
      'headers_too_large',
      [requestText('DELETE', `/products/${'x'.repeat(16_384 - 34)}`)],
    ],
    [
      'a chunked body that is too large',
      'body_too_large',
      [requestText('PUT', '/products/1', chunked), chunk, chunk, '0\r\n\r\n'],
    ],
  ])('NGINX answers %s with the same problem as the API', async (_, code, parts) => {
    await resolveAllTo(first)
    expectProblem(await sendRaw(nginx.url, ...parts), code)
    expect(received).toEqual([])
  })

  it('NGINX lists the methods of the API in Allow', async () => {
    const answer = await sendRaw(nginx.url, requestText('TRACE', '/products'))
    const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
    expect(new Map(answer.headers).get('allow')).toBe(methods.join(', '))
    expect(JSON.parse(answer.body).allowed).toEqual(methods)
  })

  it.each<[number, string]>([
    [400, 'validation_failed'],
    [404, 'product_not_found'],
    [405, 'method_not_allowed'],
    [413, 'body_too_large'],
    [500, 'internal_error'],
    [503, 'overloaded'],
  ])('NGINX passes on the %i of a service unchanged', async (status, code) => {
    await resolveAllTo(first)
    const document = JSON.stringify({ code, status, detail: 'its own' })
    const type = { 'Content-Type': 'application/problem+json' }
    answers.set(first, (_request, response) => response.writeHead(status, type).end(document))
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const { body } = await client.request(method, '/orders/1')
      expect(body).toEqual({ code, status, detail: 'its own' })
    }
  })

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])(
    'NGINX answers 503 to a %s if no replica of the service can be reached',
    async (method) => {
      await resolveAllTo()
      const answer = await client.request(method, '/orders/1')
      expect(answer.body.detail).toBe(unreachable)
      expectProblem(answer, 'dependency_unavailable')
      await resolveAllTo(unusedAddress)
      expectProblem(await client.request(method, '/orders/1'), 'dependency_unavailable')
    },
  )

  it.each(['GET', 'PUT'])(
    'NGINX answers 503 to a %s if the answer of the replica has a malformed header',
    async (method) => {
      await resolveAllTo(first)
      answers.set(first, (request) => request.socket.end('HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n'))
      expectProblem(await client.request(method, '/orders/1'), 'dependency_unavailable')
    },
  )

  it('NGINX answers 503 to a read if neither replica answers in time', async () => {
    await resolveAllTo(first, second)
    answers.set(first, () => undefined)
    answers.set(second, () => undefined)
    const answer = await client.get('/orders')
    expect(answer.body.detail).toBe(late)
    expectProblem(answer, 'dependency_unavailable')
    expect(new Set(received.map(({ by }) => by))).toEqual(new Set([first, second]))
  })

  it('NGINX answers HEAD with the status and headers of a problem, and no body', async () => {
    await resolveAllTo(unusedAddress)
    const { status, headers, body } = await sendRaw(nginx.url, requestText('HEAD', '/products'))
    expect({ status, body }).toEqual({ status: 503, body: '' })
    expect(Object.fromEntries(headers)).toMatchObject({ 'retry-after': '1' })
  })

  it('NGINX passes on an HTTP/1.0 request without Host, as load balancers send it', async () => {
    await resolveAllTo(first)
    const { status } = await sendRaw(nginx.url, 'GET /healthz HTTP/1.0\r\n\r\n')
    expect(status).toBe(200)
    expect(received[0]?.headers).toMatchObject({ host: 'localhost' })
  })

  it('NGINX logs every request once, with the method that the client sent, but no successful probe', async () => {
    await resolveAllTo(first)
    const ids: Record<string, string> = {}
    const send = async (method: string, path: string, id: string) => {
      ids[id] = method
      await sendRaw(nginx.url, requestText(method, path, { 'X-Request-Id': id }))
    }
    const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
    for (const method of methods) await send(method, '/orders/1?secret=1', `ok-${method}`)
    answers.set(first, (request) => request.resume().on('end', () => request.socket.destroy()))
    for (const method of methods) await send(method, '/orders/1?secret=1', `lost-${method}`)
    await send('TRACE', '/orders/1', 'refused-TRACE')
    for (const path of ['/healthz', '/readyz', '/readyz/?by=balancer'])
      await send('GET', path, `failed-${path.replaceAll(/\W/g, '.')}`)
    answers.set(first, answerOk)
    for (const path of ['/healthz', '/readyz', '/readyz/?by=balancer']) {
      await sendRaw(nginx.url, requestText('GET', path, { 'X-Request-Id': 'probe' }))
    }
    answers.set(first, (request) => request.resume().on('end', () => request.socket.destroy()))
    await send('POST', '/internal', 'refused-POST')
    // NGINX forwards an answer that is not HTTP unchanged, and logs no status for it.
    answers.set(first, (request) => request.socket.end('nonsense\r\n\r\n'))
    await expect(send('GET', '/orders/1', 'nonsense')).rejects.toThrow('no answer')
    await vi.waitFor(async () => {
      const logged = await nginx.readAccessLog()
      expect(logged.filter(({ requestId }) => requestId === 'probe')).toEqual([])
      const lines = logged.filter(({ requestId }) => ids[requestId])
      expect(lines.map(({ requestId, method }) => [requestId, method])).toEqual(Object.entries(ids))
      expect(lines.filter(({ requestId }) => requestId.startsWith('lost'))).toEqual(
        methods.map((method) => expect.objectContaining({ method, path: '/orders/1', status: 503 })),
      )
    })
  })

  it('NGINX answers 500 to a request that it cannot process itself', async () => {
    await resolveAllTo(first)
    await rm(nginx.bodies, { recursive: true })
    // NGINX writes a body of this size to a file.
    const answer = await client.post('/orders', { raw: 'x'.repeat(500_000) })
    expectProblem(answer, 'internal_error')
    expect(received).toEqual([])
  })

  it.each<[string, Record<string, string>, Buffer]>([
    ['with a strong ETag', { ETag: '"3"' }, Buffer.from('x'.repeat(10_000))],
    ['that is compressed', { ETag: 'W/"3"', 'Content-Encoding': 'gzip' }, gzipSync('x'.repeat(100_000))],
  ])(
    'NGINX passes on a large answer %s unchanged to a client that accepts gzip',
    async (_, headers, body) => {
      await resolveAllTo(first)
      answers.set(first, (_request, response) =>
        response
          .writeHead(200, {
            ...headers,
            'Content-Type': 'text/html',
            Vary: 'Accept-Encoding',
            'Content-Length': body.length,
          })
          .end(body),
      )
      const answer = await sendRaw(nginx.url, requestText('GET', '/products', { 'Accept-Encoding': 'gzip' }))
      const sent = Object.fromEntries(answer.headers)
      expect(sent.etag).toBe(headers.ETag)
      expect(sent['content-encoding']).toBe(headers['Content-Encoding'])
      expect(Buffer.from(answer.body, 'latin1').equals(body)).toBe(true)
      expect(received[0]?.headers).toMatchObject({ 'accept-encoding': 'gzip' })
    },
  )

  it('NGINX accepts a header of 12 kB, as the API does', async () => {
    await resolveAllTo(first)
    expect((await client.get('/products/', { headers: { A: 'x'.repeat(12_000) } })).status).toBe(200)
  })

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])(
    'NGINX passes on the client address and the request id of a %s',
    async (method) => {
      await resolveAllTo(first)
      const headers = {
        'X-Request-Id': 'a.b-c_1',
        'X-Forwarded-For': '203.0.113.9',
        Authorization: 'Bearer t',
      }
      await client.request(method, '/orders/1', { headers })
      await client.request(method, '/orders/1', { headers: { 'X-Request-Id': 'not one!' } })
      expect(received[0]?.headers).toMatchObject({
        'x-request-id': 'a.b-c_1',
        // The API reads this header from its end, and only the part that trusted proxies wrote.
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

describe.skipIf(!nginxBinary)('an ingress controller with the shipped values', () => {
  let answer: Answer = answerOk
  let pod: Server
  let controller: Nginx
  beforeAll(async () => {
    pod = createServer((request, response) => answer(request, response))
    const own = await freePort()
    await new Promise<void>((resolve) => pod.listen(own, first, resolve))
    controller = await startIngressController(nginxBinary ?? '', `${first}:${own}`)
    client = createClient((path, init) => fetch(`${controller.url}${path}`, init))
  })
  afterAll(async () => {
    await controller.stop()
    pod.close().closeAllConnections()
  })

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])(
    'the ingress controller answers 503 to a %s for a Service without a pod',
    async (method) => {
      const sent = await client.request(method, '/orders', { headers: { 'X-Request-Id': 'once' } })
      expect(sent.body).toMatchObject({ detail: unreachable, requestId: 'once' })
      expectProblem(sent, 'dependency_unavailable')
    },
  )

  it('the ingress controller answers 503 if a pod closes the connection or does not answer in time', async () => {
    answer = (request) => request.socket.destroy()
    expectProblem(await client.get('/products'), 'dependency_unavailable')
    answer = () => undefined
    const timedOut = await client.get('/products')
    expect(timedOut.body.detail).toBe(late)
    expectProblem(timedOut, 'dependency_unavailable')
  })

  it.each<[string, string, string]>([
    [
      'an unknown transfer encoding',
      'validation_failed',
      requestText('POST', '/products', { 'Transfer-Encoding': 'gzip' }),
    ],
    ['an unknown version of HTTP', 'validation_failed', 'GET / HTTP/2.0\r\nHost: x\r\n\r\n'],
    [
      'a header that is too large',
      'headers_too_large',
      requestText('GET', '/products', { A: 'x'.repeat(40_000) }),
    ],
    ['a path that is too long', 'headers_too_large', requestText('GET', `/products/${'x'.repeat(40_000)}`)],
  ])('the ingress controller refuses %s with the same problem as the API', async (_, code, text) => {
    expectProblem(await sendRaw(controller.url, text), code)
  })

  it.each([400, 404, 405, 413, 500, 503])(
    'the ingress controller passes on the %i of a pod unchanged',
    async (status) => {
      const document = { code: 'x', status, detail: 'its own' }
      answer = (_, response) =>
        response
          .writeHead(status, { 'Content-Type': 'application/problem+json' })
          .end(JSON.stringify(document))
      expect(await client.get('/products')).toMatchObject({ status, body: document })
    },
  )
})
