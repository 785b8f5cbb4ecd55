import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { problemOf } from '#kernel/http/problem-documents.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { createHttpClient } from './http-client.ts'

const logger = await quiet
const servers: Server[] = []

afterEach(async () => {
  vi.useRealTimers()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
})

/** Starts a service with these listeners. `requests` counts the requests that reached it, without probes. */
async function serve(answer: RequestListener, answerProbe: RequestListener = fine) {
  const seen = { requests: 0, probes: 0, url: '' }
  const server = createServer((request, response) => {
    if (request.url === '/healthz') {
      seen.probes += 1
      answerProbe(request, response)
      return
    }
    seen.requests += 1
    answer(request, response)
  })
  servers.push(server)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  seen.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return seen
}

const json = (response: ServerResponse, status: number, body: unknown) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))

const problem = (response: ServerResponse, error: DomainError) => {
  const body = problemOf(error)
  json(response, Number(body.status), body)
}

const fine: RequestListener = (_request, response) => json(response, 200, 'fine')

const unavailable = (response: ServerResponse) => response.writeHead(500).end('<html>Oops</html>')

const inTime = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'request-1' })

const getThings = { method: 'GET', path: '/things', parse: (answer: unknown) => answer } as const

const closing = new AbortController()
afterAll(() => closing.abort())
const clientOf = (url: string) =>
  createHttpClient({ target: 'product', url, logger, metrics: createMetrics(), signal: closing.signal })

/** Makes a call that fails, and waits until the probes have failed too. No attempt is under way then. */
async function openCircuit(client: ReturnType<typeof clientOf>) {
  await expect(client.request(inTime(5_000), { ...getThings, maxAttempts: 1 })).rejects.toMatchObject({
    code: 'dependency_unavailable',
  })
  await vi.waitFor(() => expect(client.isAway()).toBe(true), { timeout: 10_000, interval: 10 })
}

describe('a call', () => {
  it('a call carries the request id, the trace, a credential for the target and the body as JSON', async () => {
    let body = ''
    const service = await serve(async (request, response) => {
      for await (const chunk of request) body += chunk
      json(response, 200, { method: request.method, path: request.url, headers: request.headers })
    })
    const client = createHttpClient({
      target: 'product',
      url: service.url,
      credential: async (target) => `for-${target}`,
      logger,
      metrics: createMetrics(),
    })
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const answer = await client.request(
      { ...inTime(5_000), traceparent },
      { ...getThings, method: 'POST', path: '/internal/things', body: { name: 'Tasse ☕' } },
    )
    expect(answer).toMatchObject({
      method: 'POST',
      path: '/internal/things',
      headers: {
        'x-request-id': 'request-1',
        traceparent,
        authorization: 'Bearer for-product',
        'content-type': 'application/json',
      },
    })
    expect(JSON.parse(body)).toEqual({ name: 'Tasse ☕' })
  })

  it('a call sends no trace, credential or body if there is none', async () => {
    const service = await serve((request, response) => json(response, 200, Object.keys(request.headers)))
    const names = await clientOf(service.url).request(inTime(5_000), getThings)
    expect(names).toContain('x-request-id')
    expect(names).not.toContain('traceparent')
    expect(names).not.toContain('authorization')
    expect(names).not.toContain('content-type')
  })

  it('a call returns the result of `parse`', async () => {
    const service = await serve((_request, response) => json(response, 200, { count: 3 }))
    const parse = (answer: unknown) => (answer as { count: number }).count + 1
    expect(await clientOf(service.url).request(inTime(5_000), { ...getThings, parse })).toBe(4)
  })
})

describe('attempts', () => {
  it('a call is repeated until an attempt succeeds', async () => {
    const service = await serve((_request, response) => {
      if (service.requests < 3) unavailable(response)
      else json(response, 200, 'at last')
    })
    expect(await clientOf(service.url).request(inTime(5_000), getThings)).toBe('at last')
  })

  it('a call makes at most three attempts by default', async () => {
    const service = await serve((_request, response) => unavailable(response))
    await expect(clientOf(service.url).request(inTime(5_000), getThings)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(service.requests).toBe(3)
  })

  it('a call makes at most `maxAttempts` attempts', async () => {
    const service = await serve((_request, response) => unavailable(response))
    await expect(
      clientOf(service.url).request(inTime(5_000), { ...getThings, maxAttempts: 1 }),
    ).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(service.requests).toBe(1)
  })

  it('a call whose first attempt gets no answer has time for another attempt', async () => {
    const service = await serve((_request, response) => {
      if (service.requests > 1) json(response, 200, 'second')
    })
    expect(await clientOf(service.url).request(inTime(600), getThings)).toBe('second')
  })

  it.each<[string, RequestListener]>([
    ['never answers', () => {}],
    [
      'stops in the middle of its answer',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).write('{"data":')
      },
    ],
  ])('a call ends at its deadline when the service %s', async (_what, answer) => {
    const service = await serve(answer)
    const started = performance.now()
    await expect(clientOf(service.url).request(inTime(400), getThings)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(performance.now() - started).toBeLessThan(550)
    expect(service.requests).toBeGreaterThan(1)
  })

  it('a call makes no attempt after its deadline', async () => {
    const service = await serve((_request, response) => json(response, 200, 'late'))
    await expect(clientOf(service.url).request(inTime(0), getThings)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(service.requests).toBe(0)
  })
})

describe('unusable answers of a service', () => {
  it.each<[string, RequestListener]>([
    ['500 with HTML', (_request, response) => unavailable(response)],
    ['502 with other JSON', (_request, response) => json(response, 502, { error: 'bad gateway' })],
    [
      '503 with an unknown code',
      (_request, response) => json(response, 503, { code: 'of_a_later_version', detail: 'x' }),
    ],
    ['200 with HTML', (_request, response) => response.writeHead(200).end('<html>Welcome</html>')],
    ['200 with half a document', (_request, response) => response.writeHead(200).end('{"data": [1, 2')],
    [
      'a connection that closes within the answer',
      (_request, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{"data": 1')
        setImmediate(() => response.destroy())
      },
    ],
    ['a connection that closes before the answer', (request) => request.socket.destroy()],
    [
      '401, which the user cannot correct',
      (_request, response) => problem(response, new DomainError('invalid_token', 'not for you')),
    ],
    [
      '404, which concerns the route and not a resource',
      (_request, response) => problem(response, new DomainError('product_not_found', 'no such product')),
    ],
    [
      '400, which is a defect of this program',
      (_request, response) => problem(response, new DomainError('validation_failed', 'no', { errors: [] })),
    ],
    [
      'a redirect',
      (request, response) => {
        if (request.url === '/elsewhere') json(response, 200, 'from elsewhere')
        else response.writeHead(302, { location: '/elsewhere' }).end()
      },
    ],
    ['204', (_request, response) => response.writeHead(204).end()],
  ])('an unusable answer becomes dependency_unavailable: %s', async (_what, answer) => {
    const service = await serve(answer)
    const request = clientOf(service.url).request(inTime(5_000), getThings)
    await expect(request).rejects.toBeInstanceOf(DomainError)
    await expect(request).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'product is not available',
      members: {},
    })
    expect(service.requests).toBeGreaterThan(0)
  })

  it('a refused connection becomes dependency_unavailable', async () => {
    const service = await serve(() => {})
    const [server] = servers.splice(0)
    await new Promise((closed) => server?.close(closed))
    await expect(clientOf(service.url).request(inTime(5_000), getThings)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
  })
})

describe('a 503 in the format of this API', () => {
  it('a 503 `overloaded` is passed on with its members and without another attempt', async () => {
    const overloaded = new DomainError('overloaded', 'the queue is full', { retryAfter: 2 })
    const service = await serve((_request, response) => problem(response, overloaded))
    await expect(clientOf(service.url).request(inTime(5_000), getThings)).rejects.toMatchObject({
      code: 'overloaded',
      message: 'the queue is full',
      members: { retryAfter: 2 },
    })
    expect(service.requests).toBe(1)
  })

  it('a 503 `dependency_unavailable` is followed by another attempt', async () => {
    const service = await serve((_request, response) => {
      if (service.requests > 1) json(response, 200, 'again')
      else problem(response, new DomainError('dependency_unavailable', 'the database is not available'))
    })
    expect(await clientOf(service.url).request(inTime(5_000), getThings)).toBe('again')
  })
})

describe('a repeated call that is refused for want of a place', () => {
  it('a call whose first attempt got no answer fails with dependency_unavailable if the next one is refused as overloaded', async () => {
    const service = await serve((_request, response) => {
      if (service.requests > 1) problem(response, new DomainError('overloaded', 'the queue is full'))
      else problem(response, new DomainError('dependency_unavailable', 'the database is not available'))
    })
    await expect(clientOf(service.url).request(inTime(5_000), getThings)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(service.requests).toBe(2)
  })
})

describe('the retry budget', () => {
  it('the retry budget limits the additional requests of many failing calls', async () => {
    const service = await serve((_request, response) => {
      if (service.requests % 5 === 0) json(response, 200, 'lucky')
      else unavailable(response)
    })
    const client = clientOf(service.url)
    const calls = 60
    for (let call = 0; call < calls; call++)
      await client.request(inTime(5_000), getThings).catch(() => undefined)
    expect(service.requests).toBeGreaterThan(calls)
    expect(service.requests).toBeLessThanOrEqual(calls * 1.2 + 10)
  })

  it('the retry budget grows while calls succeed, up to a burst of ten', async () => {
    let healthy = true
    const service = await serve((_request, response) => {
      if (healthy) json(response, 200, 'fine')
      else if (service.requests % 5 === 0) json(response, 200, 'lucky')
      else unavailable(response)
    })
    const client = clientOf(service.url)
    const call = () => client.request(inTime(5_000), getThings).catch(() => undefined)
    await Promise.all(Array.from({ length: 100 }, call))
    healthy = false
    const before = service.requests
    for (let calls = 0; calls < 30; calls++) await call()
    expect(service.requests - before).toBeGreaterThan(30 + 10)
    expect(service.requests - before).toBeLessThanOrEqual(30 * 1.2 + 10)
  })
})

describe('the circuit breaker', () => {
  const down: RequestListener = (_request, response) => unavailable(response)

  it('the circuit breaker opens when calls and probes fail, and then fails calls at once without a request', async () => {
    const service = await serve(down, down)
    const client = clientOf(service.url)
    await openCircuit(client)
    const { requests } = service
    expect(client.refusal()).toMatchObject({ code: 'dependency_unavailable' })
    const started = performance.now()
    for (let calls = 0; calls < 20; calls++) {
      await expect(client.request(inTime(5_000), getThings)).rejects.toMatchObject({
        code: 'dependency_unavailable',
        message: 'product is not available',
      })
    }
    expect(performance.now() - started).toBeLessThan(200)
    expect(service.requests).toBe(requests)
  })

  it('the circuit breaker closes once a probe succeeds, without a call', async () => {
    let healthy = false
    const answer: RequestListener = (request, response) => (healthy ? fine : down)(request, response)
    const service = await serve(answer, answer)
    const client = clientOf(service.url)
    await openCircuit(client)
    healthy = true
    const { requests } = service
    await vi.waitFor(() => expect(client.isAway()).toBe(false), { timeout: 10_000, interval: 10 })
    expect(service.requests).toBe(requests)
    expect(client.refusal()).toBeUndefined()
    expect(await client.request(inTime(5_000), getThings)).toBe('fine')
  })

  it('the circuit breaker stays closed while probes succeed, however many calls fail', async () => {
    const service = await serve(down)
    const client = clientOf(service.url)
    for (let calls = 1; calls <= 12; calls++)
      await client.request(inTime(5_000), { ...getThings, maxAttempts: 1 }).catch(() => undefined)
    expect(service.requests).toBe(12)
    expect(service.probes).toBeGreaterThan(0)
    expect(client.isAway()).toBe(false)
  })

  it('a client that has its own probe sends it instead of reading /healthz', async () => {
    const service = await serve((request, response) =>
      request.url === '/probe' ? json(response, 200, 'alive') : unavailable(response),
    )
    const client = clientOf(service.url)
    const answers: unknown[] = []
    client.probeWith(() => ({ method: 'GET', path: '/probe', parse: (answer) => answers.push(answer) }))
    await client.request(inTime(5_000), getThings).catch(() => undefined)
    await vi.waitFor(() => expect(answers).toContain('alive'))
    expect(service.probes).toBe(0)
    expect(client.isAway()).toBe(false)
  })

  it('calls that wait fail within three seconds when the service freezes, long before their deadline', async () => {
    const frozen: RequestListener = () => {}
    const service = await serve(frozen, frozen)
    const client = clientOf(service.url)
    const started = performance.now()
    const calls = Array.from({ length: 8 }, () => client.request(inTime(20_000), getThings))
    for (const outcome of await Promise.allSettled(calls))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'dependency_unavailable' } })
    expect(performance.now() - started).toBeLessThan(3_000)
  })

  it('the circuit breaker does not concern a refusal by `parse`, and the call is not repeated', async () => {
    const service = await serve((_request, response) => json(response, 200, { outcome: 'refused' }))
    const client = clientOf(service.url)
    const parse = () => {
      throw new DomainError('idempotency_key_reused', 'the key was used for another request')
    }
    await expect(client.request(inTime(5_000), { ...getThings, parse })).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    })
    expect([service.requests, service.probes]).toEqual([1, 0])
  })

  it('`overloaded` causes no probe, since the service has answered', async () => {
    const service = await serve((_request, response) =>
      problem(response, new DomainError('overloaded', 'full')),
    )
    const client = clientOf(service.url)
    await expect(client.request(inTime(5_000), getThings)).rejects.toMatchObject({ code: 'overloaded' })
    expect([service.requests, service.probes]).toEqual([1, 0])
  })

  it('each service has its own circuit breaker', async () => {
    const broken = await serve(down, down)
    const sound = await serve(fine)
    await openCircuit(clientOf(broken.url))
    expect(await clientOf(sound.url).request(inTime(5_000), getThings)).toBe('fine')
  })
})

describe('a caller', () => {
  const clientWith = (send: typeof fetch) =>
    createHttpClient({
      target: 'product',
      url: 'http://product.example',
      logger,
      metrics: createMetrics(),
      signal: closing.signal,
      fetch: (input, init) =>
        String(input).endsWith('/healthz') ? Promise.resolve(Response.json({})) : send(input, init),
    })

  it('a call without time left does not count as a failure of the service', async () => {
    const { request } = clientWith(async () => Response.json('fine'))
    for (let calls = 0; calls < 10; calls++) await request(inTime(0), getThings).catch(() => undefined)
    expect(await request(inTime(5_000), getThings)).toBe('fine')
  })

  it('many calls that fail together retry within the common budget', async () => {
    let requests = 0
    const { request } = clientWith(async () => {
      requests += 1
      return requests % 2 === 0 ? Response.json('fine') : new Response('<html>', { status: 500 })
    })
    await Promise.all(
      Array.from({ length: 200 }, () => request(inTime(5_000), getThings).catch(() => undefined)),
    )
    expect(requests).toBeLessThanOrEqual(200 * 1.2 + 10)
  })

  it.each(['internal_error', 'validation_failed', 'unauthenticated'] as const)(
    '%s of another service becomes dependency_unavailable for the caller',
    async (code) => {
      const error = new DomainError(code, 'an internal detail')
      const body = problemOf(error)
      const { request } = clientWith(async () => Response.json(body, { status: Number(body.status) }))
      await expect(request(inTime(2_000), getThings)).rejects.toMatchObject({
        code: 'dependency_unavailable',
      })
    },
  )
})
