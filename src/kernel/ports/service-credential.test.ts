import { createHmac } from 'node:crypto'
import { sign } from 'hono/jwt'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { problemResponse } from '#kernel/http/problem-documents.ts'
import { createRouter } from '#kernel/http/router.ts'
import { createTokenIssuer } from '#src/modules/auth/sessions/access-token-issuer.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { createCredentialIssuer, credentialGuard } from './service-credential.ts'

const secret = 'the secret that all services of a shop share'
const oldSecret = 'the secret that is being replaced by the other'

const app = createRouter()
app.use('/internal/product/*', credentialGuard([secret, oldSecret], 'product'))
app.get('/internal/product/things', (c) => c.json('inside'))
app.onError((error, c) => {
  if (error instanceof DomainError) return problemResponse(c, error)
  throw error
})

const request = async (authorization?: string) =>
  app.request('/internal/product/things', { headers: authorization === undefined ? {} : { authorization } })

const now = () => Math.floor(Date.now() / 1000)
const audience = 'trivet-internal:product'

afterEach(() => {
  vi.useRealTimers()
})

describe('the guard of /internal', () => {
  it('the guard of /internal admits a credential for its module', async () => {
    const credential = await createCredentialIssuer(secret)('product')
    expect(await (await request(`Bearer ${credential}`)).json()).toBe('inside')
  })

  it('the guard of /internal admits a credential that was made with any of its secrets, while the secret is replaced', async () => {
    const credential = await createCredentialIssuer(oldSecret)('product')
    expect(await (await request(`Bearer ${credential}`)).json()).toBe('inside')
  })

  it.each([undefined, '', 'Bearer', 'Basic dHJpdmV0OnNlY3JldA==', secret])(
    'the guard of /internal answers 401 to a request without a credential (%s)',
    async (authorization) => {
      const answer = await request(authorization)
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect(await answer.json()).toMatchObject({ code: 'unauthenticated' })
    },
  )

  const unsigned = (header: object, claims: object) =>
    [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  const good = () => ({ aud: audience, iat: now(), exp: now() + 60 })

  it.each<[string, () => string | Promise<string>]>([
    ['made with another secret', () => createCredentialIssuer(`${secret}!`)('product')],
    ['for another module', () => createCredentialIssuer(secret)('auth')],
    ['without an audience', () => sign({ iat: now(), exp: now() + 60 }, secret)],
    ['that has expired', () => sign({ ...good(), iat: now() - 90, exp: now() - 31 }, secret)],
    ['without exp', () => sign({ aud: audience, iat: now() }, secret)],
    ['without iat', () => sign({ aud: audience, exp: now() + 60 }, secret)],
    ['whose exp is not a number', () => sign({ ...good(), exp: 'never' as unknown as number }, secret)],
    ['with a longer lifetime than the issuer gives', () => sign({ ...good(), exp: now() + 61 }, secret)],
    ['issued in the future', () => sign({ ...good(), iat: now() + 40, exp: now() + 90 }, secret)],
    ['signed with another algorithm', () => sign(good(), secret, 'HS512')],
    ['that is not signed', () => `${unsigned({ alg: 'none', typ: 'JWT' }, good())}.`],
    [
      'whose claims were changed',
      async () => {
        const [header, , signature] = (await createCredentialIssuer(secret)('auth')).split('.')
        return [header, unsigned({}, good()).split('.')[1], signature].join('.')
      },
    ],
    ['that is not a token', () => createHmac('sha256', secret).update(audience).digest('base64url')],
    [
      "that is a user's access token",
      () =>
        createTokenIssuer({ key: generatePrivateKey(), issuer: audience, lifetimeSeconds: 30 }).issue({
          userId: '0123456789abcdef01234567',
          role: 'admin',
        }),
    ],
  ])('the guard of /internal answers 401 to a credential %s', async (_what, credential) => {
    const answer = await request(`Bearer ${await credential()}`)
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(await answer.json()).toMatchObject({ code: 'invalid_token' })
  })

  it.each([-29, 29])('the guard of /internal tolerates a clock that is %d seconds off', async (seconds) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const credential = await createCredentialIssuer(secret)('product')
    vi.setSystemTime(Date.now() + seconds * 1000)
    expect((await request(`Bearer ${credential}`)).status).toBe(200)
  })

  it('the guard of /internal refuses a credential after its lifetime of 60 s and a tolerance of 30 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const credential = await createCredentialIssuer(secret)('product')
    vi.setSystemTime(Date.now() + 89_999)
    expect((await request(`Bearer ${credential}`)).status).toBe(200)
    vi.setSystemTime(Date.now() + 1)
    expect((await request(`Bearer ${credential}`)).status).toBe(401)
  })
})

describe('the issuer', () => {
  it('the issuer of credentials reuses a credential for 20 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const issue = createCredentialIssuer(secret)
    const first = await issue('product')
    vi.setSystemTime(Date.now() + 19_000)
    expect(await issue('product')).toBe(first)
    vi.setSystemTime(Date.now() + 1_000)
    const second = await issue('product')
    expect(second).not.toBe(first)
    expect((await request(`Bearer ${second}`)).status).toBe(200)
  })

  it('the issuer of credentials gives credentials that are valid for at least 30 s', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const issue = createCredentialIssuer(secret)
    await issue('product')
    vi.setSystemTime(Date.now() + 19_999)
    const oldest = await issue('product')
    const claims = JSON.parse(Buffer.from(oldest.split('.')[1] ?? '', 'base64url').toString())
    expect(claims.exp - now()).toBeGreaterThan(30)
  })

  it('the issuer of credentials makes a credential for each target', async () => {
    const issue = createCredentialIssuer(secret)
    expect(await issue('product')).not.toBe(await issue('auth'))
    expect(await issue('product')).toBe(await issue('product'))
  })
})
