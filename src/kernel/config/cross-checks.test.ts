import { createPrivateKey, createPublicKey, randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { faultsOf, internalSecret, load, production } from '#test/support/configuration.ts'

describe('a need that is neither hosted nor has a URL', () => {
  it('a need that is neither hosted nor has a URL is refused with the setting that is missing', () => {
    expect(faultsOf({ SERVICE: 'order', AUTH_URL: 'http://auth.example' })).toEqual([
      'order needs product: set PRODUCT_URL or host product (SERVICE)',
    ])
  })

  it('a need without a URL is refused once for each module that has it', () => {
    expect(faultsOf({ SERVICE: 'order,product' })).toEqual([
      expect.stringMatching(/^product needs auth: set AUTH_URL or host auth/),
      expect.stringMatching(/^order needs auth: set AUTH_URL or host auth/),
    ])
  })

  it('a need with an invalid URL is not reported a second time', () => {
    expect(faultsOf({ SERVICE: 'product', AUTH_URL: 'auth:3000' })).toEqual([
      'AUTH_URL must be an http or https URL',
    ])
  })

  it('the needs of a module that is not hosted are not required', () => {
    expect(faultsOf({ SERVICE: 'auth' })).toEqual([])
  })
})

describe('production', () => {
  it('production starts with a database and keys', () => {
    expect(faultsOf(production)).toEqual([])
  })

  it.each(['MONGODB_URI', 'JWT_PRIVATE_KEYS'])('production needs %s', (name) => {
    const faults = faultsOf({ ...production, [name]: '' })
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(new RegExp(`^${name} is required`))
  })

  it('production needs JWT_PRIVATE_KEYS only if auth is hosted', () => {
    const { NODE_ENV, MONGODB_URI } = production
    const remote = { AUTH_URL: 'http://auth.example', INTERNAL_SECRET: internalSecret }
    expect(faultsOf({ NODE_ENV, MONGODB_URI, SERVICE: 'product', ...remote })).toEqual([])
  })

  it('production needs INTERNAL_SECRET only if a needed module is remote', () => {
    const { NODE_ENV, MONGODB_URI } = production
    const split = { NODE_ENV, MONGODB_URI, SERVICE: 'product', AUTH_URL: 'http://auth.example' }
    expect(faultsOf(split)).toEqual([expect.stringMatching(/^INTERNAL_SECRET is required/)])
    expect(faultsOf({ ...production, SERVICE: 'auth' })).toEqual([])
    // The process does not use the URL of a module that it hosts, so no need is remote.
    expect(faultsOf({ ...production, PRODUCT_URL: 'http://product.example' })).toEqual([])
  })

  it('production refuses the default secret of development', () => {
    const INTERNAL_SECRET = load({ SERVICE: 'auth' }).internalSecrets?.[0] ?? ''
    expect(faultsOf({ INTERNAL_SECRET })).toEqual([])
    expect(faultsOf({ ...production, INTERNAL_SECRET })).toEqual([
      expect.stringMatching(/^INTERNAL_SECRET must not be the development value/),
    ])
  })

  it('production refuses a secret under 32 bytes, counted as UTF-8', () => {
    expect(faultsOf({ ...production, INTERNAL_SECRET: 'x'.repeat(31) })).toEqual([
      'INTERNAL_SECRET must have 32 bytes or more, as each of a comma list',
    ])
    const accented = 'àâäçéèêëîïôöùûüÿ'
    expect(load({ ...production, INTERNAL_SECRET: accented }).internalSecrets).toEqual([accented])
  })

  it.each([
    'changeme'.repeat(4),
    'change-me-to-something-long-and-unguessable',
    'ChangeThisToARandomSecretOf32Bytes',
    'replace this with 32 random characters',
    'your-internal-secret-of-32-bytes-or-more',
  ])('production refuses a placeholder as a secret: %s', (guessable) => {
    const fault = expect.stringMatching(/^INTERNAL_SECRET must not be a placeholder/)
    expect(faultsOf({ ...production, INTERNAL_SECRET: guessable })).toEqual([fault])
    expect(faultsOf({ ...production, INTERNAL_SECRET: `${internalSecret},${guessable}` })).toEqual([fault])
    expect(faultsOf({ INTERNAL_SECRET: guessable })).toEqual([])
  })

  it('production accepts the output of usual generators of secrets', () => {
    for (let n = 0; n < 50; n++) {
      const drawn = [
        randomBytes(16).toString('hex'),
        randomBytes(32).toString('hex'),
        randomBytes(24).toString('base64'),
        randomBytes(32).toString('base64url'),
        randomUUID(),
      ]
      expect(load({ ...production, INTERNAL_SECRET: drawn.join(',') }).internalSecrets).toEqual(drawn)
    }
  })

  it.each([
    ['RFC 8037, appendix A', 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A'],
    ['RFC 8032, 7.1, test 2', 'TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs'],
    ['RFC 8032, 7.1, test 3', 'xaqN9D-fg3vtt0QvMdy3sWbThTUHbwlLhc46LgtEWPc'],
    ['RFC 8410, 10.3', '1O5y2_kTWErVttjx92n4rTr-fCjL8dT74Jeoj0R1WEI'],
    ['zero bytes', Buffer.alloc(32).toString('base64url')],
  ])('production refuses the published key of %s as the first key or a later one', (_whose, d) => {
    const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
    const der = Buffer.concat([prefix, Buffer.from(d, 'base64url')])
    const { x } = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).export({
      format: 'jwk',
    })
    const published = { kty: 'OKP', crv: 'Ed25519', kid: 'example', x, d }
    for (const held of [[published], [generatePrivateKey(), published]]) {
      const JWT_PRIVATE_KEYS = JSON.stringify(held)
      expect(faultsOf({ ...production, JWT_PRIVATE_KEYS })).toEqual([
        expect.stringMatching(/^JWT_PRIVATE_KEYS must not hold a key that was published/),
      ])
      expect(faultsOf({ JWT_PRIVATE_KEYS })).toEqual([])
    }
  })

  it('production refuses a weak admin password, which development accepts', () => {
    const admin = { ADMIN_USERNAME: 'boss', ADMIN_EMAIL: 'chief@example.com' }
    for (const [ADMIN_PASSWORD, reason] of [
      ['trustno1', /^ADMIN_PASSWORD must not be one of the most common/],
      ['Summer2024!!', /^ADMIN_PASSWORD must not be easily guessed: .*common word or name and a date/],
      ['the Boss of all', /^ADMIN_PASSWORD must not contain the username/],
      ['Chief of staff', /^ADMIN_PASSWORD must not contain the e-mail/],
      ['zebra-cloud', /^ADMIN_PASSWORD must have 12 characters or more/],
      ['wçqzk ♥ jxé', /^ADMIN_PASSWORD must have 12 characters or more/],
    ] as const) {
      expect(faultsOf({ ...production, ...admin, ADMIN_PASSWORD })).toEqual([expect.stringMatching(reason)])
      expect(faultsOf({ ...admin, ADMIN_PASSWORD })).toEqual([])
    }
    expect(faultsOf({ ...production, ...admin, ADMIN_PASSWORD: 'twelve chars' })).toEqual([])
    expect(faultsOf({ ...production, ...admin, ADMIN_PASSWORD: 'short' })).toEqual([
      'ADMIN_PASSWORD must have 8 characters or more',
    ])
  })

  it('production names every refused secret without its value', () => {
    const [one, other] = [generatePrivateKey(), generatePrivateKey()]
    const wrong = {
      NODE_ENV: 'production',
      MONGODB_URI: 'mongo://user:hidden-of-mongo@db.example',
      INTERNAL_SECRET: `hidden-and-short,${internalSecret}`,
      JWT_PRIVATE_KEYS: JSON.stringify([{ ...one, d: other.d }]),
      BCRYPT_COST: '9',
      ADMIN_USERNAME: 'boss',
      ADMIN_EMAIL: 'boss@example.com',
      ADMIN_PASSWORD: 'trustno1',
    }
    const faults = faultsOf(wrong)
    const { NODE_ENV: _, ADMIN_USERNAME: _name, ADMIN_EMAIL: _email, ...secrets } = wrong
    expect(faults.map((fault) => fault.split(' ')[0]).toSorted()).toEqual(Object.keys(secrets).toSorted())
    for (const hidden of ['hidden', 'trustno1', one.d, other.d, internalSecret])
      expect(faults.join()).not.toContain(hidden)
  })

  it('production refuses the default secret of development also as one of two secrets', () => {
    const INTERNAL_SECRET = `${internalSecret}, ${load({ SERVICE: 'auth' }).internalSecrets?.[0]}`
    expect(faultsOf({ ...production, INTERNAL_SECRET })).toEqual([
      expect.stringMatching(/^INTERNAL_SECRET must not be the development value/),
    ])
    expect(load({ INTERNAL_SECRET: `${internalSecret}, ${'x'.repeat(32)}` }).internalSecrets).toEqual([
      internalSecret,
      'x'.repeat(32),
    ])
  })

  it('production refuses the demo, which prints the password of its admin', () => {
    expect(faultsOf({ ...production, DEMO: 'true' })).toEqual([
      expect.stringMatching(/^DEMO must not be true/),
    ])
    expect(faultsOf({ ...production, DEMO: 'false' })).toEqual([])
  })

  it('production refuses a BCRYPT_COST under 10, which development accepts', () => {
    expect(faultsOf({ ...production, BCRYPT_COST: '9' })).toEqual([expect.stringMatching(/^BCRYPT_COST /)])
    expect(faultsOf({ ...production, BCRYPT_COST: '10' })).toEqual([])
    expect(faultsOf({ BCRYPT_COST: '9' })).toEqual([])
  })
})
