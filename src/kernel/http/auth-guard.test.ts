import { createHmac, createPrivateKey, randomUUID, sign as sign25519 } from 'node:crypto'
import { sign } from 'hono/jwt'
import type { SignatureKey } from 'hono/utils/jwt/jws'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCall, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import type { PublicKey } from '#kernel/public-key.ts'
import { createGate, type Gate } from '#test/support/gate.ts'
import { quiet } from '#test/support/shop.ts'
import { createTokenIssuer } from '../../modules/auth/sessions/access-tokens.ts'
import { generatePrivateKey, type PrivateKey, publicKeyOf } from '../../modules/auth/sessions/signing-keys.ts'
import { authGuard } from './auth-guard.ts'
import { createKeyCache, type KeySource } from './key-cache.ts'
import { problemResponse } from './problems.ts'
import { createRouter } from './router.ts'

const logger = await quiet
const key = generatePrivateKey()
const issuer = 'trivet'
const userId = '0123456789abcdef01234567'
const call = { deadline: Date.now() + 60_000, requestId: 'request-1' }

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const now = () => Math.floor(Date.now() / 1000)
const claims = (changes: Record<string, unknown> = {}) => ({
  iss: issuer,
  aud: issuer,
  sub: userId,
  role: 'customer',
  iat: now(),
  exp: now() + 900,
  jti: randomUUID(),
  ...changes,
})
const signed = (payload: Record<string, unknown>, { kty, crv, x, d, kid }: PrivateKey = key) =>
  sign(payload, { kty, crv, x, d, kid, alg: 'EdDSA' } as SignatureKey)

const encoded = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')

/** An application with a route for everybody who is signed in and one for admins. */
function guarded(keys: KeySource = async () => [publicKeyOf(key)], maxCachedTokens = 10_000) {
  const app = createRouter()
  app.use(async (c, next) => {
    c.set('call', call)
    c.set('headers', {})
    await next()
  })
  const guard = authGuard({ keys, issuer, logger, maxCachedTokens })
  app.get('/mine', guard('customer'), (c) => c.json(c.get('principal')))
  app.get('/theirs', guard('admin'), (c) => c.json(c.get('principal')))
  app.onError((error, c) => {
    if (error instanceof DomainError) return problemResponse(c, error)
    throw error
  })
  return async (authorization?: string, path = '/mine') => {
    const answer = await app.request(path, { headers: authorization === undefined ? {} : { authorization } })
    return {
      status: answer.status,
      challenge: answer.headers.get('www-authenticate'),
      body: (await answer.json()) as Record<string, unknown>,
    }
  }
}
const ask = guarded()

describe('a token of this issuer', () => {
  it('says who asks, and with which role', async () => {
    expect(await ask(`Bearer ${await signed(claims())}`)).toMatchObject({
      status: 200,
      body: { userId, role: 'customer' },
    })
    const token = await createTokenIssuer({ key, issuer, lifetimeSeconds: 900 }).issue({
      userId,
      role: 'admin',
    })
    expect((await ask(`Bearer ${token}`)).body).toEqual({ userId, role: 'admin' })
  })

  it('may name its scheme in any case (RFC 9110, 11.1)', async () => {
    expect((await ask(`bearer ${await signed(claims())}`)).status).toBe(200)
  })

  it('opens what needs an admin to admins alone: 403 otherwise', async () => {
    const customer = await ask(`Bearer ${await signed(claims())}`, '/theirs')
    expect(customer).toMatchObject({ status: 403, challenge: null, body: { code: 'forbidden' } })
    const admin = await ask(`Bearer ${await signed(claims({ role: 'admin' }))}`, '/theirs')
    expect(admin).toMatchObject({ status: 200, body: { role: 'admin' } })
  })

  it('may be meant for several audiences', async () => {
    expect((await ask(`Bearer ${await signed(claims({ aud: ['other', issuer] }))}`)).status).toBe(200)
  })
})

describe('without a bearer token', () => {
  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Basic dTpw',
    'Bearer a b',
    'Token abc',
    'eyJhbGciOiJub25lIn0.e30.',
  ])('the answer is 401 unauthenticated (%s)', async (authorization) => {
    expect(await ask(authorization)).toMatchObject({
      status: 401,
      challenge: 'Bearer',
      body: { code: 'unauthenticated' },
    })
  })
})

describe('a token is refused as invalid_token', () => {
  const other = generatePrivateKey()
  const header = { alg: 'HS256', typ: 'JWT', kid: key.kid }
  const withHmac = (secret: string | Buffer) => {
    const content = `${encoded(header)}.${encoded(claims())}`
    return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`
  }

  it.each<[string, () => string | Promise<string>]>([
    [
      'that is not signed',
      () => `${encoded({ alg: 'none', typ: 'JWT', kid: key.kid })}.${encoded(claims())}.`,
    ],
    ['signed with the public key as an HMAC secret', () => withHmac(key.x)],
    ["signed with the public key's bytes as an HMAC secret", () => withHmac(Buffer.from(key.x, 'base64url'))],
    ['signed with another key under a known kid', () => signed(claims(), { ...other, kid: key.kid })],
    ['under an unknown kid', () => signed(claims(), other)],
    ['without a kid', () => signed(claims(), { ...key, kid: undefined } as unknown as PrivateKey)],
    ['whose kid is no text', () => `${encoded({ alg: 'EdDSA', kid: 7 })}.${encoded(claims())}.AAAA`],
    [
      'whose signature is damaged',
      async () => {
        const token = await signed(claims())
        const at = token.lastIndexOf('.') + 10
        return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
      },
    ],
    [
      // Only the first two of the last character's six bits are of the signature.
      'whose signature is written with bits to spare',
      async () => {
        const token = await signed(claims())
        const next = { A: 'B', Q: 'R', g: 'h', w: 'x' }[token.at(-1) ?? '']
        return `${token.slice(0, -1)}${next}`
      },
    ],
    ['whose signature is padded', async () => `${await signed(claims())}==`],
    ['whose signature is cut off', async () => (await signed(claims())).replace(/[^.]*$/, '')],
    ['whose signature is cut short', async () => (await signed(claims())).slice(0, -2)],
    ['with a fourth part', async () => `${await signed(claims())}.AAAA`],
    [
      'whose claims were changed',
      async () => {
        const [head, , signature] = (await signed(claims())).split('.')
        return `${head}.${encoded(claims({ role: 'admin' }))}.${signature}`
      },
    ],
    ['whose claims are no object', () => signed('admin' as unknown as Record<string, unknown>)],
    ['that is not three parts', () => 'a.b'],
    ['that is not JSON', () => 'a.b.c'],
    ['whose end is no number', () => signed(claims({ exp: 'never' }))],
    ['whose end is no time', () => signed(claims({ exp: 1e300 }))],
    ['whose beginning is no number', () => signed(claims({ nbf: 'now' }))],
    ['issued in the future', () => signed(claims({ iat: now() + 40 }))],
    ['not yet of use', () => signed(claims({ nbf: now() + 600 }))],
    ['of another issuer', () => signed(claims({ iss: 'somebody' }))],
    ['for another audience', () => signed(claims({ aud: 'trivet-internal:product' }))],
    ['with a role that does not exist', () => signed(claims({ role: 'owner' }))],
    ['whose subject is no id', () => signed(claims({ sub: '{"$ne":null}' }))],
    ['with an empty jti', () => signed(claims({ jti: '' }))],
  ])('%s', async (_what, token) => {
    expect(await ask(`Bearer ${await token()}`)).toMatchObject({
      status: 401,
      challenge: 'Bearer error="invalid_token"',
      body: { code: 'invalid_token' },
    })
  })

  it.each(['jwk', 'jku', 'x5u'])('signed with the key that its header brings as %s', async (member) => {
    const brought = publicKeyOf({ ...other, kid: key.kid })
    const named = `data:application/json,${encodeURIComponent(JSON.stringify({ keys: [brought] }))}`
    const value = { jwk: brought, jku: named, x5u: named }[member]
    const content = `${encoded({ alg: 'EdDSA', typ: 'JWT', kid: key.kid, [member]: value })}.${encoded(claims())}`
    const { kty, crv, x, d } = other
    const signature = sign25519(null, Buffer.from(content), {
      key: createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' }),
    })
    const fetched = vi.spyOn(globalThis, 'fetch')
    expect(await ask(`Bearer ${content}.${signature.toString('base64url')}`)).toMatchObject({
      status: 401,
      body: { code: 'invalid_token' },
    })
    expect(fetched).not.toHaveBeenCalled()
  })

  it.each(['exp', 'iat', 'iss', 'aud', 'jti', 'sub', 'role'])('without %s', async (claim) => {
    expect(await ask(`Bearer ${await signed(claims({ [claim]: undefined }))}`)).toMatchObject({
      status: 401,
      challenge: 'Bearer error="invalid_token"',
      body: { code: 'invalid_token' },
    })
  })
})

describe('time', () => {
  it('an expired token is token_expired, thirty seconds after its end', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const token = await signed(claims({ exp: now() + 900 }))
    vi.setSystemTime(1_700_000_000_000 + 929_999)
    expect((await ask(`Bearer ${token}`)).status).toBe(200)
    vi.setSystemTime(1_700_000_000_000 + 930_000)
    expect(await ask(`Bearer ${token}`)).toMatchObject({
      status: 401,
      challenge: expect.stringMatching(/^Bearer error="invalid_token"/),
      body: { code: 'token_expired' },
    })
  })

  it('a token from a clock that is thirty seconds ahead is accepted', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    expect((await ask(`Bearer ${await signed(claims({ iat: now() + 30 }))}`)).status).toBe(200)
    expect((await ask(`Bearer ${await signed(claims({ iat: now() + 31 }))}`)).body.code).toBe('invalid_token')
  })

  it('a token whose use begins in up to thirty seconds is accepted', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    expect((await ask(`Bearer ${await signed(claims({ nbf: now() + 30 }))}`)).status).toBe(200)
    expect((await ask(`Bearer ${await signed(claims({ nbf: now() + 31 }))}`)).body.code).toBe('invalid_token')
  })

  it('a forged token is not told that it has expired', async () => {
    const forged = await signed(claims({ exp: now() - 900 }), { ...generatePrivateKey(), kid: key.kid })
    expect((await ask(`Bearer ${forged}`)).body.code).toBe('invalid_token')
  })
})

describe('the key set', () => {
  const known = publicKeyOf(key)
  const rotated = publicKeyOf(generatePrivateKey())

  /** A source that counts the fetches, holds each at the gate if there is one, and fails while `fails`. */
  function source(keys: PublicKey[] = [known]) {
    const state = { fetches: 0, fails: false, gate: undefined as Gate | undefined, keys }
    const fetchKeys: KeySource = async () => {
      state.fetches += 1
      const { gate, fails, keys } = state
      await gate?.pass()
      if (fails) throw dependencyUnavailable('auth is not available')
      return keys
    }
    return { state, keyOf: createKeyCache(fetchKeys, logger), fetchKeys }
  }
  const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)

  it('is fetched once for many requests, those that come at the same time included', async () => {
    const { state, keyOf } = source()
    expect(state.fetches).toBe(0)
    const found = await Promise.all(Array.from({ length: 50 }, () => keyOf(key.kid, call)))
    expect(found).toEqual(Array(50).fill(known))
    await keyOf(key.kid, call)
    expect(state.fetches).toBe(1)
  })

  it('is fetched at most once in thirty seconds for unknown kids, however many are shown', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    const unknown = (count: number) =>
      Promise.all(Array.from({ length: count }, () => keyOf(randomUUID(), call)))
    expect(await unknown(100)).toEqual(Array(100).fill(undefined))
    for (let second = 0; second < 29; second++) {
      later(1)
      await unknown(3)
    }
    expect(state.fetches).toBe(2)
    later(1)
    await unknown(3)
    expect(state.fetches).toBe(3)
  })

  it('is fetched once in thirty seconds, the first time included, when unknown kids come first', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, keyOf } = source()
    const unknown = () => keyOf(randomUUID(), call)
    expect(await Promise.all(Array.from({ length: 100 }, unknown))).toEqual(Array(100).fill(undefined))
    later(29)
    expect(await unknown()).toBeUndefined()
    expect(state.fetches).toBe(1)
    later(1)
    expect(await unknown()).toBeUndefined()
    expect(state.fetches).toBe(2)
  })

  it('is fetched for unknown kids no more often while the source fails', async () => {
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    state.fails = true
    // Whether such a token is good nobody can tell: 401 would sign out whoever has one of a new key.
    for (let shown = 0; shown < 20; shown++) {
      await expect(keyOf(randomUUID(), call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    }
    expect(state.fetches).toBe(2)
    expect(await keyOf(key.kid, call)).toEqual(known)
  })

  it('gets a key that was added by rotation when a token of it is shown', async () => {
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    state.keys = [rotated, known]
    expect(await keyOf(rotated.kid, call)).toEqual(rotated)
    expect(await keyOf(key.kid, call)).toEqual(known)
  })

  it('gives a new key to all who show it at the same time', async () => {
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    state.keys = [rotated, known]
    const both = [keyOf(rotated.kid, call), keyOf(rotated.kid, call)]
    expect(await Promise.all(both)).toEqual([rotated, rotated])
  })

  it('is looked at again in the background every five minutes, so that a withdrawn key ends', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    state.keys = [rotated]
    later(300)
    expect(await keyOf(key.kid, call)).toEqual(known)
    expect(state.fetches).toBe(1)
    later(1)
    // Nobody waits for the refresh ...
    expect(await keyOf(key.kid, call)).toEqual(known)
    // ... and once it is there, it counts.
    await vi.waitFor(async () => expect(await keyOf(key.kid, call)).toBeUndefined())
    expect(await keyOf(rotated.kid, call)).toEqual(rotated)
  })

  it('goes on serving when it cannot be refreshed, and is not asked for with every request', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, fetchKeys } = source()
    const ask = guarded(fetchKeys)
    const authorization = `Bearer ${await signed(claims({ exp: now() + 86_400 }))}`
    expect((await ask(authorization)).status).toBe(200)
    state.fails = true
    later(301)
    for (let requests = 0; requests < 20; requests++) expect((await ask(authorization)).status).toBe(200)
    expect(state.fetches).toBe(2)
    later(3600)
    expect((await ask(authorization)).status).toBe(200)
  })

  it('is asked for again thirty seconds after it could not be refreshed', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const warn = vi.spyOn(logger, 'warn')
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    state.fails = true
    later(301)
    await keyOf(key.kid, call)
    await vi.waitFor(() => expect(warn).toHaveBeenCalled())
    state.fails = false
    later(29)
    await keyOf(key.kid, call)
    expect(state.fetches).toBe(2)
    later(2)
    await keyOf(key.kid, call)
    expect(state.fetches).toBe(3)
  })

  it('answers for unknown kids again as soon as it could be fetched, whatever it was fetched for', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    later(295)
    state.fails = true
    await expect(keyOf(randomUUID(), call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    later(6)
    const gate = createGate()
    state.gate = gate
    state.fails = false
    state.keys = [rotated, known]
    // The five minutes are over: a refresh begins, which nobody waits for but who shows a kid that it may bring.
    expect(await keyOf(key.kid, call)).toEqual(known)
    const waiting = keyOf(rotated.kid, call)
    gate.open()
    expect(await waiting).toEqual(rotated)
    expect(await keyOf(randomUUID(), call)).toBeUndefined()
    expect(state.fetches).toBe(3)
  })

  it('without a key changes nothing, and is no answer for an unknown kid', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, keyOf } = source()
    await keyOf(key.kid, call)
    state.keys = []
    await expect(keyOf(randomUUID(), call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    later(301)
    await keyOf(key.kid, call)
    await vi.waitFor(() => expect(state.fetches).toBe(3))
    expect(await keyOf(key.kid, call)).toEqual(known)
  })

  it('that cannot be fetched at first is 503, and a later request finds it', async () => {
    const { state, fetchKeys } = source()
    state.fails = true
    const ask = guarded(fetchKeys)
    const authorization = `Bearer ${await signed(claims())}`
    const answers = await Promise.all([ask(authorization), ask(authorization)])
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
    }
    state.fails = false
    expect((await ask(authorization)).status).toBe(200)
  })

  it('that another request fetches first, and has less time for, is fetched again for this one', async () => {
    let fetches = 0
    const keyOf = createKeyCache(async (_request, within) => {
      fetches += 1
      if (fetches === 1) return waitUntilDeadline(within, 'auth', new Promise<PublicKey[]>(() => {}))
      return [known]
    }, logger)
    const hurried = keyOf(key.kid, createCall(50, 'hurried'))
    const patient = [1, 2].map((n) => keyOf(key.kid, createCall(10_000, `patient-${n}`)))
    await expect(hurried).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(await Promise.all(patient)).toEqual([known, known])
    expect(fetches).toBe(2)
  })

  it('that cannot be fetched at first is fetched once for all that wait for it', async () => {
    const { promise, reject } = Promise.withResolvers<PublicKey[]>()
    let fetches = 0
    const keyOf = createKeyCache(() => {
      fetches += 1
      return promise
    }, logger)
    const waiting = Array.from({ length: 1_000 }, (_, at) =>
      keyOf(key.kid, createCall(5_000 + at, `waiting-${at}`)).catch(String),
    )
    reject(new Error('no answer'))
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['Error: no answer']))
    expect(fetches).toBe(1)
  })

  it('is not asked for on behalf of what is no token', async () => {
    const { state, fetchKeys } = source()
    const ask = guarded(fetchKeys)
    for (const token of ['', 'Bearer x', 'Bearer a.b.c', 'Basic dTpw']) await ask(token)
    expect(state.fetches).toBe(0)
  })
})

describe('a token that has been verified', () => {
  const verifications = () => vi.spyOn(crypto.subtle, 'verify')
  const authorizationOf = async (changes: Record<string, unknown> = {}) =>
    `Bearer ${await signed(claims(changes))}`

  it('is remembered: its signature is checked once', async () => {
    const verify = verifications()
    const ask = guarded()
    const authorization = await authorizationOf({ role: 'admin' })
    for (let uses = 0; uses < 5; uses++) {
      expect(await ask(authorization, '/theirs')).toMatchObject({ status: 200, body: { userId } })
    }
    expect(verify).toHaveBeenCalledTimes(1)
  })

  it('expires all the same', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const ask = guarded()
    const authorization = await authorizationOf()
    expect((await ask(authorization)).status).toBe(200)
    vi.setSystemTime(1_700_000_000_000 + 930_000)
    expect(await ask(authorization)).toMatchObject({ status: 401, body: { code: 'token_expired' } })
  })

  it.each([
    ['is withdrawn', [publicKeyOf(generatePrivateKey())]],
    ['gives its kid to another', [{ ...publicKeyOf(generatePrivateKey()), kid: key.kid }]],
  ])('ends when its key %s', async (_, next) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    let keys = [publicKeyOf(key)]
    const ask = guarded(async () => keys)
    const authorization = await authorizationOf()
    expect((await ask(authorization)).status).toBe(200)
    keys = next
    expect((await ask(authorization)).status).toBe(200)
    vi.setSystemTime(Date.now() + 301_000)
    await vi.waitFor(async () => expect((await ask(authorization)).body.code).toBe('invalid_token'))
  })

  it('is forgotten when as many others have been shown since as are remembered', async () => {
    const verify = verifications()
    const ask = guarded(undefined, 3)
    const [first = '', ...others] = await Promise.all(Array.from({ length: 4 }, () => authorizationOf()))
    const shown = async (authorization: string) => {
      verify.mockClear()
      expect((await ask(authorization)).status).toBe(200)
      return verify.mock.calls.length
    }
    expect(await shown(first)).toBe(1)
    for (const other of others.slice(1)) await shown(other)
    expect(await shown(first)).toBe(0)
    for (const other of others) await shown(other)
    expect(await shown(first)).toBe(1)
  })

  it('is never taken for another', async () => {
    const ask = guarded()
    const users = Array.from({ length: 50 }, (_, n) => n.toString(16).padStart(24, '0'))
    const tokens = await Promise.all(users.map((sub) => authorizationOf({ sub })))
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(tokens.map((token) => ask(token)))
      expect(answers.map(({ body }) => body.userId)).toEqual(users)
    }
  })

  it('lends nothing to one that differs in its signature alone', async () => {
    const ask = guarded()
    const authorization = await authorizationOf()
    expect((await ask(authorization)).status).toBe(200)
    const damaged = authorization.replace(/\.[^.]{4}([^.]*)$/, '.AAAA$1')
    for (let uses = 0; uses < 3; uses++) expect((await ask(damaged)).body.code).toBe('invalid_token')
    expect((await ask(authorization)).status).toBe(200)
  })

  it('is remembered only if it was accepted', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const ask = guarded()
    const authorization = await authorizationOf({ iat: now() + 60 })
    expect((await ask(authorization)).body.code).toBe('invalid_token')
    vi.setSystemTime(1_700_000_000_000 + 30_000)
    expect((await ask(authorization)).status).toBe(200)
  })
})
