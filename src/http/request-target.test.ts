import { METHODS } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  bothShapes,
  comparable,
  deployBothShapes,
  expectProblem,
  headerOf,
} from '#test/support/both-shapes.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import { type RawAnswer, requestText, sendRaw } from '#test/support/raw-http.ts'

// Both shapes must send the same bytes for each request.
const origin = 'https://shop.example'
let both: Awaited<ReturnType<typeof deployBothShapes>>
let operations: Operation[]
beforeAll(async () => {
  both = await deployBothShapes({ CORS_ORIGINS: origin })
  operations = operationsOf((await both.deployments.split.get('/openapi.json')).body)
})
afterAll(() => both.stop())

const askBoth = (text: string): Promise<RawAnswer> => both.askBoth(text)

const filled = (path: string) =>
  path.replace('{id}', '0123456789abcdef01234567').replace('{code}', 'forbidden')

describe('the Host of a request', () => {
  const send = (host: string, version = '1.1') =>
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
  ])('a valid Host has no effect on the answer: "%s"', async (host) => {
    expect((await send(`Host: ${host}\r\n`)).status).toBe(200)
  })

  it.each([
    '/healthz',
    '/readyz',
    '/products/0123456789abcdef01234567',
    '/docs',
    '/docs/assets/x/reference.js',
  ])('a request with HTTP/1.0 needs no Host: %s', async (path) => {
    const answer = await askBoth(`GET ${path} HTTP/1.0\r\n\r\n`)
    expect(answer.status).toBe(path.startsWith('/products') ? 404 : 200)
  })

  it.each([
    ['missing in HTTP/1.1', ''],
    ['given twice', 'Host: a\r\nHost: b\r\n'],
    ['given twice with the same value', 'Host: a\r\nhost: a\r\n'],
    ['given twice, once empty', 'Host:\r\nHost: a\r\n'],
    ['a list', 'Host: a, b\r\n'],
    ['two words', 'Host: a b\r\n'],
    ['a URL', 'Host: http://a\r\n'],
    ['with a user', 'Host: u@a\r\n'],
    ['with a path', 'Host: a/b\r\n'],
    ['with an invalid port', 'Host: a:b\r\n'],
    ['with an invalid percent-escape', 'Host: a%zz\r\n'],
    ['an invalid address', 'Host: [::zz]\r\n'],
    ['an address without its closing bracket', 'Host: [::1\r\n'],
    ['not ASCII', 'Host: \u00e9\r\n'],
  ])('a request is refused if its Host is %s', async (_, host) => {
    const answer = await send(host)
    expectProblem(answer, 400, 'validation_failed', host)
    expect(JSON.parse(answer.body).errors[0].parameter).toBe('Host')
  })

  it('a request with HTTP/1.0 is refused too if it gives Host twice', async () => {
    expectProblem(await send('Host: a\r\nHost: b\r\n', '1.0'), 400, 'validation_failed', 'twice')
  })
})

describe('the target of a request', () => {
  it.each([
    ['http://shop.example/problems/forbidden', 200],
    ['HTTPS://shop.1:443/problems/forbidden?', 200],
    ['http://a/../problems/./forbidden', 200],
    ['http://a', 200],
    ['http://a?b', 200],
    ['//a/healthz', 404],
    ['/products//', 404],
    ['/%', 400],
  ])('a request target is routed by its path: %s gets %i', async (target, status) => {
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
  ])('a malformed request target gets 400: %s', async (target) => {
    expectProblem(await askBoth(requestText('GET', target)), 400, 'validation_failed', target)
  })

  it('a long request target without a route gets a short 404', async () => {
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

  /** The expected `Allow` of a documented path: its operations, HEAD if it has GET, and OPTIONS. */
  const documented = (path: string): string[] => {
    const own = operations.filter((each) => each.path === path).map(({ method }) => method)
    const all = new Set([...own, ...(own.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])
    return inOrder.filter((method) => all.has(method))
  }

  it('a path has the methods that the document describes, and `Allow` names exactly these', async () => {
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
    ['/products/nothing', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
    ['/products/a%2Fb', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
    ['/orders/', 'GET, HEAD, POST, OPTIONS'],
    ['/products', 'GET, HEAD, POST, OPTIONS'],
    ['/docs/assets/x/reference.js', 'GET, HEAD, OPTIONS'],
    ['/docs/assets/x/swagger-ui.css', 'GET, HEAD, OPTIONS'],
  ])('the path %s has the methods %s', async (path, allow) => {
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
    '/docs/assets',
    '/docs/assets/reference.js',
    '/docs/assets/x/package.json',
    '//products',
  ])('a path without a route gets 404 for every method: %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      const answer = await askBoth(requestText(method, path))
      expectProblem(answer, 404, 'route_not_found', `${method} ${path}`)
      expect(headerOf(answer, 'allow')).toBeNull()
    }
  })

  it('both shapes give the same answers to preflights of another origin', async () => {
    const headers = { Origin: origin, 'Access-Control-Request-Method': 'POST' }
    for (const path of [
      '/products',
      '/products/create_product',
      '/login',
      '/healthz',
      '/nowhere',
      '/internal',
      '*',
    ]) {
      await askBoth(requestText('OPTIONS', path, { Origin: origin }))
      await askBoth(requestText('OPTIONS', path, headers))
      await askBoth(requestText('OPTIONS', path, { ...headers, Origin: 'https://evil.example' }))
    }
  })

  it('OPTIONS * answers with the methods of all routes', async () => {
    const all = new Set(operations.flatMap(({ path }) => documented(path)))
    const allow = inOrder.filter((method) => all.has(method)).join(', ')
    const answer = await askBoth(requestText('OPTIONS', '*'))
    expect({ status: answer.status, allow: headerOf(answer, 'allow') }).toEqual({ status: 204, allow })
    const tunnel = await askBoth('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')
    expectProblem(tunnel, 405, 'method_not_allowed', 'CONNECT')
    expect(headerOf(tunnel, 'allow')).toBe(allow)
  })

  it.each(['BREW', 'get', 'TRACK', 'G', 'GETT'])(
    'a method that Node.js does not know gets 400: %s',
    async (method) => {
      expectProblem(await askBoth(requestText(method, '/products')), 400, 'validation_failed', method)
    },
  )
})

it.each(bothShapes)(
  'HEAD gets the header fields of the answer to GET, including its length: %s',
  async (shape) => {
    const { url, adminToken } = both.deployments[shape]
    const paths = operations.filter(({ method }) => method === 'GET').map(({ path }) => filled(path))
    expect(paths.length).toBeGreaterThan(8)
    paths.push(
      '/docs/assets/x/reference.js',
      '/docs/assets/x/swagger-ui.css',
      '/nowhere',
      '/login',
      '/products/x',
    )
    for (const path of paths) {
      for (const headers of [{ Authorization: `Bearer ${adminToken}` }, {}] as Record<string, string>[]) {
        // The request id is part of the body, so that its length must be the same.
        const send = (method: string) =>
          sendRaw(url, requestText(method, path, { 'X-Request-Id': 'head', ...headers }))
        const [get, head] = [await send('GET'), await send('HEAD')]
        const label = `${path} ${get.status}`
        expect({ status: head.status, body: head.body }, label).toEqual({ status: get.status, body: '' })
        if (get.status === 405) continue
        expect(headerOf(head, 'content-length'), label).toBe(String(Buffer.byteLength(get.body, 'latin1')))
        expect(comparable(head).headers, label).toEqual(comparable(get).headers)
      }
    }
  },
)
