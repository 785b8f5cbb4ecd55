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

// Product and order fetch the keys of auth from an HTTP server that the test controls.
const key = generatePrivateKey()
const auth = await startService('auth', { JWT_PRIVATE_KEYS: JSON.stringify([key]) })
const authServer = await startAuthServer(forwardTo(auth.fetch))

const services = await startServices(authServer.url)

beforeAll(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
// Each test begins with services that have just fetched the key set and may fetch it again for an unknown kid.
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
  it('tokens with unknown kids cause one fetch of the key set per 30 s', async () => {
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

  it('tokens with unknown kids cause one fetch even before the first known kid', async () => {
    const fresh = await startServices(authServer.url)
    for (const { present, close } of fresh) {
      expect(await fetchesBy(() => many(50, present))).toBe(1)
      expect(await fetchesBy(() => many(50, present))).toBe(0)
      await close()
    }
  })

  it.each([
    ['drops connections', dropConnection],
    ['answers 500', respondWith('<html>Oops</html>', 500)],
    ['answers 503', respondWith('{"code":"dependency_unavailable","detail":"not ready"}', 503)],
  ])('tokens with unknown kids answer 503 and cause one fetch per 30 s while auth %s', async (_, failing) => {
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

  it('tokens with unknown kids wait for a slow fetch, and other tokens do not', async () => {
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

  it('tokens with unknown kids cause one fetch while auth does not answer within the request timeout', async () => {
    const hurried = await startServices(authServer.url, { REQUEST_TIMEOUT: '500ms' })
    for (const { present, close } of hurried) {
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
    ['drops connections', dropConnection],
    ['answers 500', respondWith('<html>Oops</html>', 500)],
    ['is not ready', respondWith('{"code":"dependency_unavailable","detail":"not ready"}', 503)],
    ['has no keys', respondWith('{"keys":[]}')],
    ['does not answer', () => {}],
  ])(
    'a process without keys fetches again within the same request if one replica of auth %s',
    async (_, first) => {
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
    },
  )
})

describe('a failure of auth', () => {
  it('tokens are verified for 12 minutes while auth is down, and tokens of a new key after that', async () => {
    const next = generatePrivateKey()
    const rotated = await startService('auth', { JWT_PRIVATE_KEYS: JSON.stringify([next, key]) })
    const token = await issuedWith(key)
    authServer.answer = dropConnection
    for (let minute = 1; minute <= 12; minute++) {
      later(60)
      for (const { present } of services) {
        for (let requests = 0; requests < 10; requests++) {
          expect(await present(token)).toBe('accepted')
          // A token that the service has not seen before is verified, too.
          expect(await present(await issuedWith(key))).toBe('accepted')
        }
      }
    }
    for (const { present } of services)
      expect(await present(await unknown())).toBe('503 dependency_unavailable')
    // After five minutes, the keys are fetched again in the background, and for unknown kids.
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

describe('an invalid key set', () => {
  const { kid, ...nameless } = publicKeyOf(key)
  it.each([
    ['a list without a key', '{"keys":[]}'],
    ['no list', '{}'],
    ['an object in place of a list', '{"keys":{"0":{"kty":"OKP"}}}'],
    ['null', 'null'],
    ['keys of other kinds alone', '{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}'],
    ['a key without a name', JSON.stringify({ keys: [nameless] })],
    ['a key that is too short', JSON.stringify({ keys: [{ ...nameless, kid, x: nameless.x.slice(1) }] })],
    ['half a document', '{"keys":[{"kty":"OKP","crv":"Ed25519"'],
    ['an empty body', ''],
    ['HTML', '<html>Welcome</html>'],
  ])('an invalid key set does not replace the known keys: %s', async (_, answer) => {
    authServer.answer = respondWith(answer)
    for (const { present } of services) {
      expect(await present(await unknown())).toBe('503 dependency_unavailable')
      expect(await present(await issuedWith(key))).toBe('accepted')
      later(301)
      expect(await present(await issuedWith(key))).toBe('accepted')
      // This request waits for the background fetch of the previous one.
      expect(await present(await unknown())).toBe('503 dependency_unavailable')
      expect(await present(await issuedWith(key))).toBe('accepted')
    }
  })

  it('a redirect of the key set is not followed', async () => {
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
