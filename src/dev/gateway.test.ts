import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Client, createClient } from '#test/support/client.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { registry } from '../registry.ts'
import { createGateway } from './gateway.ts'

const services = new Map<string, Server>()
let received: {
  service: string
  method?: string | undefined
  url?: string | undefined
  requestId: unknown
  forwardedFor: unknown
}[] = []
/** The answers of services to /readyz, by name. */
let readiness: Record<string, [status: number, body: object]> = {}
const shopOrigin = 'https://shop.example'
let gateway: Client
/** A client of the gateway at this address. The gateway trusts one proxy, 192.0.2.80. */
let from: (address: string) => Client

beforeAll(async () => {
  const urls: Record<string, string> = {}
  for (const { name } of registry) {
    const server = createServer((request, response) => {
      received.push({
        service: name,
        method: request.method,
        url: request.url,
        requestId: request.headers['x-request-id'],
        forwardedFor: request.headers['x-forwarded-for'],
      })
      response.setHeader('content-type', 'application/json')
      const [status, body] = (request.url === '/readyz' && readiness[name]) || [200, { service: name }]
      response.statusCode = status
      response.setHeader('content-security-policy', `policy of ${name}`)
      response.end(JSON.stringify(body))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    services.set(name, server)
    urls[name] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const app = createGateway({
    modules: registry,
    urls,
    timeoutMs: 3_000,
    trustedProxies: ['192.0.2.80'],
    corsOrigins: [shopOrigin],
    logger: await quiet,
  })
  from = (address) => {
    const env = { incoming: { socket: { remoteAddress: address } } }
    return createClient((path, init) => app.request(path, init, env))
  }
  gateway = from('198.51.100.1')
})
afterAll(() => {
  for (const server of services.values()) server.close()
})

it.each([
  ['/register', 'auth'],
  ['/profile', 'auth'],
  ['/.well-known/jwks.json', 'auth'],
  ['/products?limit=1', 'product'],
  ['/products/66f2a1b0c3d4e5f60718293a/stock', 'product'],
  ['/orders', 'order'],
  ['/orders/create_order', 'order'],
])('the gateway forwards %s to %s with its query and the request id', async (path, service) => {
  received = []
  const answer = await gateway.post(path, { body: {}, headers: { 'X-Request-Id': 'gateway-1' } })
  expect(answer).toMatchObject({ status: 200, body: { service } })
  const forwardedFor = '198.51.100.1'
  expect(received).toEqual([{ service, method: 'POST', url: path, requestId: 'gateway-1', forwardedFor }])
})

it.each([
  ['the peer, if the client sends another address', '198.51.100.1', '203.0.113.9', {}, '198.51.100.1'],
  ['the peer, if the client sends no header', '198.51.100.1', undefined, {}, '198.51.100.1'],
  ['the address from a trusted proxy', '192.0.2.80', '203.0.113.9, 198.51.100.7', {}, '198.51.100.7'],
  [
    'the peer, if the client names the header in Connection',
    '198.51.100.1',
    '::1',
    { Connection: 'X-Forwarded-For' },
    '198.51.100.1',
  ],
])('the gateway sends one address in X-Forwarded-For: %s', async (_, peer, header, more, address) => {
  received = []
  const headers = { ...(header && { 'X-Forwarded-For': header }), ...more }
  expect((await from(peer).post('/login', { body: {}, headers })).status).toBe(200)
  expect(received.map(({ forwardedFor }) => forwardedFor)).toEqual([address])
})

it.each(['/internal/product/reserve', '/internal', '/metrics', '/metrics/'])(
  'the gateway forwards %s to no service',
  async (path) => {
    received = []
    expect(await gateway.post(path, { body: {} })).toMatchObject({
      status: 404,
      body: { code: 'route_not_found' },
    })
    expect(received).toEqual([])
  },
)

it('the gateway adds security headers to its own answers, and keeps those of a service', async () => {
  const own = await gateway.get('/internal')
  expect(own.headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
  expect(own.headers.get('x-frame-options')).toBe('DENY')
  const passedOn = await gateway.get('/profile')
  expect(passedOn.headers.get('content-security-policy')).toBe('policy of auth')
})

const preflight = async () => {
  const headers = { Origin: shopOrigin, 'Access-Control-Request-Method': 'POST' }
  const answer = await gateway.request('OPTIONS', '/orders', { headers })
  return [answer.status, answer.headers.get('access-control-allow-methods')]
}

it('the gateway answers requests of other origins itself, even if no service answers', async () => {
  expect(await preflight()).toEqual([204, expect.stringContaining('POST')])
  for (const path of ['/profile', '/internal']) {
    const { headers } = await gateway.get(path, { headers: { Origin: shopOrigin } })
    expect(headers.get('access-control-allow-origin')).toBe(shopOrigin)
    expect(headers.get('vary')).toBe('Origin')
  }
  const { headers } = await gateway.get('/profile', { headers: { Origin: 'https://evil.example' } })
  expect(headers.get('access-control-allow-origin')).toBeNull()
})

it('the gateway is ready when all services are, and names what is missing otherwise', async () => {
  expect((await gateway.get('/readyz')).body).toEqual({ status: 'ready' })
  readiness = { product: [200, { status: 'ready', unavailable: ['auth'] }] }
  expect(await gateway.get('/readyz')).toMatchObject({
    status: 200,
    body: { status: 'ready', unavailable: ['auth'] },
  })
  readiness = { order: [503, { code: 'dependency_unavailable', missing: ['migrations of order'] }] }
  expect(await gateway.get('/readyz')).toMatchObject({
    status: 503,
    body: { code: 'dependency_unavailable', missing: ['order', 'migrations of order'] },
  })
  readiness = {}
})

it('the gateway forwards other paths to any service that answers, and answers 503 if the service is unavailable', async () => {
  expect(await gateway.get('/docs')).toMatchObject({ status: 200, body: { service: 'auth' } })
  services.get('auth')?.close()
  services.get('auth')?.closeAllConnections()
  expect(await gateway.get('/docs')).toMatchObject({ status: 200, body: { service: 'product' } })
  expect(await gateway.get('/readyz')).toMatchObject({ status: 503, body: { missing: ['auth'] } })
  const gone = await gateway.get('/profile', { headers: { Origin: shopOrigin } })
  expect(gone).toMatchObject({ status: 503, body: { code: 'dependency_unavailable', retryAfter: 1 } })
  expect(gone.headers.get('retry-after')).toBe('1')
  expect(gone.headers.get('x-frame-options')).toBe('DENY')
  expect(gone.headers.get('access-control-allow-origin')).toBe(shopOrigin)
  services.get('order')?.close()
  services.get('order')?.closeAllConnections()
  expect((await gateway.get('/orders')).status).toBe(503)
  expect(await preflight()).toEqual([204, expect.stringContaining('POST')])
})
