import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { registry } from '#src/registry.ts'
import { requestText, sendRaw } from '#test/support/raw-http.ts'
import { type Listener, listen } from '../server.ts'
import type { AdmittedModule } from './admission.ts'

const route = (method: 'get' | 'post' | 'delete', path: string) => ({ method, path, responses: {} })
const cancel = route('delete', '/cups/{id}')
const modules: AdmittedModule[] = [
  { name: 'cups', api: { list: route('get', '/cups'), cancel }, alwaysAdmitted: [cancel] },
  { name: 'plates', api: { list: route('get', '/plates') } },
]

let listener: Listener | undefined
afterEach(() => listener?.close(100))

/**
 * Starts a server whose answers under `/cups` wait until `open` is called. Two of them may be in progress, and one may wait.
 * @returns `started`, the targets of the requests that reached the application
 */
async function startServer(options: { maxWaitMs?: number; corsOrigins?: string[] } = {}) {
  const { maxWaitMs = 10_000, corsOrigins = [] } = options
  const started: string[] = []
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const answer = async (request: Request) => {
    const { pathname } = new URL(request.url)
    started.push(`${request.method} ${pathname}`)
    await request.text()
    if (['GET', 'POST'].includes(request.method) && pathname.startsWith('/cups')) await gate
    return new Response('fine')
  }
  listener = await listen(answer, {
    port: 0,
    host: '127.0.0.1',
    requestTimeoutMs: 10_000,
    modules,
    corsOrigins,
    bulkheadLimits: {
      inProgress: { targetMs: 1_000, min: 2, max: 2 },
      maxWaiting: 1,
      maxWaitMs,
      maxBurstWaitMs: maxWaitMs,
    },
  })
  const url = `http://127.0.0.1:${listener.port}`
  const send = (path: string, init?: RequestInit) => fetch(`${url}${path}`, init)
  const untilStarted = (count: number) => expect.poll(() => started.length).toBe(count)
  return { started, open, send, untilStarted, port: listener.port }
}

describe('a module with as many requests in progress as it may have', () => {
  it('a request waits, and a further one is refused at once with 503 and Retry-After', async () => {
    const { send, open, untilStarted } = await startServer({ corsOrigins: ['https://shop.example'] })
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(2)
    const headers = { 'X-Request-Id': 'mine', Origin: 'https://shop.example' }
    const others = [send('/cups/3', { headers }), send('/cups?page=4', { headers })]
    const refused = await Promise.race(others)
    expect(Object.fromEntries(refused.headers)).toMatchObject({
      'retry-after': '1',
      'content-type': 'application/problem+json',
      'x-request-id': 'mine',
      'x-content-type-options': 'nosniff',
      'access-control-allow-origin': 'https://shop.example',
    })
    expect({ status: refused.status, body: await refused.json() }).toMatchObject({
      status: 503,
      body: {
        code: 'overloaded',
        type: '/problems/overloaded',
        retryAfter: 1,
        retryable: true,
        requestId: 'mine',
      },
    })
    open()
    const answers = await Promise.all([...first, ...others])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 503])
  })

  it('a request that waits too long is refused', async () => {
    const { send, open, started, untilStarted } = await startServer({ maxWaitMs: 100 })
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(2)
    expect((await send('/cups/3')).status).toBe(503)
    open()
    await Promise.all(first)
    expect(started).toHaveLength(2)
  })

  it('probes, other modules, calls of services and what finishes something are answered', async () => {
    const { send, open, untilStarted, port } = await startServer()
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(2)
    const waiting = send('/cups/3')
    // The router decodes a path and removes its dot segments.
    for (const path of ['/%63ups/4', '/healthz/../cups/4'])
      expect((await sendRaw(`http://127.0.0.1:${port}`, requestText('GET', path))).status).toBe(503)
    const paths = [
      '/healthz',
      '/readyz',
      '/metrics',
      '/internal/cups/take',
      '/plates',
      '/docs',
      '/plates/../docs',
    ]
    const answers = await Promise.all([
      ...paths.map((path) => send(path)),
      send('/cups/1?reason=none', { method: 'DELETE' }),
      send('/cups/1/', { method: 'DELETE' }),
      send('/%63ups/1', { method: 'DELETE' }),
      send('/cups/1', { method: 'OPTIONS' }),
    ])
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    open()
    await Promise.all([...first, waiting])
  })

  it('a request whose client leaves while it waits is not carried out', async () => {
    const { send, open, started, untilStarted, port } = await startServer()
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(2)
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.write('GET /cups/3 HTTP/1.1\r\nHost: shop\r\n\r\n')
    await once(socket, 'connect')
    // The answer shows that the request before it is waiting.
    expect((await send('/cups/4')).status).toBe(503)
    socket.resetAndDestroy()
    await once(socket, 'close')
    await send('/plates')
    open()
    await Promise.all(first)
    expect((await send('/plates')).status).toBe(200)
    expect(started).not.toContain('GET /cups/3')
  })

  it('a request takes no place while its body arrives', async () => {
    const { send, open, started, untilStarted, port } = await startServer({ maxWaitMs: 200 })
    const uploads = Array.from({ length: 2 }, () => connect({ port, host: '127.0.0.1', noDelay: true }))
    for (const upload of uploads)
      upload.write('POST /cups/slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n12')
    await untilStarted(2)
    // No more bodies may be arriving than there may be places.
    expect((await send('/cups/5', { method: 'POST', body: 'whole' })).status).toBe(503)
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(4)
    // The complete requests have both places.
    expect((await send('/cups/3')).status).toBe(503)
    for (const upload of uploads) upload.write('34')
    open()
    const answers = await Promise.all(first)
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    for (const upload of uploads) {
      expect(String((await once(upload, 'data'))[0])).toMatch(/^HTTP\/1.1 200 /)
      upload.destroy()
    }
    expect(started.filter((target) => target === 'POST /cups/slow')).toHaveLength(2)
  })

  it('slow answers lower the limit even if they are refusals, and quick refusals do not change it', async () => {
    const metrics = createMetrics()
    let delayMs = 0
    const answer = async () => {
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      return new Response('sold out', { status: 409 })
    }
    const inProgress = { targetMs: 500, min: 1, max: 16 }
    const address = { port: 0, host: '127.0.0.1', requestTimeoutMs: 10_000 }
    const bulkheadLimits = { inProgress, maxWaiting: 100, maxWaitMs: 10_000, maxBurstWaitMs: 10_000 }
    listener = await listen(answer, { ...address, modules, metrics, bulkheadLimits })
    const limitOfCups = async () =>
      Number(/trivet_admission_limit_requests{module="cups"} (\d+)/.exec((await metrics.scrape()).text)?.[1])
    const sendMany = () =>
      Promise.all(Array.from({ length: 4 }, () => fetch(`http://127.0.0.1:${listener?.port}/cups`)))
    expect(await limitOfCups()).toBe(4)
    const until = performance.now() + 600
    while (performance.now() < until) await sendMany()
    expect(await limitOfCups()).toBe(4)
    delayMs = 600
    await sendMany()
    expect(await limitOfCups()).toBe(3)
  })

  it('a request with a place keeps it until the answer, with a body or without', async () => {
    const { send, open, untilStarted } = await startServer()
    const first = ['1', '2'].map((id) => send(`/cups/${id}`, { method: 'POST', body: 'whole' }))
    await untilStarted(2)
    const others = [send('/cups/3'), send('/cups/4')]
    expect((await Promise.race(others)).status).toBe(503)
    open()
    await Promise.all([...first, ...others])
    // The answers have given the places back.
    expect((await send('/cups/5')).status).toBe(200)
  })
})

describe('the modules of the program, each with a request in progress', () => {
  const always = [
    'GET /.well-known/jwks.json',
    'POST /register',
    'POST /login',
    'PUT /profile/password',
    'PUT /orders/1',
    'PATCH /orders/1',
    'DELETE /orders/1',
  ]
  const limited = [
    'POST /token/refresh',
    'POST /logout',
    'GET /profile',
    'GET /products',
    'GET /products/1',
    'POST /products',
    'POST /products/create_product',
    'PUT /products/1',
    'GET /orders',
    'GET /orders/1',
    'POST /orders',
    'POST /orders/create_order',
    'GET /docs',
  ]

  it('requests that finish orders, check passwords or read public keys are admitted, and the others are refused', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>()
    let started = 0
    const answer = async (request: Request) => {
      started += 1
      if (new URL(request.url).searchParams.has('wait')) await gate
      return new Response('fine')
    }
    listener = await listen(answer, {
      port: 0,
      host: '127.0.0.1',
      requestTimeoutMs: 10_000,
      modules: registry,
      bulkheadLimits: {
        inProgress: { targetMs: 1_000, min: 1, max: 1 },
        maxWaiting: 0,
        maxWaitMs: 1_000,
        maxBurstWaitMs: 1_000,
      },
    })
    const send = async (target: string) => {
      const [method = '', path] = target.split(' ')
      return (await fetch(`http://127.0.0.1:${listener?.port}${path}`, { method })).status
    }
    const first = ['GET /profile', 'GET /products', 'GET /orders', 'GET /'].map((target) =>
      send(`${target}?wait`),
    )
    await expect.poll(() => started).toBe(4)
    const statusesOf = async (targets: string[]) =>
      Promise.all(targets.map(async (target) => `${target}: ${await send(target)}`))
    expect(await statusesOf(always)).toEqual(always.map((target) => `${target}: 200`))
    expect(await statusesOf(limited)).toEqual(limited.map((target) => `${target}: 503`))
    open()
    await Promise.all(first)
  })
})
