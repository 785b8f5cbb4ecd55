import type { RequestListener } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { generatePrivateKey, publicKeyOf } from '#src/modules/auth/sessions/signing-keys.ts'
import { createGate } from '#test/support/gate.ts'
import {
  dropConnection,
  forwardTo,
  issuedWith,
  respondWith,
  startAuthServer,
  startService,
  startServices,
} from '#test/support/remote-auth.ts'

// Product and order as services of their own ask auth for its keys over a socket that the test holds in its hands.
const key = generatePrivateKey()
const auth = await startService('auth', { JWT_PRIVATE_KEYS: JSON.stringify([key]) })
const authServer = await startAuthServer(forwardTo(auth.fetch))

const services = await startServices(authServer.url)

beforeAll(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
// Every test begins with services that have just fetched the key set, and may do so for an unknown kid again.
beforeEach(async () => {
  authServer.answer = forwardTo(auth.fetch)
  later(60)
  for (const { present } of services) expect(await present(await unknown())).toBe('401 invalid_token')
  later(30)
  authServer.fetches = 0
})
afterAll(async () => {
  vi.useRealTimers()
  for (const service of services) await service.close()
  await authServer.close()
  await auth.close()
})

const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)
const fetchesBy = async (work: () => Promise<unknown>) => {
  const before = authServer.fetches
  await work()
  return authServer.fetches - before
}
const unknown = () => issuedWith(generatePrivateKey())
const many = async (count: number, present: (token: string) => Promise<string>) =>
  new Set(await Promise.all(Array.from({ length: count }, async () => present(await unknown()))))

describe('an unknown kid', () => {
  it('has the key set fetched once in thirty seconds, however many present one', async () => {
    const refused = new Set(['401 invalid_token'])
    for (const { present } of services) {
      expect(await fetchesBy(async () => expect(await many(50, present)).toEqual(refused))).toBe(1)
      for (const seconds of [0, 10, 19]) {
        later(seconds)
        expect(await fetchesBy(async () => expect(await many(20, present)).toEqual(refused))).toBe(0)
      }
      later(1)
      expect(await fetchesBy(async () => expect(await many(50, present)).toEqual(refused))).toBe(1)
    }
  })

  it('that is the first thing a process sees is no exception', async () => {
    const fresh = await startServices(authServer.url)
    for (const { present, close } of fresh) {
      expect(await fetchesBy(() => many(50, present))).toBe(1)
      expect(await fetchesBy(() => many(50, present))).toBe(0)
      await close()
    }
  })

  it.each([
    ['is gone', dropConnection],
    ['fails', respondWith('<html>Oops</html>', 500)],
    ['says that it is not there', respondWith('{"code":"dependency_unavailable","detail":"not ready"}', 503)],
  ])('has it fetched no more often while auth %s, and nobody knows what the token is', async (_, failing) => {
    const unavailable = new Set(['503 dependency_unavailable'])
    authServer.answer = failing
    for (const { present } of services) {
      expect(await fetchesBy(async () => expect(await many(30, present)).toEqual(unavailable))).toBe(1)
      later(29)
      expect(await fetchesBy(async () => expect(await many(30, present)).toEqual(unavailable))).toBe(0)
      later(1)
      expect(await fetchesBy(async () => expect(await many(30, present)).toEqual(unavailable))).toBe(1)
      expect(await present(await issuedWith(key))).toBe('accepted')
    }
  })

  it('waits for a slow answer, and holds up nobody else', async () => {
    const token = await issuedWith(key)
    for (const { present } of services) {
      const gate = createGate()
      authServer.answer = (request, response) =>
        void gate.pass().then(() => forwardTo(auth.fetch)(request, response))
      const before = authServer.fetches
      const refused = many(50, present)
      await gate.reached
      for (let shown = 0; shown < 20; shown++) expect(await present(token)).toBe('accepted')
      gate.open()
      expect(await refused).toEqual(new Set(['401 invalid_token']))
      expect(authServer.fetches).toBe(before + 1)
    }
  })

  it('is asked about once where no answer comes within the time of a request', async () => {
    const impatient = await startServices(authServer.url, { REQUEST_TIMEOUT: '500ms' })
    for (const { present, close } of impatient) {
      authServer.answer = forwardTo(auth.fetch)
      const token = await issuedWith(key)
      await vi.waitFor(async () => expect(await present(token)).toBe('accepted'), { timeout: 20_000 })
      authServer.answer = () => {}
      const fetches = await fetchesBy(async () => {
        for (let rounds = 0; rounds < 3; rounds++) {
          expect(await many(10, present)).toEqual(new Set(['503 dependency_unavailable']))
        }
      })
      expect(fetches).toBe(1)
      await close()
    }
  })
})

describe('a process that has no keys yet', () => {
  const once =
    (first: RequestListener): RequestListener =>
    (request, response) => {
      authServer.answer = forwardTo(auth.fetch)
      first(request, response)
    }

  it.each([
    ['is gone', dropConnection],
    ['fails', respondWith('<html>Oops</html>', 500)],
    ['is not ready', respondWith('{"code":"dependency_unavailable","detail":"not ready"}', 503)],
    ['has no keys', respondWith('{"keys":[]}')],
    ['does not answer', () => {}],
  ])('asks again within the same request where one replica of auth %s', async (_, first) => {
    const fresh = await startServices(authServer.url, { REQUEST_TIMEOUT: '2s' })
    const token = await issuedWith(key)
    for (const { present, close } of fresh) {
      authServer.answer = once(first)
      const fetches = await fetchesBy(async () => {
        expect(await Promise.all([present(token), present(token)])).toEqual(['accepted', 'accepted'])
      })
      expect(fetches).toBe(2)
      await close()
    }
  })
})

describe('while auth is down', () => {
  it('tokens are verified for ten minutes and more, and those of a new key once it is back', async () => {
    const next = generatePrivateKey()
    const rotated = await startService('auth', { JWT_PRIVATE_KEYS: JSON.stringify([next, key]) })
    const token = await issuedWith(key)
    authServer.answer = dropConnection
    for (let minute = 1; minute <= 12; minute++) {
      later(60)
      for (const { present } of services) {
        for (let requests = 0; requests < 10; requests++) {
          expect(await present(token)).toBe('accepted')
          // One that nobody has seen before, too.
          expect(await present(await issuedWith(key))).toBe('accepted')
        }
      }
    }
    for (const { present } of services)
      expect(await present(await unknown())).toBe('503 dependency_unavailable')
    // Once five minutes are over it is tried again, in the background, and now with those unknown kids.
    expect(authServer.fetches).toBeGreaterThan(services.length)
    expect(authServer.fetches).toBeLessThanOrEqual(services.length * 9)

    authServer.answer = forwardTo(rotated.fetch)
    later(31)
    for (const { present } of services) {
      expect(await present(await issuedWith(next))).toBe('accepted')
      expect(await present(token)).toBe('accepted')
    }
    await rotated.close()
  })
})

describe('what auth should not answer', () => {
  const { kid, ...nameless } = publicKeyOf(key)
  it.each([
    ['a list without a key', '{"keys":[]}'],
    ['no list', '{}'],
    ['something else than a list', '{"keys":{"0":{"kty":"OKP"}}}'],
    ['null', 'null'],
    ['keys of other kinds alone', '{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}'],
    ['a key without a name', JSON.stringify({ keys: [nameless] })],
    ['a key that is too short', JSON.stringify({ keys: [{ ...nameless, kid, x: nameless.x.slice(1) }] })],
    ['half a document', '{"keys":[{"kty":"OKP","crv":"Ed25519"'],
    ['nothing', ''],
    ['HTML', '<html>Welcome</html>'],
  ])('changes nothing about the keys that are known: %s', async (_, answer) => {
    authServer.answer = respondWith(answer)
    for (const { present } of services) {
      expect(await present(await unknown())).toBe('503 dependency_unavailable')
      expect(await present(await issuedWith(key))).toBe('accepted')
      later(301)
      expect(await present(await issuedWith(key))).toBe('accepted')
      // Waits for what the one before has begun in the background.
      expect(await present(await unknown())).toBe('503 dependency_unavailable')
      expect(await present(await issuedWith(key))).toBe('accepted')
    }
  })

  it('leads nowhere, though it be a redirect', async () => {
    const other = generatePrivateKey()
    const elsewhere = await startAuthServer(respondWith(JSON.stringify({ keys: [publicKeyOf(other)] })))
    authServer.answer = (request, response) => {
      response.writeHead(302, { location: `${elsewhere.url}${request.url}` }).end()
    }
    for (const { present } of services)
      expect(await present(await issuedWith(other))).toBe('503 dependency_unavailable')
    expect(elsewhere.fetches).toBe(0)
    await elsewhere.close()
  })
})
