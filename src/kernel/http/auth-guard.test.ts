import { createHmac, createPrivateKey, randomUUID, sign as sign25519 } from 'node:crypto'
import { sign } from 'hono/jwt'
import type { SignatureKey } from 'hono/utils/jwt/jws'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { createTokenIssuer } from '#src/modules/auth/sessions/access-token-issuer.ts'
import { generatePrivateKey, type PrivateKey, publicKeyOf } from '#src/modules/auth/sessions/signing-keys.ts'
import { countedKeys } from '#test/support/counted-keys.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { authGuard } from './auth-guard.ts'
import type { KeySource } from './key-cache.ts'
import { problemResponse } from './problem-documents.ts'
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

/** An application with a route for every signed-in user and one for admins. */
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
const send = guarded()

describe('a token of this issuer', () => {
  it('a token of this issuer gives the handler the id and the role of its user', async () => {
    expect(await send(`Bearer ${await signed(claims())}`)).toMatchObject({
      status: 200,
      body: { userId, role: 'customer' },
    })
    const token = await createTokenIssuer({ key, issuer, lifetimeSeconds: 900 }).issue({
      userId,
      role: 'admin',
    })
    expect((await send(`Bearer ${token}`)).body).toEqual({ userId, role: 'admin' })
  })

  it('a token is accepted with the scheme in lower case and after several spaces (RFC 9110, 11.1 and 11.4)', async () => {
    for (const scheme of ['bearer', 'Bearer  '])
      expect((await send(`${scheme} ${await signed(claims())}`)).status).toBe(200)
  })

  it('a route for admins answers 403 if the user of the token is no admin', async () => {
    const customer = await send(`Bearer ${await signed(claims())}`, '/theirs')
    const detail = 'this request needs the role admin'
    expect(customer).toMatchObject({ status: 403, challenge: null, body: { code: 'forbidden', detail } })
    const admin = await send(`Bearer ${await signed(claims({ role: 'admin' }))}`, '/theirs')
    expect(admin).toMatchObject({ status: 200, body: { role: 'admin' } })
  })

  it('a token may have several audiences', async () => {
    expect((await send(`Bearer ${await signed(claims({ aud: ['other', issuer] }))}`)).status).toBe(200)
  })
})

describe('a request without a bearer token', () => {
  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Basic dTpw',
    'Bearer a b',
    'Token abc',
    'eyJhbGciOiJub25lIn0.e30.',
  ])('a request without a bearer token gets 401 unauthenticated: %s', async (authorization) => {
    expect(await send(authorization)).toMatchObject({
      status: 401,
      challenge: 'Bearer',
      body: { code: 'unauthenticated', detail: 'Authorization: must be "Bearer <access token>"' },
    })
  })
})

describe('invalid tokens', () => {
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
    ['whose kid is not a string', () => `${encoded({ alg: 'EdDSA', kid: 7 })}.${encoded(claims())}.AAAA`],
    [
      'whose signature is damaged',
      async () => {
        const token = await signed(claims())
        const at = token.lastIndexOf('.') + 10
        return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
      },
    ],
    [
      // Only the first two bits of the last character belong to the signature.
      'whose signature has unused bits that are not zero',
      async () => {
        const token = await signed(claims())
        const next = { A: 'B', Q: 'R', g: 'h', w: 'x' }[token.at(-1) ?? '']
        return `${token.slice(0, -1)}${next}`
      },
    ],
    ['whose signature is padded', async () => `${await signed(claims())}==`],
    ['without a signature', async () => (await signed(claims())).replace(/[^.]*$/, '')],
    ['whose signature is too short', async () => (await signed(claims())).slice(0, -2)],
    ['with a fourth part', async () => `${await signed(claims())}.AAAA`],
    [
      'whose claims were changed',
      async () => {
        const [head, , signature] = (await signed(claims())).split('.')
        return `${head}.${encoded(claims({ role: 'admin' }))}.${signature}`
      },
    ],
    ['whose claims are not an object', () => signed('admin' as unknown as Record<string, unknown>)],
    ['that has two parts', () => 'a.b'],
    ['that is not JSON', () => 'a.b.c'],
    ['whose exp is not a number', () => signed(claims({ exp: 'never' }))],
    ['whose exp is too large for a time', () => signed(claims({ exp: 1e300 }))],
    ['whose nbf is not a number', () => signed(claims({ nbf: 'now' }))],
    ['issued in the future', () => signed(claims({ iat: now() + 40 }))],
    ['whose nbf is in the future', () => signed(claims({ nbf: now() + 600 }))],
    ['of another issuer', () => signed(claims({ iss: 'other' }))],
    ['for another audience', () => signed(claims({ aud: 'trivet-internal:product' }))],
    ['with a role that does not exist', () => signed(claims({ role: 'owner' }))],
    ['whose subject is not an id', () => signed(claims({ sub: '{"$ne":null}' }))],
    ['with an empty jti', () => signed(claims({ jti: '' }))],
  ])('a token %s is refused as invalid_token', async (_what, token) => {
    expect(await send(`Bearer ${await token()}`)).toMatchObject({
      status: 401,
      challenge: 'Bearer error="invalid_token"',
      body: { code: 'invalid_token' },
    })
  })

  it.each(['jwk', 'jku', 'x5u'])(
    'a token signed with a key that its own header contains as %s is refused as invalid_token',
    async (member) => {
      const contained = publicKeyOf({ ...other, kid: key.kid })
      const named = `data:application/json,${encodeURIComponent(JSON.stringify({ keys: [contained] }))}`
      const value = { jwk: contained, jku: named, x5u: named }[member]
      const content = `${encoded({ alg: 'EdDSA', typ: 'JWT', kid: key.kid, [member]: value })}.${encoded(claims())}`
      const { kty, crv, x, d } = other
      const signature = sign25519(null, Buffer.from(content), {
        key: createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' }),
      })
      const fetched = vi.spyOn(globalThis, 'fetch')
      expect(await send(`Bearer ${content}.${signature.toString('base64url')}`)).toMatchObject({
        status: 401,
        body: { code: 'invalid_token' },
      })
      expect(fetched).not.toHaveBeenCalled()
    },
  )

  it.each(['exp', 'iat', 'iss', 'aud', 'jti', 'sub', 'role'])(
    'a token without %s is refused as invalid_token',
    async (claim) => {
      expect(await send(`Bearer ${await signed(claims({ [claim]: undefined }))}`)).toMatchObject({
        status: 401,
        challenge: 'Bearer error="invalid_token"',
        body: { code: 'invalid_token' },
      })
    },
  )
})

describe('the times of a token', () => {
  it('exp is checked with a tolerance of 30 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const token = await signed(claims({ exp: now() + 900 }))
    vi.setSystemTime(1_700_000_000_000 + 929_999)
    expect((await send(`Bearer ${token}`)).status).toBe(200)
    vi.setSystemTime(1_700_000_000_000 + 930_000)
    expect(await send(`Bearer ${token}`)).toMatchObject({
      status: 401,
      challenge: expect.stringMatching(/^Bearer error="invalid_token"/),
      body: { code: 'token_expired', detail: expect.stringContaining('has expired; sign in again') },
    })
  })

  it('iat is checked with a tolerance of 30 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    expect((await send(`Bearer ${await signed(claims({ iat: now() + 30 }))}`)).status).toBe(200)
    expect((await send(`Bearer ${await signed(claims({ iat: now() + 31 }))}`)).body.code).toBe(
      'invalid_token',
    )
  })

  it('nbf is checked with a tolerance of 30 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    expect((await send(`Bearer ${await signed(claims({ nbf: now() + 30 }))}`)).status).toBe(200)
    expect((await send(`Bearer ${await signed(claims({ nbf: now() + 31 }))}`)).body.code).toBe(
      'invalid_token',
    )
  })

  it('the signature of a token is checked before its times', async () => {
    const forged = await signed(claims({ exp: now() - 900 }), { ...generatePrivateKey(), kid: key.kid })
    expect((await send(`Bearer ${forged}`)).body).toMatchObject({
      code: 'invalid_token',
      detail: 'Authorization: must be an access token that this API issued',
    })
  })
})

describe('the key set', () => {
  it('the key set stays in use if it cannot be refreshed, without a fetch per request', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { state, fetchKeys } = countedKeys([publicKeyOf(key)])
    const send = guarded(fetchKeys)
    const authorization = `Bearer ${await signed(claims({ exp: now() + 86_400 }))}`
    expect((await send(authorization)).status).toBe(200)
    state.fails = true
    vi.setSystemTime(Date.now() + 301_000)
    for (let requests = 0; requests < 20; requests++) expect((await send(authorization)).status).toBe(200)
    expect(state.fetches).toBe(2)
    vi.setSystemTime(Date.now() + 3_600_000)
    expect((await send(authorization)).status).toBe(200)
  })

  it('requests get 503 until the first fetch of the key set succeeds', async () => {
    const { state, fetchKeys } = countedKeys([publicKeyOf(key)])
    state.fails = true
    const send = guarded(fetchKeys)
    const authorization = `Bearer ${await signed(claims())}`
    const answers = await Promise.all([send(authorization), send(authorization)])
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
    }
    state.fails = false
    expect((await send(authorization)).status).toBe(200)
  })

  it('a malformed token causes no fetch of the key set', async () => {
    const { state, fetchKeys } = countedKeys([publicKeyOf(key)])
    const send = guarded(fetchKeys)
    for (const token of ['', 'Bearer x', 'Bearer a.b.c', 'Basic dTpw']) await send(token)
    expect(state.fetches).toBe(0)
  })
})

describe('a verified token', () => {
  const verifications = () => vi.spyOn(crypto.subtle, 'verify')
  const authorizationOf = async (changes: Record<string, unknown> = {}) =>
    `Bearer ${await signed(claims(changes))}`

  it('a verified token is cached, so that its signature is verified once', async () => {
    const verify = verifications()
    const send = guarded()
    const authorization = await authorizationOf({ role: 'admin' })
    for (let uses = 0; uses < 5; uses++) {
      expect(await send(authorization, '/theirs')).toMatchObject({ status: 200, body: { userId } })
    }
    expect(verify).toHaveBeenCalledTimes(1)
  })

  it('a verified token expires while it is cached', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const send = guarded()
    const authorization = await authorizationOf()
    expect((await send(authorization)).status).toBe(200)
    vi.setSystemTime(1_700_000_000_000 + 930_000)
    expect(await send(authorization)).toMatchObject({ status: 401, body: { code: 'token_expired' } })
  })

  it.each([
    ['is withdrawn', [publicKeyOf(generatePrivateKey())]],
    [
      'is replaced by another key with the same kid',
      [{ ...publicKeyOf(generatePrivateKey()), kid: key.kid }],
    ],
  ])('a verified token becomes invalid when its key %s', async (_, next) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    let keys = [publicKeyOf(key)]
    const send = guarded(async () => keys)
    const authorization = await authorizationOf()
    expect((await send(authorization)).status).toBe(200)
    keys = next
    expect((await send(authorization)).status).toBe(200)
    vi.setSystemTime(Date.now() + 301_000)
    await vi.waitFor(async () => expect((await send(authorization)).body.code).toBe('invalid_token'))
  })

  it('a verified token is evicted when the cache is full and other tokens were used since', async () => {
    const verify = verifications()
    const send = guarded(undefined, 3)
    const [first = '', ...others] = await Promise.all(Array.from({ length: 4 }, () => authorizationOf()))
    const useToken = async (authorization: string) => {
      verify.mockClear()
      expect((await send(authorization)).status).toBe(200)
      return verify.mock.calls.length
    }
    expect(await useToken(first)).toBe(1)
    for (const other of others.slice(1)) await useToken(other)
    expect(await useToken(first)).toBe(0)
    for (const other of others) await useToken(other)
    expect(await useToken(first)).toBe(1)
  })

  it('a verified token never gets the user of another token', async () => {
    const send = guarded()
    const users = Array.from({ length: 50 }, (_, n) => n.toString(16).padStart(24, '0'))
    const tokens = await Promise.all(users.map((sub) => authorizationOf({ sub })))
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(tokens.map((token) => send(token)))
      expect(answers.map(({ body }) => body.userId)).toEqual(users)
    }
  })

  it('a verified token does not make a token with another signature valid', async () => {
    const send = guarded()
    const authorization = await authorizationOf()
    expect((await send(authorization)).status).toBe(200)
    const damaged = authorization.replace(/\.[^.]{4}([^.]*)$/, '.AAAA$1')
    for (let uses = 0; uses < 3; uses++) expect((await send(damaged)).body.code).toBe('invalid_token')
    expect((await send(authorization)).status).toBe(200)
  })

  it('a verified token is cached only if it was accepted', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const send = guarded()
    const authorization = await authorizationOf({ iat: now() + 60 })
    expect((await send(authorization)).body.code).toBe('invalid_token')
    vi.setSystemTime(1_700_000_000_000 + 30_000)
    expect((await send(authorization)).status).toBe(200)
  })
})
