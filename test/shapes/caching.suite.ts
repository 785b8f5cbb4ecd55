import { beforeAll, describe, expect, it } from 'vitest'
import { headerOf } from '#test/support/both-shapes.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import { type RawAnswer, requestText, sendRaw } from '#test/support/raw-http.ts'
import { createPeople, type OperationName, type People, validRequests } from '#test/support/valid-requests.ts'

/** The `Cache-Control` of a successful answer, by operation. All other operations have `no-store`. */
const cacheable: Record<string, string> = {
  listProducts: 'no-cache',
  getProduct: 'no-cache',
  getRoot: 'no-cache',
  getOpenApiDocument: 'no-cache',
  getReference: 'no-cache',
  listProblems: 'no-cache',
  getProblem: 'no-cache',
  listPublicKeys: 'public, max-age=300',
}
/** The reads whose answer has no entity tag: the account of the caller, and the state of the process. */
const untagged = ['getProfile', 'checkLiveness', 'checkReadiness']
/** The reads that answer a person with a page and a program with JSON. */
const pages = ['getRoot', 'listProblems', 'getProblem']

/** Caching and conditional reads in a deployment whose CORS_ORIGINS contain `origin`. */
export function cachingSuite(deployment: () => Deployment, origin: string) {
  describe('caching', () => {
    let shop: Deployment
    let people: People
    let operations: Operation[]
    let reads: Operation[]
    beforeAll(async () => {
      shop = deployment()
      people = await createPeople(shop)
      operations = operationsOf((await shop.get('/openapi.json')).body)
      reads = operations.filter(({ method }) => method === 'GET')
      expect(reads.length).toBeGreaterThanOrEqual(10)
    })

    const make = ({ name }: Operation) => validRequests[name as OperationName](shop, people, people.boss)
    const asBoss = () => ({ Authorization: `Bearer ${people.boss.token}` })
    /** Sends a read of the admin, with a fixed request id. */
    const read = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<RawAnswer> =>
      sendRaw(shop.url, requestText(method, path, { 'X-Request-Id': 'read', ...asBoss(), ...headers }))

    it('every operation has the Cache-Control that fits its answer, and a refusal has no-store', async () => {
      for (const operation of operations) {
        const { path, body }: { path: string; body?: unknown } = await make(operation)
        for (const token of [people.boss.token, undefined]) {
          const { status, headers } = await shop.request(operation.method, path, { body, token })
          const expected = status < 400 ? cacheable[operation.operationId] : undefined
          const label = `${operation.name} ${status}`
          expect(headers.get('cache-control'), label).toBe(expected ?? 'no-store')
        }
      }
    })

    it.each([
      [400, requestText('GET', '/products?unknown=1')],
      [400, requestText('GET', '/products/x')],
      [400, requestText('GET', '/%')],
      [400, requestText('POST', '/login', {}, '{"email": ')],
      [400, requestText('GET', '/products', { Host: 'a b' })],
      [400, requestText('GET', 'products')],
      [400, 'nonsense\r\n\r\n'],
      [401, requestText('GET', '/orders')],
      [404, requestText('GET', '/nowhere')],
      [404, requestText('GET', '/products/0123456789abcdef01234567')],
      [404, requestText('GET', '/problems/unknown')],
      [405, requestText('POST', '/healthz')],
      [405, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
      [413, requestText('POST', '/login', {}, JSON.stringify('x'.repeat(1_100_000)))],
      [415, requestText('POST', '/login', { 'Content-Type': 'text/plain' }, '{}')],
      [431, requestText('GET', '/products', { 'X-Long': 'x'.repeat(20_000) })],
      [204, requestText('OPTIONS', '/products')],
    ])('an answer with status %i that has no content to keep has no-store', async (status, text) => {
      const answer = await sendRaw(shop.url, text)
      expect(answer.status, text.slice(0, 60)).toBe(status)
      expect(headerOf(answer, 'cache-control'), text.slice(0, 60)).toBe('no-store')
      expect(headerOf(answer, 'etag')).toBeNull()
    })

    it('a read answers 304 with the header fields of 200 if If-None-Match names its entity tag', async () => {
      for (const operation of reads) {
        const { path } = await make(operation)
        const first = await read(path)
        const tag = headerOf(first, 'etag')
        if (untagged.includes(operation.operationId)) {
          expect(tag, operation.name).toBeNull()
          continue
        }
        expect(tag, operation.name).toMatch(/^(W\/)?"[\w-]+"$/)
        const opaque = (tag ?? '').replace('W/', '')
        const matching = [opaque, `W/${opaque}`, '*', `"other", ,W/${opaque},`, ` ${opaque} , "x"`]
        for (const method of ['GET', 'HEAD']) {
          for (const value of matching) {
            const answer = await read(path, { 'If-None-Match': value }, method)
            const label = `${method} ${path} ${value}`
            expect({ status: answer.status, body: answer.body }, label).toEqual({ status: 304, body: '' })
            expect(fieldsOf(answer), label).toEqual(fieldsOf(first))
          }
          const others = ['"other"', 'W/"other"', opaque.slice(1), `*, ${opaque}`, `${opaque} "x"`, '', ',']
          for (const value of others) {
            const answer = await read(path, { 'If-None-Match': value }, method)
            expect(answer.status, `${method} ${path} ${value}`).toBe(200)
            expect(headerOf(answer, 'etag')).toBe(tag)
          }
        }
      }
    })

    it('a list has another entity tag once a row was changed, added or deleted', async () => {
      const { productId } = await shop.product(people.boss.token, { stock: 10 })
      const productTag = async () => headerOf(await read('/products'), 'etag')
      const orderTag = async () => headerOf(await read('/orders'), 'etag')
      const seen: (string | null)[] = [await productTag()]
      const expectNewTag = async (tag: () => Promise<string | null>) => {
        const current = await tag()
        expect(seen).not.toContain(current)
        expect(await tag()).toBe(current)
        seen.push(current)
      }
      const token = people.boss.token
      await shop.put(`/products/${productId}`, { token, body: { name: 'Other', version: 1 } })
      await expectNewTag(productTag)
      seen.push(await orderTag())
      const { body: order } = await shop.order(people.ada.token, [{ productId, quantity: 1 }])
      await expectNewTag(productTag)
      await expectNewTag(orderTag)
      await shop.delete(`/orders/${order.orderId}`, { token })
      await expectNewTag(productTag)
      await expectNewTag(orderTag)
      await shop.delete(`/products/${productId}`, { token })
      await expectNewTag(productTag)
    })

    it('pages and callers with different content have different entity tags', async () => {
      for (const token of [people.ada.token, people.grace.token]) {
        const { productId } = await shop.product(people.boss.token)
        expect((await shop.order(token, [{ productId, quantity: 1 }])).status).toBe(201)
      }
      const { nextCursor } = (await shop.get('/products?limit=1')).body
      const tags = []
      for (const path of [
        '/products?limit=1',
        `/products?limit=1&cursor=${nextCursor}`,
        '/products?limit=2',
      ]) {
        tags.push(headerOf(await read(path), 'etag'))
      }
      for (const { token } of [people.ada, people.grace, people.boss]) {
        const { headers } = await shop.get('/orders', { token })
        tags.push(headers.get('etag'))
      }
      expect(new Set(tags).size).toBe(tags.length)
      const ofAda = tags[3] ?? ''
      const other = await read('/orders', {
        Authorization: `Bearer ${people.grace.token}`,
        'If-None-Match': ofAda,
      })
      expect(other.status).toBe(200)
    })

    it('an answer that may be compressed varies by Accept-Encoding, a page by Accept, and every answer by Origin', async () => {
      for (const operation of reads) {
        const { path } = await make(operation)
        const answer = await read(path, { Origin: origin })
        const isCompressible = operation.operationId in cacheable && operation.operationId !== 'getProduct'
        const expected = [
          'Origin',
          ...(pages.includes(operation.operationId) ? ['Accept'] : []),
          ...(isCompressible ? ['Accept-Encoding'] : []),
        ]
        expect(headerOf(answer, 'vary'), operation.name).toBe(expected.join(', '))
      }
    })

    it('browsers keep the files of the reference for a year, since their path contains a hash of their content', async () => {
      const page = (await read('/docs')).body
      const files = [...page.matchAll(/(?:href|src)="(\/docs\/assets\/[^"]+)"/g)].map(
        ([, path]) => path ?? '',
      )
      expect(files.length).toBeGreaterThan(3)
      for (const path of files) {
        const answer = await read(path, { 'Accept-Encoding': 'br' })
        expect(answer.status, path).toBe(200)
        expect(headerOf(answer, 'cache-control'), path).toBe('public, max-age=31536000, immutable')
        const isLarge = (await read(path)).body.length > 1_400
        expect(headerOf(answer, 'content-encoding'), path).toBe(isLarge ? 'br' : null)
        expect(headerOf(answer, 'vary'), path).toBe('Origin, Accept-Encoding')
        const known = await read(path, { 'If-None-Match': headerOf(answer, 'etag') ?? '' })
        expect(known.status, path).toBe(304)
        const head = await read(path, { 'Accept-Encoding': 'br' }, 'HEAD')
        expect(headerOf(head, 'content-length'), path).toBe(headerOf(answer, 'content-length'))
        expect((await read(path, {}, 'POST')).status).toBe(405)
      }
      const [path = ''] = files
      const other = await read(path.replace(/assets\/[^/]+/, 'assets/other'))
      expect([other.status, headerOf(other, 'cache-control')]).toEqual([200, 'no-cache'])
    })

    it('a read ignores Accept and Range, and answers with the whole content', async () => {
      for (const operation of reads) {
        const { path } = await make(operation)
        const whole = await read(path)
        const ranges: Record<string, string>[] = [
          { Range: 'bytes=0-3' },
          { Range: 'bytes=0-3', 'If-Range': headerOf(whole, 'etag') ?? '"1"' },
          { Range: 'bytes=99999999-' },
        ]
        for (const headers of ranges) {
          const answer = await read(path, headers)
          expect(answer.status, operation.name).toBe(whole.status)
          expect(answer.body.length, operation.name).toBe(whole.body.length)
          expect(headerOf(answer, 'content-range')).toBeNull()
        }
      }
      for (const accept of ['text/html', 'application/xml', 'application/json;q=0', 'nonsense', '']) {
        const answer = await read('/products', { Accept: accept })
        expect([answer.status, headerOf(answer, 'content-type')], accept).toEqual([200, 'application/json'])
      }
    })
  })
}

/** The header fields that 304 must repeat (RFC 9110, 15.4.5), and the security headers, which a cache updates from a 304. */
const fieldsOf = ({ headers }: RawAnswer) =>
  headers.filter(([name]) => !['content-length', 'content-type', 'date', 'connection'].includes(name)).sort()
