import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
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
    if (request.method !== 'DELETE' && pathname.startsWith('/cups')) await gate
    return new Response('fine')
  }
  listener = await listen(answer, {
    port: 0,
    host: '127.0.0.1',
    requestTimeoutMs: 10_000,
    modules,
    corsOrigins,
    bulkheadLimits: { inProgress: { targetMs: 1_000, min: 2, max: 2 }, maxWaiting: 1, maxWaitMs },
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
    const { send, open, untilStarted } = await startServer()
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(2)
    const waiting = send('/cups/3')
    const paths = ['/healthz', '/readyz', '/metrics', '/internal/cups/take', '/plates', '/docs']
    const answers = await Promise.all([
      ...paths.map((path) => send(path)),
      send('/cups/1?reason=none', { method: 'DELETE' }),
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
    const { send, open, started, untilStarted, port } = await startServer()
    const uploads = Array.from({ length: 3 }, () => connect({ port, host: '127.0.0.1', noDelay: true }))
    for (const upload of uploads)
      upload.write('POST /cups/slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n12')
    await untilStarted(3)
    const first = [send('/cups/1'), send('/cups/2')]
    await untilStarted(5)
    // The complete requests have both places.
    const waiting = send('/cups/3')
    expect((await send('/cups/4')).status).toBe(503)
    for (const upload of uploads) upload.write('34')
    open()
    const answers = await Promise.all([...first, waiting])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    for (const upload of uploads) {
      expect(String((await once(upload, 'data'))[0])).toMatch(/^HTTP\/1.1 200 /)
      upload.destroy()
    }
    expect(started.filter((target) => target === 'POST /cups/slow')).toHaveLength(3)
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
