import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { beforeAll, describe, expect, it } from 'vitest'
import { headerOf } from '#test/support/both-shapes.ts'
import type { Deployment } from '#test/support/processes.ts'
import { type RawAnswer, requestText, sendRaw } from '#test/support/raw-http.ts'
import { createPeople, type People } from '#test/support/valid-requests.ts'

/** Content codings of the answers of a deployment. */
export function compressionSuite(deployment: () => Deployment) {
  describe('compression', () => {
    let shop: Deployment
    let people: People
    const large = '/products?limit=5'
    beforeAll(async () => {
      shop = deployment()
      people = await createPeople(shop)
      for (let n = 0; n < 5; n++) {
        const description = `Café au lait, ${'stoneware '.repeat(100)}`
        const { productId } = await shop.product(people.boss.token, { description })
        await shop.order(people.ada.token, [{ productId, quantity: 1 }])
      }
    })

    const read = (path: string, headers: Record<string, string>, method = 'GET'): Promise<RawAnswer> =>
      sendRaw(shop.url, requestText(method, path, { 'X-Request-Id': 'read', ...headers }))

    it.each([
      ['gzip, deflate, br, zstd', 'br'],
      ['gzip, deflate', 'gzip'],
      ['GZIP', 'gzip'],
      ['br;q=0.5, gzip;q=0.8', 'gzip'],
      ['br;q=0, *', 'gzip'],
      ['*', 'br'],
      ['identity;q=0.5, gzip;q=0.5', 'gzip'],
      ['identity, gzip;q=0.5', null],
      ['gzip;q=0', null],
      ['*;q=0', null],
      ['identity', null],
      ['deflate, zstd', null],
      ['', null],
      ['nonsense;;, ,=', null],
    ])('a large list for a client with Accept-Encoding "%s" has the coding %s', async (accepted, coding) => {
      const plain = await read(large, {})
      const answer = await read(large, { 'Accept-Encoding': accepted })
      expect(headerOf(answer, 'content-encoding')).toBe(coding)
      expect(decoded(answer)).toBe(decoded(plain))
      expect(headerOf(answer, 'content-length')).toBe(String(answer.body.length))
      if (coding !== null) expect(answer.body.length).toBeLessThan(plain.body.length / 5)
      for (const name of ['etag', 'vary', 'cache-control', 'content-type']) {
        expect(headerOf(answer, name), name).toBe(headerOf(plain, name))
      }
    })

    it('HEAD has the length and the coding of the compressed answer to GET', async () => {
      for (const path of [large, '/openapi.json']) {
        const [get, head] = [
          await read(path, { 'Accept-Encoding': 'gzip' }),
          await read(path, { 'Accept-Encoding': 'gzip' }, 'HEAD'),
        ]
        expect(head.body).toBe('')
        const shown = ({ headers }: RawAnswer) => headers.filter(([name]) => name !== 'date').sort()
        expect(shown(head), path).toEqual(shown(get))
        expect(headerOf(head, 'content-encoding')).toBe('gzip')
      }
    })

    it('a client that has the compressed content gets 304, whatever coding it accepts now', async () => {
      const tag = headerOf(await read(large, { 'Accept-Encoding': 'br' }), 'etag') ?? ''
      expect(tag).toMatch(/^W\//)
      for (const accepted of ['br', 'gzip', 'identity']) {
        const answer = await read(large, { 'Accept-Encoding': accepted, 'If-None-Match': tag })
        expect(answer.status).toBe(304)
        expect(headerOf(answer, 'content-encoding')).toBeNull()
      }
    })

    it('answers with personal data, small answers and answers with a version are not compressed', async () => {
      const { productId } = (await shop.get(large)).body.data[0]
      const token = { Authorization: `Bearer ${people.ada.token}` }
      const orders = await read('/orders', { ...token, 'Accept-Encoding': 'gzip' })
      expect(orders.body.length).toBeGreaterThan(1_400)
      const others = ['/.well-known/jwks.json', `/products/${productId}`, '/nowhere', '/profile']
      const answers = await Promise.all(
        others.map((path) => read(path, { ...token, 'Accept-Encoding': 'gzip' })),
      )
      for (const answer of [orders, ...answers]) expect(headerOf(answer, 'content-encoding')).toBeNull()
      expect(headerOf(answers[1] as RawAnswer, 'etag')).toBe('"2"')
    })

    it('clients that read the same changing list at once each get a complete answer', async () => {
      const { productId } = (await shop.get(large)).body.data[0]
      const reads = Array.from({ length: 100 }, async (_, at) => {
        if (at % 10 === 0) {
          await shop.post(`/products/${productId}/stock`, {
            token: people.boss.token,
            body: { change: 1 },
          })
        }
        const limit = 1 + (at % 20)
        return read(`/products?limit=${limit}`, { 'Accept-Encoding': at % 2 ? 'gzip' : 'br' })
      })
      for (const answer of await Promise.all(reads)) {
        expect(answer.status).toBe(200)
        expect(JSON.parse(decoded(answer)).data.length).toBeGreaterThan(0)
      }
    })
  })
}

function decoded(answer: RawAnswer): string {
  const bytes = Buffer.from(answer.body, 'latin1')
  const coding = headerOf(answer, 'content-encoding')
  if (coding === null) return bytes.toString()
  return (coding === 'br' ? brotliDecompressSync(bytes) : gunzipSync(bytes)).toString()
}
