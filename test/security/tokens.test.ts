import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
} from 'node:crypto'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decode } from 'hono/jwt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { generatePrivateKey, type PrivateKey, publicKeyOf } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import type { Answer, RequestOptions } from '#test/support/client.ts'
import { type Deployment, deploy, type Shape, shapes } from '#test/support/processes.ts'
import { admin, startShop } from '#test/support/shop.ts'

// Access tokens at a route of each module, in real processes. The test has their private keys and can sign any token.
const [key, verifyOnly, stranger] = [generatePrivateKey(), generatePrivateKey(), generatePrivateKey()]
const internalSecret = `internal ${randomUUID()} ${randomUUID()}`

const encoded = (part: unknown) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
const keyObject = ({ kty, crv, x, d }: PrivateKey): KeyObject =>
  createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' })

type Signer = (content: string) => Buffer | string
const by =
  (key: PrivateKey | KeyObject, digest: string | null = null): Signer =>
  (content) =>
    sign(digest, Buffer.from(content), 'kid' in key ? keyObject(key) : key)
const hmac =
  (digest: string, secret: string | Buffer): Signer =>
  (content) =>
    createHmac(digest, secret).update(content).digest()

/** Builds a JWS. A part that is text is used as it is, so that it may be malformed. */
const jws = (header: unknown, payload: unknown, signer: Signer) => {
  const content = `${encoded(header)}.${encoded(payload)}`
  const signature = signer(content)
  return `${content}.${typeof signature === 'string' ? signature : signature.toString('base64url')}`
}

const now = () => Math.floor(Date.now() / 1000)
const header = (changes: Record<string, unknown> = {}) => ({
  alg: 'EdDSA',
  typ: 'JWT',
  kid: key.kid,
  ...changes,
})

let adminId = ''
const claims = (changes: Record<string, unknown> = {}) => ({
  iss: 'trivet',
  aud: 'trivet',
  sub: adminId,
  role: 'admin',
  iat: now(),
  exp: now() + 900,
  jti: randomUUID(),
  ...changes,
})
/** Returns a token with these claims, signed as auth does. */
const genuine = (changes: Record<string, unknown> = {}, ofHeader: Record<string, unknown> = {}) =>
  jws(header(ofHeader), claims(changes), by(key))
/** Returns a token that is signed with an unknown key. */
const forged = (ofHeader: Record<string, unknown> = {}) => jws(header(ofHeader), claims(), by(stranger))

/** Returns the token with a changed signature. */
const withSignature = (token: string, change: (signature: Buffer) => Buffer | string) => {
  const at = token.lastIndexOf('.') + 1
  const changed = change(Buffer.from(token.slice(at), 'base64url'))
  return token.slice(0, at) + (typeof changed === 'string' ? changed : changed.toString('base64url'))
}
const flipped = (at: number) => (signature: Buffer) => {
  signature[at] = (signature[at] ?? 0) ^ 1
  return signature
}
/** Adds the group order L to S. A verifier must refuse that (RFC 8032, 5.1.7). */
const malleated = (signature: Buffer) => {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order
  const bytes = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse()
  return Buffer.concat([signature.subarray(0, 32), bytes])
}

const jwk = publicKeyOf(key)
const spki = createPublicKey(keyObject(key))
const pem = String(spki.export({ type: 'spki', format: 'pem' }))
const publicForms: [string, string | Buffer][] = [
  ['its bytes', Buffer.from(key.x, 'base64url')],
  ['its x', key.x],
  ['its JWK', JSON.stringify(jwk)],
  ['the key set', JSON.stringify({ keys: [jwk, publicKeyOf(verifyOnly)] })],
  ['its PEM', pem],
  ['its PEM, trimmed', pem.trim()],
  ['its DER', spki.export({ type: 'spki', format: 'der' })],
]
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const inRawForm: Signer = (content) =>
  sign('sha256', Buffer.from(content), { key: ec, dsaEncoding: 'ieee-p1363' })
const ed448 = generateKeyPairSync('ed448').privateKey

/** A server to which headers of forged tokens point. */
let elsewhere: Server
let elsewhereUrl = ''
let visits = 0
beforeAll(async () => {
  elsewhere = createServer((_request, response) => {
    visits += 1
    response.end(
      JSON.stringify({ keys: [publicKeyOf(stranger), { ...publicKeyOf(stranger), kid: key.kid }] }),
    )
  })
  await new Promise<void>((listening) => elsewhere.listen(0, '127.0.0.1', listening))
  elsewhereUrl = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/jwks.json`
})
afterAll(() => {
  elsewhere.closeAllConnections()
  elsewhere.close()
})

type Case = [string, () => string | Promise<string>]
const refused: Case[] = [
  // The signature is correct, but its algorithm is not accepted.
  ...[
    ...['none', 'None', 'NONE', 'nOnE', 'HS256', 'HS512', 'RS256', 'PS256', 'ES256', 'ES512', 'ES256K'],
    ...['Ed25519', 'Ed448', 'eddsa', 'EDDSA', ' EdDSA', '', null, 0, ['EdDSA'], undefined],
  ].map((alg): Case => [`with the alg ${JSON.stringify(alg)}`, () => genuine({}, { alg })]),
  ...['none', 'None', 'NONE', 'nOnE'].map(
    (alg): Case => [
      `that is not signed, with the alg ${alg}`,
      () => jws(header({ alg }), claims(), () => ''),
    ],
  ),
  ['that is not signed', () => jws(header(), claims(), () => '')],
  ...publicForms.flatMap(([what, form]) =>
    ['256', '384', '512'].map(
      (bits): Case => [
        `signed by HMAC (HS${bits}) with the public key as its secret: ${what}`,
        () => jws(header({ alg: `HS${bits}` }), claims(), hmac(`sha${bits}`, form)),
      ],
    ),
  ),
  ['signed by HMAC with an empty secret', () => jws(header({ alg: 'HS256' }), claims(), hmac('sha256', ''))],
  ['signed by HMAC with the alg EdDSA', () => jws(header(), claims(), hmac('sha512', key.x))],
  ['signed with RSA', () => jws(header({ alg: 'RS256' }), claims(), by(rsa, 'sha256'))],
  ['signed with RSA and the alg EdDSA', () => jws(header(), claims(), by(rsa, 'sha256'))],
  ['signed with P-256', () => jws(header({ alg: 'ES256' }), claims(), by(ec, 'sha256'))],
  ['signed with P-256 and the alg EdDSA', () => jws(header(), claims(), by(ec, 'sha256'))],
  ['signed with P-256 in its raw form of 64 bytes', () => jws(header({ alg: 'ES256' }), claims(), inRawForm)],
  ['signed with Ed448', () => jws(header(), claims(), by(ed448))],

  // The key is not the key of the kid.
  ['signed with another key under a known kid', () => forged()],
  ['signed with one key under the kid of another', () => genuine({}, { kid: verifyOnly.kid })],
  ['under an unknown kid', () => forged({ kid: stranger.kid })],
  ['signed with a known key under an unknown kid', () => genuine({}, { kid: stranger.kid })],
  ...[
    ...['', ' ', '../../../../etc/passwd', 'file:///dev/null', "' OR '1'='1", '"; drop table keys; --'],
    ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', '\0', '💥', 'x'.repeat(8_000)],
    ...[undefined, null, 0, true, [key.kid], { $ne: '' }],
  ].map(
    (kid): Case => [
      `whose kid is ${JSON.stringify(kid)?.slice(0, 60)}`,
      () => jws(header({ kid }), claims(), by(key)),
    ],
  ),
  ['that contains its key', () => forged({ jwk: { ...publicKeyOf(stranger), kid: key.kid } })],
  ['that contains its key and no kid', () => forged({ jwk: publicKeyOf(stranger), kid: undefined })],
  ['that contains its private key', () => forged({ jwk: stranger })],
  ...['jku', 'x5u'].flatMap((name): Case[] => [
    [`whose ${name} is the URL of its key`, () => forged({ [name]: elsewhereUrl })],
    [
      `whose ${name} is the URL of its unknown key`,
      () => forged({ [name]: elsewhereUrl, kid: stranger.kid }),
    ],
    [
      `whose kid and ${name} are the URL of its key`,
      () => forged({ [name]: elsewhereUrl, kid: elsewhereUrl }),
    ],
  ]),
  ['that contains a certificate', () => forged({ x5c: [stranger.x], x5t: stranger.x })],

  // The header is invalid, or changes the meaning of the token.
  ['with a critical header', () => genuine({}, { crit: ['exp'], exp: now() + 900 })],
  ['with an empty list of critical headers', () => genuine({}, { crit: [] })],
  ['whose claims are not encoded', () => genuine({}, { crit: ['b64'], b64: false })],
  ['of another type', () => genuine({}, { typ: 'logout+jwt' })],
  ['whose type is not a string', () => genuine({}, { typ: ['JWT'] })],
  ...['null', '[]', '"EdDSA"', '{', ''].map(
    (text): Case => [`whose header is ${text || 'empty'}`, () => jws(text, claims(), by(key))],
  ),

  // A claim is missing or invalid.
  ...['exp', 'iat', 'iss', 'aud', 'jti', 'sub', 'role'].map(
    (claim): Case => [`without ${claim}`, () => genuine({ [claim]: undefined })],
  ),
  ...['exp', 'iat', 'nbf'].flatMap((claim) =>
    [null, '9999999999', 'never', true, {}, [9_999_999_999]].map(
      (value): Case => [`whose ${claim} is ${JSON.stringify(value)}`, () => genuine({ [claim]: value })],
    ),
  ),
  ['that expires in the year 10^292', () => genuine({ exp: 1e300 })],
  ...['1e999', '-1e999', 'NaN', 'Infinity', '0x7fffffff'].map(
    (number): Case => [
      `whose exp is ${number}`,
      () => jws(header(), JSON.stringify(claims({ exp: 'EXP' })).replace('"EXP"', number), by(key)),
    ],
  ),
  ['that was issued in the future', () => genuine({ iat: now() + 90 })],
  ['that is not valid yet', () => genuine({ nbf: now() + 90 })],
  ...['somebody', 'Trivet', 'trivet ', '', ['trivet'], { 0: 'trivet' }, true].map(
    (iss): Case => [`of the issuer ${JSON.stringify(iss)}`, () => genuine({ iss })],
  ),
  ...[
    'trivet-internal:product',
    'TRIVET',
    'trivet,other',
    [],
    ['other'],
    [['trivet']],
    { 0: 'trivet' },
    true,
  ].map((aud): Case => [`for the audience ${JSON.stringify(aud)}`, () => genuine({ aud })]),
  ...['', 'me', 'A'.repeat(24), { $ne: null }, ['0123456789abcdef01234567'], 7].map(
    (sub): Case => [`of the subject ${JSON.stringify(sub)}`, () => genuine({ sub })],
  ),
  ...['root', 'Admin', '', null, ['admin'], { admin: true }].map(
    (role): Case => [`with the role ${JSON.stringify(role)}`, () => genuine({ role })],
  ),
  ...['', 7, null].map((jti): Case => [`whose jti is ${JSON.stringify(jti)}`, () => genuine({ jti })]),
  ...['null', '[]', '"admin"', '7', '{', ''].map(
    (text): Case => [`whose claims are ${text || 'empty'}`, () => jws(header(), text, by(key))],
  ),

  // The signature or the form is invalid.
  ['whose claims were changed', () => genuine().replace(/\.[^.]*\./, `.${encoded(claims())}.`)],
  ['whose header was changed', () => genuine().replace(/^[^.]*/, encoded({ ...header(), extra: 1 }))],
  ['with the signature of another token', () => genuine().replace(/[^.]*$/, genuine().split('.')[2] ?? '')],
  ...[0, 31, 32, 63].map(
    (at): Case => [`whose signature is damaged in byte ${at}`, () => withSignature(genuine(), flipped(at))],
  ),
  ['whose signature is all zeros', () => withSignature(genuine(), () => Buffer.alloc(64))],
  ['whose signature is malleated', () => withSignature(genuine(), malleated)],
  [
    'whose signature differs in its unused last bits',
    () => genuine().replace(/.$/, (last) => ({ A: 'B', Q: 'R', g: 'h', w: 'x' })[last] ?? ''),
  ],
  ['whose signature is padded', () => `${genuine()}==`],
  [
    'whose signature is in Base64 instead of Base64url',
    () => withSignature(genuine(), (signature) => signature.toString('base64')),
  ],
  ['whose signature is cut short', () => genuine().slice(0, -2)],
  [
    'whose signature is too long',
    () => withSignature(genuine(), (signature) => Buffer.concat([signature, signature])),
  ],
  ['without a signature', () => genuine().replace(/\.[^.]*$/, '')],
  ['with an empty signature', () => genuine().replace(/[^.]*$/, '')],
  ['with empty claims', () => genuine().replace(/\.[^.]*\./, '..')],
  ['with a fourth part', () => `${genuine()}.${key.x}`],
  ['with a dot at its end', () => `${genuine()}.`],
  ['with a dot at its beginning', () => `.${genuine()}`],
  ['of five parts, as if it were encrypted', () => `${genuine()}.${key.x}.${key.x}`],
  ['that is given twice', () => `${genuine()},${genuine()}`],
  ['in quotes', () => `"${genuine()}"`],
  [
    'written as JSON (RFC 7515, 7.2.2)',
    () => {
      const [protectedHeader, payload, signature] = genuine().split('.')
      return JSON.stringify({ protected: protectedHeader, payload, signature })
    },
  ],
  ['of three letters and two dots', () => 'a.b.c'],
  ['that is the word null', () => 'null'],

  // The text is another token, or a public value of this program.
  ...registry.map(
    ({ name }): Case => [
      `that is a service credential for ${name}`,
      () => createCredentialIssuer(internalSecret)(name),
    ],
  ),
  [
    'that is signed as service credentials are',
    () => jws(header({ alg: 'HS256' }), claims(), hmac('sha256', internalSecret)),
  ],
  [
    'that is a service credential signed as tokens are',
    () => jws(header(), { aud: 'trivet-internal:product', iat: now(), exp: now() + 60 }, by(key)),
  ],
]

describe.each(Object.keys(shapes) as Shape[])('access tokens, %s', (shape) => {
  let shop: Deployment
  beforeAll(async () => {
    shop = await deploy(shape, {
      // Tests share two cores, so requests may be slow.
      REQUEST_TIMEOUT: '20s',
      JWT_PRIVATE_KEYS: JSON.stringify([key, verifyOnly]),
      INTERNAL_SECRET: internalSecret,
    })
    adminId = String(decode(shop.adminToken).payload.sub)
  })
  afterAll(async () => {
    expect(await shop.stop()).toBe(0)
  })

  /** Sends a request to a protected route of each module. */
  const present = async (options: RequestOptions) => ({
    auth: await shop.get('/profile', options),
    product: await shop.post('/products', {
      ...options,
      body: { name: 'Cup', price: 1, stock: 0 },
    }),
    order: await shop.get('/orders', options),
  })
  const verdict = ({ status, body }: Answer) => (status < 300 ? status : `${status} ${body.code}`)
  const verdicts = async (options: RequestOptions) => {
    const { auth, product, order } = await present(options)
    return { auth: verdict(auth), product: verdict(product), order: verdict(order) }
  }
  const everywhere = (verdict: string) => ({ auth: verdict, product: verdict, order: verdict })
  const accepted = { auth: 200, product: 201, order: 200 }
  const productsSoFar = async () =>
    (await shop.collections('product')).collection('products').countDocuments()

  it('every module accepts the tokens of auth', async () => {
    expect(await verdicts({ token: shop.adminToken })).toEqual(accepted)
    expect(await verdicts({ token: genuine() })).toEqual(accepted)
    expect(await verdicts({ token: genuine({ aud: ['other', 'trivet'] }) })).toEqual(accepted)
  })

  it('tokens are signed with the first key and verified with every key', async () => {
    expect(decode(shop.adminToken).header).toEqual({ alg: 'EdDSA', typ: 'JWT', kid: key.kid })
    const { body } = await shop.get('/.well-known/jwks.json')
    expect(body.keys).toEqual([publicKeyOf(key), publicKeyOf(verifyOnly)])
    const token = jws(header({ kid: verifyOnly.kid }), claims(), by(verifyOnly))
    expect(await verdicts({ token })).toEqual(accepted)
  })

  it('tokens have issuer, audience, subject, role, times and a unique id', async () => {
    const account = await shop.customer()
    const before = now()
    const tokens: string[] = []
    for (let signIns = 0; signIns < 3; signIns++) {
      const { accessToken, refreshToken } = await shop.signIn(account.email, account.password)
      const refreshed = await shop.post('/token/refresh', { body: { refreshToken } })
      tokens.push(accessToken, refreshed.body.accessToken)
    }
    for (const token of tokens) {
      const { header, payload } = decode(token)
      expect(header).toEqual({ alg: 'EdDSA', typ: 'JWT', kid: key.kid })
      expect(payload).toEqual({
        iss: 'trivet',
        aud: 'trivet',
        sub: account.userId,
        role: 'customer',
        iat: expect.toSatisfy((iat) => Number.isInteger(iat) && iat >= before && iat <= now()),
        exp: Number(payload.iat) + 900,
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      })
    }
    expect(new Set(tokens.map((token) => decode(token).payload.jti)).size).toBe(6)
  })

  describe('an invalid token', () => {
    it.each(refused)('a token %s is refused as invalid_token', async (_, make) => {
      const before = await productsSoFar()
      const token = await make()
      const answers = await present({ token })
      for (const [module, { status, headers, body }] of Object.entries(answers)) {
        expect({ status, code: body.code }, module).toEqual({ status: 401, code: 'invalid_token' })
        expect(headers.get('www-authenticate'), module).toBe('Bearer error="invalid_token"')
      }
      expect(await productsSoFar()).toBe(before)
    })

    it('a refresh token is refused as invalid_token', async () => {
      const { refreshToken } = await shop.signIn(admin.email, admin.password)
      expect(await verdicts({ token: refreshToken })).toEqual(everywhere('401 invalid_token'))
    })

    it('every invalid token gets the same answer', async () => {
      const answers = new Set<string>()
      for (const [, make] of refused) {
        const { requestId, ...problem } = (await shop.get('/orders', { token: await make() })).body
        answers.add(JSON.stringify(problem))
      }
      expect([...answers]).toHaveLength(1)
    })

    it('no key is fetched from a URL in a token', async () => {
      for (const name of ['jku', 'x5u', 'jwk', 'x5c', 'iss']) {
        for (const kid of [key.kid, stranger.kid, elsewhereUrl, undefined]) {
          const token = forged({ kid, [name]: elsewhereUrl })
          expect(await verdicts({ token })).toEqual(everywhere('401 invalid_token'))
        }
        // The URL in a genuine token is ignored, too.
        await present({ token: genuine({}, { [name]: elsewhereUrl }) })
      }
      expect(visits).toBe(0)
    })
  })

  describe('the times of a token', () => {
    it.each([
      ['that expired forty seconds ago', () => genuine({ exp: now() - 40 })],
      ['that expired in 1970', () => genuine({ exp: 1 })],
      ['with 0 as its exp', () => genuine({ exp: 0 })],
      ['with a negative exp', () => genuine({ exp: -1_000_000 })],
    ])('a token %s is refused as token_expired', async (_, make) => {
      const answers = await present({ token: make() })
      for (const [module, answer] of Object.entries(answers)) {
        expect(verdict(answer), module).toBe('401 token_expired')
        expect(answer.headers.get('www-authenticate'), module).toMatch(/^Bearer error="invalid_token"/)
      }
    })

    it.each([
      ['that expired ten seconds ago', () => genuine({ exp: now() - 10 })],
      ['whose iat is 25 s in the future', () => genuine({ iat: now() + 25 })],
      ['whose nbf is 25 s in the future', () => genuine({ nbf: now() + 25 })],
    ])('a token %s is accepted, because clocks differ', async (_, make) => {
      expect(await verdicts({ token: make() })).toEqual(accepted)
    })
  })

  describe('a request without a valid token', () => {
    const expired = { exp: now() - 900 }
    it('an expired forged token is refused as invalid_token, not as token_expired', async () => {
      for (const ofHeader of [header(), header({ kid: stranger.kid })]) {
        const token = jws(ofHeader, claims(expired), by(stranger))
        expect(await verdicts({ token })).toEqual(everywhere('401 invalid_token'))
      }
    })

    it('an invalid token is refused before the rest of the request is validated', async () => {
      const token = forged()
      const requests: [string, string, RequestOptions][] = [
        ['POST', '/products', { body: { name: 7 } }],
        ['POST', '/products', { raw: '{"name": ' }],
        ['POST', '/products', { raw: 'name=Cup', headers: { 'Content-Type': 'text/plain' } }],
        ['PUT', '/products/nothing', { body: { name: 'Cup', version: 1 } }],
        ['DELETE', '/products/0123456789abcdef01234567', {}],
        ['GET', '/orders?limit=never&status=none', {}],
        ['GET', '/orders/nothing', {}],
        ['POST', '/orders', { body: {}, headers: { 'Idempotency-Key': '' } }],
        ['PUT', '/profile/password', { body: {} }],
      ]
      for (const [method, path, options] of requests) {
        const answer = await shop.request(method, path, { ...options, token })
        expect(verdict(answer), `${method} ${path}`).toBe('401 invalid_token')
      }
    })

    it.each<[string, (token: string) => string]>([
      ['no scheme', (token) => token],
      ['another scheme', (token) => `Basic ${token}`],
      ['a scheme that begins alike', (token) => `Bearers ${token}`],
      ['no space', (token) => `Bearer${token}`],
      ['a tab', (token) => `Bearer\t${token}`],
      ['two tokens', (token) => `Bearer ${token} ${token}`],
      ['two schemes', (token) => `Bearer ${token}, Bearer ${token}`],
      ['text after the token', (token) => `Bearer ${token} admin`],
      ['parameters', (token) => `Bearer token="${token}", realm="trivet"`],
      ['no token', () => 'Bearer'],
      ['nothing', () => ''],
    ])('an Authorization header is refused as unauthenticated if it has %s', async (_, value) => {
      const headers = { Authorization: value(genuine()) }
      expect(await verdicts({ headers })).toEqual(everywhere('401 unauthenticated'))
    })

    it('a token outside the Authorization header is refused as unauthenticated', async () => {
      const token = genuine()
      expect(
        await verdicts({ headers: { Cookie: `accessToken=${token}; Authorization=Bearer ${token}` } }),
      ).toEqual(everywhere('401 unauthenticated'))
      for (const path of ['/profile', '/orders']) {
        const answer = await shop.get(`${path}?access_token=${token}&Authorization=Bearer%20${token}`)
        expect(verdict(answer), path).toBe('401 unauthenticated')
      }
    })

    it.each<[string, () => [string, string]]>([
      ['a genuine token first', () => [genuine(), forged()]],
      ['a genuine token last', () => [forged(), genuine()]],
      ['the same token twice', () => [genuine(), genuine()]],
    ])('two Authorization headers are refused: %s', async (_, tokens) => {
      const values = tokens().map((token) => `Bearer ${token}`)
      for (const path of ['/profile', '/orders']) expect(await statusOf(path, values), path).toBe(401)
    })

    /** Sends each value in a header line of its own, which fetch cannot do. */
    const statusOf = (path: string, authorizations: string[]): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const lines = authorizations.flatMap((value) => ['Authorization', value])
        const headers = ['Host', '127.0.0.1', ...lines]
        const sent = request(`${shop.url}${path}`, { headers }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
        sent.once('error', reject)
        sent.end()
      })

    it('/internal refuses an access token', async () => {
      for (const operation of ['reserve', 'release', 'getProducts']) {
        const path = `/internal/product/${operation}`
        const answer = await shop.post(path, { token: genuine(), body: { calls: [] } })
        expect(verdict(answer), path).toBe(shape === 'split' ? '404 route_not_found' : '401 invalid_token')
      }
    })
  })
})

it('tokens live for ACCESS_TOKEN_TTL', async () => {
  const shop = await startShop({ environment: { ACCESS_TOKEN_TTL: '90s' } })
  const { body } = await shop.post('/login', { body: { email: admin.email, password: admin.password } })
  const { payload } = decode(body.accessToken)
  expect({ expiresIn: body.expiresIn, lifetime: Number(payload.exp) - Number(payload.iat) }).toEqual({
    expiresIn: 90,
    lifetime: 90,
  })
  await shop.close()
})
