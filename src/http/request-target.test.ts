import { randomUUID } from 'node:crypto'
import { METHODS } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import { type Deployment, deploy, type Shape, shapes } from '#test/support/processes.ts'
import { type RawAnswer, rawExchange, requestText, sendRaw, sendRawAndClose } from '#test/support/raw-http.ts'

// What HTTP itself asks of a server, of real processes in both shapes. Both must answer with the same bytes.
const origin = 'https://shop.example'
let deployments: Record<Shape, Deployment>
let operations: Operation[]
beforeAll(async () => {
  const [alone, split] = await Promise.all(
    (['one process', 'split'] as const).map((shape) =>
      deploy(shape, { REQUEST_TIMEOUT: '2s', CORS_ORIGINS: origin }),
    ),
  )
  deployments = { 'one process': alone as Deployment, split: split as Deployment }
  operations = operationsOf((await deployments.split.get('/openapi.json')).body)
})
afterAll(async () => {
  const ended = await Promise.all(Object.values(deployments).map((shop) => shop.stop()))
  expect(ended).toEqual([0, 0])
})

const bothShapes = Object.keys(shapes) as Shape[]

const headerOf = (answer: RawAnswer, name: string) =>
  answer.headers.find(([each]) => each === name)?.[1] ?? null

/** What is the same of two answers to the same request. */
const comparable = ({ status, headers, body }: RawAnswer) => ({
  status,
  headers: headers.filter(([name]) => !['date', 'keep-alive', 'x-request-id'].includes(name)).sort(),
  body: body.replace(/"requestId":"[^"]+"/, ''),
})

/** The answer of both shapes, which is the same. */
async function askBoth(text: string): Promise<RawAnswer> {
  const [alone, split] = await Promise.all(bothShapes.map((shape) => sendRaw(deployments[shape].url, text)))
  expect(comparable(split as RawAnswer), text.slice(0, 80)).toEqual(comparable(alone as RawAnswer))
  return alone as RawAnswer
}

function expectProblem(answer: RawAnswer, status: number, code: string, label: string): void {
  expect(answer.status, label).toBe(status)
  expect(headerOf(answer, 'content-type'), label).toBe('application/problem+json')
  const requestId = headerOf(answer, 'x-request-id')
  if (answer.body !== '') expect(JSON.parse(answer.body), label).toMatchObject({ status, code, requestId })
}

const filled = (path: string) =>
  path.replace('{id}', '0123456789abcdef01234567').replace('{code}', 'forbidden')

describe('the Host of a request', () => {
  const ask = (host: string, version = '1.1') =>
    askBoth(`GET /problems/forbidden HTTP/${version}\r\n${host}Connection: close\r\n\r\n`)

  it.each([
    '',
    'shop.1',
    '1.2.3',
    '1.2.3.4.5',
    '0x7f.1',
    'a_b',
    'shop.example.:3000',
    'a:',
    'a:0',
    'a:99999',
    'a%41',
    "!$&'()*+,;=",
    '[::1]',
    '[::ffff:1.2.3.4]:80',
    'x'.repeat(8_000),
    'xn--a',
  ])('has no effect on the answer: "%s"', async (host) => {
    expect((await ask(`Host: ${host}\r\n`)).status).toBe(200)
  })

  it.each([
    '/healthz',
    '/readyz',
    '/products/0123456789abcdef01234567',
    '/docs',
    '/docs/assets/reference.js',
  ])('may be missing in HTTP/1.0: %s', async (path) => {
    const answer = await askBoth(`GET ${path} HTTP/1.0\r\n\r\n`)
    expect(answer.status).toBe(path.startsWith('/products') ? 404 : 200)
  })

  it.each([
    ['missing in HTTP/1.1', ''],
    ['there twice', 'Host: a\r\nHost: b\r\n'],
    ['there twice with the same value', 'Host: a\r\nhost: a\r\n'],
    ['there twice, once empty', 'Host:\r\nHost: a\r\n'],
    ['a list', 'Host: a, b\r\n'],
    ['two words', 'Host: a b\r\n'],
    ['a URL', 'Host: http://a\r\n'],
    ['with a user', 'Host: u@a\r\n'],
    ['with a path', 'Host: a/b\r\n'],
    ['with a port that is none', 'Host: a:b\r\n'],
    ['with a percent sign that encodes nothing', 'Host: a%zz\r\n'],
    ['an address that is none', 'Host: [::zz]\r\n'],
    ['an address that does not end', 'Host: [::1\r\n'],
    ['not of ASCII', 'Host: \u00e9\r\n'],
  ])('is refused if it is %s', async (_, host) => {
    const answer = await ask(host)
    expectProblem(answer, 400, 'validation_failed', host)
    expect(JSON.parse(answer.body).errors[0].parameter).toBe('Host')
  })

  it('is refused in HTTP/1.0 as well if it is there twice', async () => {
    expectProblem(await ask('Host: a\r\nHost: b\r\n', '1.0'), 400, 'validation_failed', 'twice')
  })
})

describe('the target of a request', () => {
  it.each([
    ['http://shop.example/problems/forbidden', 200],
    ['HTTPS://shop.1:443/problems/forbidden?', 200],
    ['http://a/../problems/./forbidden', 200],
    ['http://a', 404],
    ['http://a?b', 404],
    ['//a/healthz', 404],
    ['/products//', 404],
    ['/%', 400],
  ])('is found: %s is %i', async (target, status) => {
    expect((await askBoth(requestText('GET', target))).status).toBe(status)
  })

  it.each([
    '*',
    'healthz',
    'http://',
    'http:///healthz',
    'http://:80/healthz',
    'http://u@a/healthz',
    'http://a b/healthz',
    'ftp://a/healthz',
    '/healthz#top',
    '/healthz?a#top',
    '/a\\b',
    '/a b',
  ])('is refused if it is none: %s', async (target) => {
    expectProblem(await askBoth(requestText('GET', target)), 400, 'validation_failed', target)
  })

  it('that nothing is at is answered in few words, however long it is', async () => {
    for (const path of [`/${'x'.repeat(15_000)}`, `/problems/${'%00'.repeat(5_000)}`]) {
      const answer = await askBoth(requestText('GET', path))
      expectProblem(answer, 404, 'route_not_found', path)
      expect(answer.body.length).toBeLessThan(2_000)
      expect(JSON.parse(answer.body).detail).toContain('/docs')
    }
  })
})

describe('the methods of a path', () => {
  const inOrder = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

  /** What `Allow` has to say of a documented path: its operations, HEAD where there is GET, and OPTIONS. */
  const documented = (path: string): string[] => {
    const own = operations.filter((each) => each.path === path).map(({ method }) => method)
    const all = new Set([...own, ...(own.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])
    return inOrder.filter((method) => all.has(method))
  }

  it('are those that the document describes, and Allow names exactly these', async () => {
    const paths = [...new Set(operations.map(({ path }) => path))]
    expect(paths.length).toBeGreaterThan(15)
    const others = METHODS.filter((method) => method !== 'CONNECT')
    expect(others).toEqual(expect.arrayContaining([...inOrder, 'TRACE', 'PROPFIND', 'QUERY']))
    for (const path of paths) {
      const allowed = documented(path)
      const refused = others.filter((method) => !allowed.includes(method))
      expect(refused.length + allowed.length).toBe(others.length)
      await Promise.all(
        refused.map(async (method) => {
          const answer = await askBoth(requestText(method, filled(path)))
          expectProblem(answer, 405, 'method_not_allowed', `${method} ${path}`)
          expect(headerOf(answer, 'allow'), `${method} ${path}`).toBe(allowed.join(', '))
          if (method !== 'HEAD') {
            const { allowed: inBody, detail } = JSON.parse(answer.body)
            expect(inBody).toEqual(allowed)
            expect(detail).toContain('/docs')
          }
        }),
      )
      const options = await askBoth(requestText('OPTIONS', filled(path)))
      expect({ status: options.status, allow: headerOf(options, 'allow'), body: options.body }, path).toEqual(
        {
          status: 204,
          allow: allowed.join(', '),
          body: '',
        },
      )
    }
  })

  it.each([
    ['/products/create_product', 'POST, OPTIONS'],
    ['/products/create_product/', 'POST, OPTIONS'],
    ['/products/create%5Fproduct', 'POST, OPTIONS'],
    ['/orders/create_order', 'POST, OPTIONS'],
    ['/products/nothing', 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['/products/a%2Fb', 'GET, HEAD, PUT, DELETE, OPTIONS'],
    ['/orders/', 'GET, HEAD, OPTIONS'],
    ['/docs/assets/reference.js', 'GET, HEAD, OPTIONS'],
    ['/docs/assets/swagger-ui.css', 'GET, HEAD, OPTIONS'],
  ])('of %s are %s', async (path, allow) => {
    const allowed = allow.split(', ')
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE']) {
      if (allowed.includes(method)) continue
      const answer = await askBoth(requestText(method, path))
      expectProblem(answer, 405, 'method_not_allowed', `${method} ${path}`)
      expect(headerOf(answer, 'allow')).toBe(allow)
    }
    expect(headerOf(await askBoth(requestText('OPTIONS', path)), 'allow')).toBe(allow)
  })

  it.each([
    '/nowhere',
    '/products/a/b/c',
    '/products%2Fa',
    '/internal',
    '/internal/product/reserve',
    '/%69nternal/product/reserve',
    '/metrics',
    '/docs/assets',
    '/docs/assets/package.json',
    '//products',
  ])('are none where there is no route: %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      const answer = await askBoth(requestText(method, path))
      expectProblem(answer, 404, 'route_not_found', `${method} ${path}`)
      expect(headerOf(answer, 'allow')).toBeNull()
    }
  })

  it('are the same for pages of another origin', async () => {
    const headers = { Origin: origin, 'Access-Control-Request-Method': 'POST' }
    for (const path of ['/products/create_product', '/login', '/healthz', '/nowhere', '/internal', '*']) {
      await askBoth(requestText('OPTIONS', path, { Origin: origin }))
      await askBoth(requestText('OPTIONS', path, headers))
      await askBoth(requestText('OPTIONS', path, { ...headers, Origin: 'https://evil.example' }))
    }
  })

  it('of the server are those of all its routes', async () => {
    const all = new Set(operations.flatMap(({ path }) => documented(path)))
    const allow = inOrder.filter((method) => all.has(method)).join(', ')
    const answer = await askBoth(requestText('OPTIONS', '*'))
    expect({ status: answer.status, allow: headerOf(answer, 'allow') }).toEqual({ status: 204, allow })
    const tunnel = await askBoth('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')
    expectProblem(tunnel, 405, 'method_not_allowed', 'CONNECT')
    expect(headerOf(tunnel, 'allow')).toBe(allow)
  })

  it.each(['BREW', 'get', 'TRACK', 'G', 'GETT'])(
    'have names that HTTP knows, which %s is not',
    async (method) => {
      expectProblem(await askBoth(requestText(method, '/products')), 400, 'validation_failed', method)
    },
  )
})

it.each(bothShapes)('HEAD tells the length of the answer to GET: %s', async (shape) => {
  const { url, adminToken } = deployments[shape]
  const paths = operations.filter(({ method }) => method === 'GET').map(({ path }) => filled(path))
  expect(paths.length).toBeGreaterThan(8)
  paths.push('/docs/assets/reference.js', '/docs/assets/swagger-ui.css', '/nowhere', '/login', '/products/x')
  for (const path of paths) {
    for (const headers of [{ Authorization: `Bearer ${adminToken}` }, {}] as Record<string, string>[]) {
      // Of the same length in both, which a new one would be anyway.
      const ask = (method: string) =>
        sendRaw(url, requestText(method, path, { 'X-Request-Id': 'head', ...headers }))
      const [get, head] = [await ask('GET'), await ask('HEAD')]
      const label = `${path} ${get.status}`
      expect({ status: head.status, body: head.body }, label).toEqual({ status: get.status, body: '' })
      if (get.status === 405) continue
      expect(headerOf(head, 'content-length'), label).toBe(String(Buffer.byteLength(get.body, 'latin1')))
      expect(comparable(head).headers, label).toEqual(comparable(get).headers)
    }
  }
})

describe.each(bothShapes)('a client that closes its side after its request, %s', (shape) => {
  const send = (...parts: string[]) => sendRawAndClose(deployments[shape].url, ...parts)

  it('is answered', async () => {
    expect((await send(requestText('GET', '/products'))).status).toBe(200)
    const kept = 'GET /products?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n'
    expect((await send(kept)).status).toBe(200)
    expect((await send('GET /readyz HTTP/1.0\r\n\r\n')).status).toBe(200)
    const body = JSON.stringify({ email: 'nothing@example.com', password: 'nothing at all' })
    const length = `Content-Length: ${body.length}\r\n`
    const post = `POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${length}\r\n${body}`
    expectProblem(await send(post), 401, 'invalid_credentials', 'login')
  })

  it('is answered as often as it has asked', async () => {
    const request = 'GET /products?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n'
    const { status, body } = await send(request, request, request)
    expect([status, body.match(/HTTP\/1\.1 200/g)?.length]).toEqual([200, 2])
  })

  it('in the middle of it is told that it was no request', async () => {
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

  /** The most severe of the levels that a shape has logged of a request, once there is one. */
  const levelOf = (shape: Shape, id: string): Promise<number> =>
    vi.waitFor(() => {
      const lines = deployments[shape].output().split('\n')
      const levels = lines.filter((line) => line.includes(id)).map((line) => JSON.parse(line).level)
      expect(levels).not.toEqual([])
      return Math.max(...levels)
    })
  const warning = 40

  /** At once, since each takes as long as a request may. */
  const inBothShapes = <Case>(cases: Case[], check: (shape: Shape, each: Case) => Promise<void>) =>
    Promise.all(bothShapes.flatMap((shape) => cases.map((each) => check(shape, each))))

  it('is told so, and that is no error', async () => {
    const cases: [string, string, string][] = [
      ['announced, and nothing of it comes', 'Content-Length: 100', ''],
      ['announced, and a part of it comes', 'Content-Length: 100', '{"email":'],
      ['in chunks, and none comes', 'Transfer-Encoding: chunked', ''],
      ['in chunks, and not all of them come', 'Transfer-Encoding: chunked', '3\r\n{"e\r\n'],
      ['larger than is read', 'Content-Length: 2000000', '{'],
      [
        'larger than is read, and not announced',
        'Transfer-Encoding: chunked',
        `200000\r\n${' '.repeat(0x200000)}`,
      ],
    ]
    await inBothShapes(cases, async (shape, [what, framing, part]) => {
      const id = requestId()
      const answer = await sendRaw(deployments[shape].url, head(id, framing) + part)
      expectProblem(answer, 408, 'request_timeout', `${shape}, ${what}`)
      expect(headerOf(answer, 'connection'), what).toBe('close')
      expect(headerOf(answer, 'access-control-allow-origin'), what).toBe(origin)
      expect(headerOf(answer, 'vary'), what).toBe('Origin')
      expect(await levelOf(shape, id), what).toBeLessThan(warning)
    })
  })

  it('is told so while it goes on sending a little at a time', async () => {
    await inBothShapes([1, 2, 3, 4, 5], async (shape) => {
      const answer = await rawExchange(deployments[shape].url, (socket) => {
        socket.write(head(requestId(), 'Content-Length: 100000'))
        const dripping = setInterval(() => socket.write(' '), 20)
        socket.once('close', () => clearInterval(dripping))
      })
      expectProblem(answer, 408, 'request_timeout', shape)
    })
  })

  it('is no error either if it goes away', async () => {
    const framings = ['Content-Length: 100', 'Transfer-Encoding: chunked', 'Content-Length: 2000000']
    await inBothShapes(framings, async (shape, framing) => {
      const id = requestId()
      const gone = rawExchange(deployments[shape].url, (socket) => {
        socket.write(`${head(id, framing)}1`, () => setTimeout(() => socket.resetAndDestroy(), 50))
      })
      await expect(gone).rejects.toThrow('no answer')
      expect(await levelOf(shape, id), `${shape}, ${framing}`).toBeLessThan(warning)
    })
  })

  it('is answered if it is slow, and yet in time', async () => {
    const body = JSON.stringify({ email: 'nothing@example.com', password: 'nothing at all' })
    const framings = [
      [`Content-Length: ${body.length}`, body.slice(0, 10), body.slice(10)],
      ['Transfer-Encoding: chunked', `${body.length.toString(16)}\r\n`, `${body}\r\n0\r\n\r\n`],
    ]
    await inBothShapes(framings, async (shape, [framing, ...parts]) => {
      const answer = await rawExchange(deployments[shape].url, async (socket) => {
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

describe('what is refused before it is read', () => {
  it('is a problem document', async () => {
    const long = requestText('GET', '/healthz', { 'X-Long': 'x'.repeat(20_000) })
    expectProblem(await askBoth(long), 431, 'headers_too_large', 'a header')
    expectProblem(
      await askBoth(requestText('GET', `/${'x'.repeat(20_000)}`)),
      431,
      'headers_too_large',
      'target',
    )
    expectProblem(await askBoth('nonsense\r\n\r\n'), 400, 'validation_failed', 'nonsense')
    const extended = 'POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;'
    expectProblem(await askBoth(`${extended}${'x'.repeat(20_000)}\r\n`), 413, 'body_too_large', 'a chunk')
  })

  it('is a problem document after an answer on the same connection too', async () => {
    const fine = 'GET /problems/forbidden HTTP/1.1\r\nHost: x\r\n\r\n'
    for (const shape of bothShapes) {
      const answer = await rawExchange(deployments[shape].url, (socket) => {
        socket.write(fine)
        socket.once('data', () => socket.write(requestText('GET', '/', { 'X-Long': 'x'.repeat(20_000) })))
      })
      expect(answer.status).toBe(200)
      expect(answer.body, shape).toMatch(/HTTP\/1\.1 431 /)
      expect(answer.body, shape).toMatch(/"code":"headers_too_large"/)
    }
  })
})
