import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { bothShapes, deployBothShapes, expectProblem, headerOf } from '#test/support/both-shapes.ts'
import type { Shape } from '#test/support/processes.ts'
import { rawExchange, requestText, sendRaw, sendRawAndClose } from '#test/support/raw-http.ts'

const origin = 'https://shop.example'
let both: Awaited<ReturnType<typeof deployBothShapes>>
beforeAll(async () => {
  both = await deployBothShapes({ REQUEST_TIMEOUT: '2s', CORS_ORIGINS: origin })
})
afterAll(() => both.stop())

describe.each(bothShapes)('a client that closes its side after its request (%s)', (shape) => {
  const send = (...parts: string[]) => sendRawAndClose(both.deployments[shape].url, ...parts)

  it('a client that closes its side after its request gets an answer', async () => {
    expect((await send(requestText('GET', '/products'))).status).toBe(200)
    const kept = 'GET /products?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n'
    expect((await send(kept)).status).toBe(200)
    expect((await send('GET /readyz HTTP/1.0\r\n\r\n')).status).toBe(200)
    const body = JSON.stringify({ email: 'nothing@example.com', password: 'nothing at all' })
    const length = `Content-Length: ${body.length}\r\n`
    const post = `POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${length}\r\n${body}`
    expectProblem(await send(post), 401, 'invalid_credentials', 'login')
  })

  it('a client that closes its side gets an answer to each of its requests', async () => {
    const request = 'GET /products?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n'
    const { status, body } = await send(request, request, request)
    expect([status, body.match(/HTTP\/1\.1 200/g)?.length]).toEqual([200, 2])
  })

  it('a client that closes its side after an incomplete request gets 400', async () => {
    const head = 'POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    for (const part of [
      'GET /hea',
      `${head}Content-Length: 100\r\n\r\n{`,
      `${head}Transfer-Encoding: chunked\r\n\r\n1\r\n`,
    ]) {
      expectProblem(await send(part), 400, 'validation_failed', part)
    }
  })
})

describe('a client that does not send its body in time', () => {
  const requestId = () => `slow-${randomUUID()}`

  const head = (id: string, more: string) =>
    `POST /login HTTP/1.1\r\nHost: x\r\nOrigin: ${origin}\r\nX-Request-Id: ${id}\r\nContent-Type: application/json\r\n${more}\r\n\r\n`

  /** Waits for a log line with this request id, and returns the most severe level of its lines. */
  const levelOf = (shape: Shape, id: string): Promise<number> =>
    vi.waitFor(() => {
      const lines = both.deployments[shape].output().split('\n')
      const levels = lines.filter((line) => line.includes(id)).map((line) => JSON.parse(line).level)
      expect(levels).not.toEqual([])
      return Math.max(...levels)
    })
  const warning = 40

  /** Runs all cases at the same time, since each takes the whole request timeout. */
  const inBothShapes = <Case>(cases: Case[], check: (shape: Shape, each: Case) => Promise<void>) =>
    Promise.all(bothShapes.flatMap((shape) => cases.map((each) => check(shape, each))))

  it('a client that does not send its body in time gets 408, and the log has no warning or error about it', async () => {
    const cases: [string, string, string][] = [
      ['Content-Length without a body', 'Content-Length: 100', ''],
      ['Content-Length with a part of the body', 'Content-Length: 100', '{"email":'],
      ['chunked without a chunk', 'Transfer-Encoding: chunked', ''],
      ['chunked without the last chunk', 'Transfer-Encoding: chunked', '3\r\n{"e\r\n'],
      ['a Content-Length over the limit', 'Content-Length: 2000000', '{'],
      ['chunks over the limit', 'Transfer-Encoding: chunked', `200000\r\n${' '.repeat(0x200000)}`],
    ]
    await inBothShapes(cases, async (shape, [what, framing, part]) => {
      const id = requestId()
      const answer = await sendRaw(both.deployments[shape].url, head(id, framing) + part)
      expectProblem(answer, 408, 'request_timeout', `${shape}, ${what}`)
      expect(headerOf(answer, 'connection'), what).toBe('close')
      expect(headerOf(answer, 'access-control-allow-origin'), what).toBe(origin)
      expect(headerOf(answer, 'vary'), what).toBe('Origin')
      expect(await levelOf(shape, id), what).toBeLessThan(warning)
    })
  })

  it('a client that sends its body one byte at a time gets 408', async () => {
    await inBothShapes([1, 2, 3, 4, 5], async (shape) => {
      const answer = await rawExchange(both.deployments[shape].url, (socket) => {
        socket.write(head(requestId(), 'Content-Length: 100000'))
        const writing = setInterval(() => socket.write(' '), 20)
        socket.once('close', () => clearInterval(writing))
      })
      expectProblem(answer, 408, 'request_timeout', shape)
    })
  })

  it('a client that resets the connection within its body causes no warning or error in the log', async () => {
    const framings = ['Content-Length: 100', 'Transfer-Encoding: chunked', 'Content-Length: 2000000']
    await inBothShapes(framings, async (shape, framing) => {
      const id = requestId()
      const closed = rawExchange(both.deployments[shape].url, (socket) => {
        socket.write(`${head(id, framing)}1`, () => setTimeout(() => socket.resetAndDestroy(), 50))
      })
      await expect(closed).rejects.toThrow('no answer')
      expect(await levelOf(shape, id), `${shape}, ${framing}`).toBeLessThan(warning)
    })
  })

  it('a client that sends its body slowly but in time is answered', async () => {
    const body = JSON.stringify({ email: 'nothing@example.com', password: 'nothing at all' })
    const framings = [
      [`Content-Length: ${body.length}`, body.slice(0, 10), body.slice(10)],
      ['Transfer-Encoding: chunked', `${body.length.toString(16)}\r\n`, `${body}\r\n0\r\n\r\n`],
    ]
    await inBothShapes(framings, async (shape, [framing, ...parts]) => {
      const answer = await rawExchange(both.deployments[shape].url, async (socket) => {
        socket.write(head(requestId(), `Connection: close\r\n${framing}`))
        for (const part of parts) {
          await sleep(100)
          socket.write(part)
        }
      })
      expectProblem(answer, 401, 'invalid_credentials', shape)
    })
  })
})

describe('a request that Node.js refuses', () => {
  const get = 'GET /healthz HTTP/1.1\r\nHost: x\r\n'
  const post = 'POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
  const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
  it.each([
    ['a request line of one word', 'nonsense\r\n\r\n'],
    ['an unknown version', 'GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    [
      'the beginning of a TLS connection',
      '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
    ],
    ['NUL in its target', 'GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['NUL in the name of a header field', `${get}A\0: b\r\n\r\n`],
    ['NUL in the value of a header field', `${get}A: b\0\r\n\r\n`],
    ['a header field without a colon', `${get}Nothing\r\n\r\n`],
    ['a space before the colon of a header field', `${get}A : b\r\n\r\n`],
    ['a header field without a name', `${get}: b\r\n\r\n`],
    ['a carriage return in a header field', `${get}A: b\rc\r\n\r\n`],
    ['two different lengths', `${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
    ['a negative length', `${post}Content-Length: -1\r\n\r\n`],
    ['a length that is no number', `${post}Content-Length: 2x\r\n\r\n{}`],
    ['a length and chunks', `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunked before another transfer coding', `${post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
    ['a chunk without a size', `${chunked}x\r\n\r\n`],
    ['a chunk of a negative size', `${chunked}-1\r\n{}\r\n`],
    ['a chunk that is longer than its size', `${chunked}1\r\n{}\r\n0\r\n\r\n`],
  ])('a request with %s gets a complete problem, and its connection is closed', async (what, text) => {
    const answer = await both.askBoth(text)
    expectProblem(answer, 400, 'validation_failed', what)
    expect(headerOf(answer, 'connection')).toBe('close')
    expect(JSON.parse(answer.body).errors).toEqual([
      { parameter: 'request', code: 'format', message: expect.stringContaining('RFC 9112') },
    ])
  })

  it.each([
    ['a malformed Host', requestText('GET', '/healthz', { Host: 'a b', 'X-Request-Id': 'mine' })],
    ['a malformed target', requestText('GET', '/a#b', { 'X-Request-Id': 'mine' })],
    ['a malformed chunk', `${chunked.replace('\r\n\r\n', '\r\nX-Request-Id: mine\r\n\r\n')}x\r\n`],
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n'],
  ])(
    'the refusal of %s has the request id of the client, and the log has a line with it',
    async (_, text) => {
      const id = randomUUID()
      const answer = await both.askBoth(text.replace('mine', id))
      expect(headerOf(answer, 'x-request-id')).toBe(id)
      for (const { output } of Object.values(both.deployments)) {
        await vi.waitFor(() => {
          const lines = output()
            .split('\n')
            .filter((line) => line.includes(`"requestId":"${id}"`))
          expect(lines.map((line) => JSON.parse(line).msg)).toContain('request refused')
        })
      }
    },
  )

  it('a request that Node.js refuses gets a problem document', async () => {
    const long = requestText('GET', '/healthz', { 'X-Long': 'x'.repeat(20_000) })
    expectProblem(await both.askBoth(long), 431, 'headers_too_large', 'header fields')
    expectProblem(
      await both.askBoth(requestText('GET', `/${'x'.repeat(20_000)}`)),
      431,
      'headers_too_large',
      'target',
    )
    expectProblem(await both.askBoth('nonsense\r\n\r\n'), 400, 'validation_failed', 'nonsense')
    const extended = 'POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;'
    expectProblem(
      await both.askBoth(`${extended}${'x'.repeat(20_000)}\r\n`),
      413,
      'body_too_large',
      'a chunk',
    )
  })

  it('a request that Node.js refuses gets a problem document after another answer on the same connection', async () => {
    const fine = 'GET /problems/forbidden HTTP/1.1\r\nHost: x\r\n\r\n'
    for (const shape of bothShapes) {
      const answer = await rawExchange(both.deployments[shape].url, (socket) => {
        socket.write(fine)
        socket.once('data', () => socket.write(requestText('GET', '/', { 'X-Long': 'x'.repeat(20_000) })))
      })
      expect(answer.status).toBe(200)
      expect(answer.body, shape).toMatch(/HTTP\/1\.1 431 /)
      expect(answer.body, shape).toMatch(/"code":"headers_too_large"/)
    }
  })
})
