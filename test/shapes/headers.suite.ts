import { beforeAll, describe, expect, it } from 'vitest'
import type { Answer, RequestOptions } from '#test/support/client.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import { requestText, sendRaw } from '#test/support/raw-http.ts'
import {
  createPeople,
  type OperationName,
  type People,
  type ValidRequest,
  validRequests,
} from '#test/support/valid-requests.ts'

/** The security headers of every answer. */
const securityHeaders = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
}

function expectSecurityHeaders(
  headers: Iterable<[string, string]>,
  label: string,
  changes: Partial<typeof securityHeaders> = {},
): void {
  const all = [...headers]
  const names = new Set([
    ...Object.keys(securityHeaders),
    'set-cookie',
    'x-powered-by',
    'server',
    'access-control-allow-credentials',
  ])
  // If a header occurs twice, the list contains it twice, and the comparison fails.
  const shown = all.filter(([name]) => names.has(name)).sort()
  expect(shown, label).toEqual(Object.entries({ ...securityHeaders, ...changes }).sort())
}

/** Response headers of a deployment whose CORS_ORIGINS are `origins`. */
export function headersSuite(deployment: () => Deployment, origins: readonly string[]) {
  describe('headers', () => {
    let shop: Deployment
    let people: People
    let operations: Operation[]
    beforeAll(async () => {
      shop = deployment()
      people = await createPeople(shop)
      operations = operationsOf((await shop.get('/openapi.json')).body)
    })

    const ask = async (
      name: string,
      token?: string,
      headers: Record<string, string> = {},
    ): Promise<Answer> => {
      const { path, body }: ValidRequest = await validRequests[name as OperationName](
        shop,
        people,
        people.boss,
      )
      return shop.request(name.split(' ')[0] ?? '', path, { body, token, headers })
    }

    it('every operation answers with the security headers, also when it refuses', async () => {
      for (const { name } of operations) {
        const changes =
          name === 'GET /docs'
            ? { 'content-security-policy': expect.stringMatching(/^default-src 'none'; /) }
            : {}
        for (const token of [people.boss.token, undefined]) {
          const { headers, status } = await ask(name, token)
          expectSecurityHeaders(headers, `${name} ${status}`, changes)
        }
      }
    })

    it.each([
      [404, requestText('GET', '/nowhere')],
      [405, requestText('PATCH', '/products')],
      [405, requestText('TRACE', '/products')],
      [405, requestText('PROPFIND', '/products')],
      [405, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
      [401, requestText('GET', '/profile')],
      [400, requestText('POST', '/login', {}, '{"email": ')],
      [415, requestText('POST', '/login', { 'Content-Type': 'text/plain' }, '{}')],
      [413, requestText('POST', '/login', {}, JSON.stringify('x'.repeat(1_100_000)))],
      [431, requestText('GET', '/healthz', { 'X-Long': 'x'.repeat(20_000) })],
      [400, 'nonsense\r\n\r\n'],
      [400, 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n'],
      [200, requestText('GET', '/healthz')],
      [200, requestText('HEAD', '/products')],
      [200, requestText('GET', '/docs/assets/x/swagger-ui.css')],
    ])('an answer with status %i has each security header once', async (status, text) => {
      const answer = await sendRaw(shop.url, text)
      expect(answer.status).toBe(status)
      expectSecurityHeaders(answer.headers, text.slice(0, 60))
      const names = answer.headers.map(([name]) => name)
      expect(names).toEqual([...new Set(names)])
    })

    it('an answer of /internal has each security header once', async () => {
      const { headers } = await sendRaw(
        shop.url,
        requestText('POST', '/internal/product/reserve', {}, '{"calls":[]}'),
      )
      expectSecurityHeaders(headers, '/internal')
    })

    it('the content security policy of /docs allows its own files and nothing inline', async () => {
      const page = await shop.get('/docs')
      const directives = page.headers.get('content-security-policy')?.split('; ') ?? []
      expect(directives).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "script-src 'self'",
          "style-src 'self'",
          "frame-ancestors 'none'",
        ]),
      )
      expect(directives.join()).not.toContain('unsafe')
      // The content security policy would block inline scripts, styles and event handlers.
      expect(page.body).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:/i)
    })

    it('no answer sets a cookie, and the cookies of a request have no effect', async () => {
      const cookie = `session=1; token=${people.boss.token}`
      const { token } = people.ada
      const [without, withCookie] = [
        await shop.get('/profile', { token }),
        await shop.get('/profile', { token, headers: { Cookie: cookie } }),
      ]
      expect(withCookie).toMatchObject({ status: 200, body: without.body })
      expect(withCookie.headers.get('set-cookie')).toBeNull()
    })

    const accessControl = (headers: Headers) =>
      [...headers].filter(([name]) => name.startsWith('access-control-')).map(([name]) => name)

    describe('CORS', () => {
      it.each(origins)(
        'pages of the allowed origin %s may read every answer, without cookies, and the answer varies by origin',
        async (origin) => {
          const token = people.ada.token
          for (const [path, status] of [
            ['/profile', 200],
            ['/orders/0123456789abcdef01234567', 404],
            ['/orders/nothing', 400],
            ['/nowhere', 404],
            ['/internal', 404],
            ['/docs', 200],
          ] as const) {
            const { headers, ...answer } = await shop.get(path, { token, headers: { Origin: origin } })
            expect(answer.status, path).toBe(status)
            expect(headers.get('access-control-allow-origin'), path).toBe(origin)
            expect(headers.get('access-control-expose-headers'), path).toContain('ETag')
            expect(headers.get('access-control-allow-credentials'), path).toBeNull()
            expect(headers.get('vary')?.split(', '), path).toContain('Origin')
          }
        },
      )

      it('a preflight of an allowed origin is answered without a body', async () => {
        for (const origin of origins) {
          const answer = await shop.request('OPTIONS', '/orders', {
            headers: {
              Origin: origin,
              'Access-Control-Request-Method': 'POST',
              'Access-Control-Request-Headers': 'authorization,content-type,idempotency-key',
            },
          })
          expect(answer).toMatchObject({ status: 204, body: '' })
          expect(answer.headers.get('access-control-allow-origin')).toBe(origin)
          expect(answer.headers.get('access-control-allow-methods')).toContain('POST')
          expect(answer.headers.get('access-control-allow-headers')).toContain('Authorization')
          expect(answer.headers.get('vary')).toContain('Origin')
          expect(answer.headers.get('allow')).toBe('GET, HEAD, POST, OPTIONS')
          expectSecurityHeaders(answer.headers, 'preflight')
        }
      })

      const Origin = origins[0] ?? ''
      const listIn = (headers: Headers, name: string) => headers.get(name)?.split(', ') ?? []

      it('a preflight allows the headers that the API reads and those of traces, and every method of the API', async () => {
        const described = operations.flatMap(({ parameters = [] }) =>
          parameters.filter((each) => each.in === 'header').map(({ name }) => name),
        )
        expect(described).toContain('If-None-Match')
        const headers = { Origin, 'Access-Control-Request-Method': 'PUT' }
        const answer = await shop.request('OPTIONS', '/products/0123456789abcdef01234567', { headers })
        const allowed = listIn(answer.headers, 'access-control-allow-headers')
        const traces = ['traceparent', 'tracestate', 'baggage']
        expect(allowed).toEqual(expect.arrayContaining([...described, ...traces, 'X-Request-Id']))
        const methods = operations.map(({ method }) => method)
        expect(listIn(answer.headers, 'access-control-allow-methods').sort()).toEqual(
          [...new Set([...methods, 'HEAD'])].sort(),
        )
      })

      it('a preflight of an unknown path is answered, so that the page can read the 404', async () => {
        const headers = { Origin, 'Access-Control-Request-Method': 'PUT' }
        const answer = await shop.request('OPTIONS', '/nowhere', { headers })
        expect(answer).toMatchObject({ status: 204, body: '' })
        expect(answer.headers.get('allow')).toBeNull()
        expect(answer.headers.get('content-type')).toBeNull()
        expect(answer.headers.get('access-control-allow-origin')).toBe(Origin)
      })

      it('an OPTIONS request that is no preflight answers with the methods of the path', async () => {
        const options = (path: string) => shop.request('OPTIONS', path, { headers: { Origin } })
        const answer = await options('/login')
        expect(answer).toMatchObject({ status: 204, body: '' })
        expect(answer.headers.get('allow')).toBe('POST, OPTIONS')
        expect(answer.headers.get('access-control-allow-origin')).toBe(Origin)
        expect(await options('/nowhere')).toMatchObject({ status: 404, body: { code: 'route_not_found' } })
      })

      it('pages may read every response header of the API', async () => {
        // Pages need no permission to read some of these headers. The others are for browsers, caches and connections.
        const others =
          /^(access-control-.*|cache-control|connection|content-.*|date|keep-alive|last-modified|transfer-encoding|vary)$/
        const seen = new Set<string>()
        let exposed: string[] = []
        const look = ({ headers }: Answer) => {
          for (const [name] of headers) if (!others.test(name) && !(name in securityHeaders)) seen.add(name)
          exposed = listIn(headers, 'access-control-expose-headers').map((name) => name.toLowerCase())
          for (const name of seen) expect(exposed).toContain(name)
        }
        for (const { name } of operations) {
          for (const token of [people.boss.token, undefined]) look(await ask(name, token, { Origin }))
        }
        look(await shop.request('PATCH', '/nowhere', { headers: { Origin } }))
        look(await shop.request('PATCH', '/login', { headers: { Origin } }))
        look(await shop.request('OPTIONS', '/products/0123456789abcdef01234567', { headers: { Origin } }))
        // These headers are also exposed, but no answer in this test has them.
        const unseen = ['idempotent-replayed', 'ratelimit-policy', 'retry-after']
        expect(exposed.sort()).toEqual([...seen, ...unseen].sort())
      })

      it.each<[number, string, string, RequestOptions]>([
        [405, 'GET', '/login', {}],
        [413, 'POST', '/login', { raw: ' '.repeat(1_100_000) }],
        [415, 'POST', '/login', { raw: '{}', headers: { 'Content-Type': 'text/plain' } }],
        [401, 'GET', '/profile', {}],
      ])(
        'pages of an allowed origin may read a refusal with status %i',
        async (status, method, path, sent) => {
          const answer = await shop.request(method, path, { ...sent, headers: { ...sent.headers, Origin } })
          expect(answer.status).toBe(status)
          expect(answer.headers.get('access-control-allow-origin')).toBe(Origin)
          expect(answer.headers.get('vary')).toBe('Origin')
        },
      )

      it.each([
        'https://evil.example',
        'null',
        '*',
        ...origins.flatMap((origin) => [
          `${origin}.evil.example`,
          `${origin}:8443`,
          origin.replace('https', 'http'),
          origin.replace('://', '://evil.'),
          origin.toUpperCase(),
        ]),
      ])('pages of the origin %s, which is not allowed, may read no answer', async (origin) => {
        const headers = { Origin: origin }
        const read = await shop.get('/products', { headers })
        expect(read.status).toBe(200)
        expect(read.headers.get('access-control-allow-origin')).toBeNull()
        const preflight = await shop.request('OPTIONS', '/orders', {
          headers: { ...headers, 'Access-Control-Request-Method': 'POST' },
        })
        expect(preflight.headers.get('access-control-allow-origin')).toBeNull()
        expect(accessControl(preflight.headers)).not.toContain('access-control-allow-credentials')
      })
    })
  })
}
