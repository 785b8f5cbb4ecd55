import { createPrivateKey, createPublicKey, randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from '@hono/zod-openapi'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineModule } from '#kernel/module.ts'
import { definePort } from '#kernel/ports/port.ts'
import { generatePrivateKey } from '../../modules/auth/sessions/signing-keys.ts'
import { registry } from '../../registry.ts'
import { ConfigError } from './config-error.ts'
import { loadConfig } from './load-config.ts'
import { duration } from './values.ts'

type Environment = Record<string, string>

const load = (environment: Environment) => loadConfig(environment, registry)

function errorOf(environment: Environment, modules = registry): ConfigError | undefined {
  try {
    loadConfig(environment, modules)
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}
const faultsOf = (environment: Environment, modules = registry) => errorOf(environment, modules)?.faults ?? []

const secret = 'thirty-two bytes that nobody knows'
const keys = JSON.stringify([generatePrivateKey()])
const production = {
  NODE_ENV: 'production',
  MONGODB_URI: 'mongodb://db.example/?replicaSet=rs',
  JWT_PRIVATE_KEYS: keys,
}

describe('defaults', () => {
  it('are what the documentation says', () => {
    expect(load({})).toMatchObject({
      production: false,
      hosted: ['auth', 'product', 'order'],
      urls: {},
      port: 3000,
      host: '0.0.0.0',
      mongodb: { uri: undefined, database: 'trivet' },
      dataDir: '.data',
      demo: true,
      internalSecrets: undefined,
      requestTimeoutMs: 4_000,
      drain: { delayMs: 0, timeoutMs: 10_000 },
      corsOrigins: [],
      trustedProxies: [],
      logLevel: undefined,
      settings: {
        auth: {
          ACCESS_TOKEN_TTL: 15 * 60_000,
          REFRESH_TOKEN_TTL: 30 * 86_400_000,
          BCRYPT_COST: 12,
          LOGIN_FAILURES_PER_ACCOUNT: { max: 10, withinMs: 15 * 60_000 },
          LOGIN_FAILURES_PER_ADDRESS: { max: 100, withinMs: 15 * 60_000 },
          REGISTRATIONS_PER_ADDRESS: { max: 100, withinMs: 60 * 60_000 },
        },
      },
    })
  })

  it('have a secret of development where a process does not host everything', () => {
    expect(load({ SERVICE: 'auth' }).internalSecrets).toEqual([expect.stringMatching(/^.{32,}$/)])
  })

  it('differ in production: three seconds of delay, no internal secret, no demo', () => {
    expect(load(production)).toMatchObject({
      production: true,
      drain: { delayMs: 3_000, timeoutMs: 10_000 },
      internalSecrets: undefined,
      demo: false,
    })
  })

  it('stand for a variable that is empty, or has white space alone', () => {
    for (const nothing of ['', ' ', '\n', '\uFEFF', ' \r\n'])
      expect(load({ PORT: nothing, SERVICE: nothing, PRODUCT_URL: nothing, BCRYPT_COST: nothing })).toEqual(
        load({}),
      )
  })

  it('leave the demo out where the database is not the embedded one, unless it is asked for', () => {
    const uri = 'mongodb://db.example'
    expect(load({ MONGODB_URI: uri }).demo).toBe(false)
    expect(load({ MONGODB_URI: uri, DEMO: 'true' }).demo).toBe(true)
    expect(load({ DEMO: 'false' }).demo).toBe(false)
  })
})

it('what is set is what the process gets', () => {
  const config = load({
    SERVICE: 'order',
    AUTH_URL: 'http://auth.example:3001//',
    PRODUCT_URL: 'https://product.example',
    PORT: '0',
    HOST: '127.0.0.1',
    MONGODB_URI: 'mongodb+srv://db.example',
    MONGODB_DATABASE: 'shop-1',
    DATA_DIR: 'elsewhere',
    INTERNAL_SECRET: secret,
    REQUEST_TIMEOUT: '1s',
    DRAIN_DELAY: '500ms',
    DRAIN_TIMEOUT: '1m',
    CORS_ORIGINS: 'https://a.example, http://localhost:5173',
    LOG_LEVEL: 'debug',
  })
  expect(config).toMatchObject({
    hosted: ['order'],
    urls: { auth: 'http://auth.example:3001', product: 'https://product.example' },
    port: 0,
    host: '127.0.0.1',
    mongodb: { uri: 'mongodb+srv://db.example', database: 'shop-1' },
    dataDir: 'elsewhere',
    internalSecrets: [secret],
    requestTimeoutMs: 1_000,
    drain: { delayMs: 500, timeoutMs: 60_000 },
    corsOrigins: ['https://a.example', 'http://localhost:5173'],
    logLevel: 'debug',
  })
  expect(config.settings).not.toHaveProperty('auth')
})

describe('a variable given as a file', () => {
  let folder: string
  const file = (content: string | Buffer) => {
    const path = join(folder, randomUUID())
    writeFileSync(path, content)
    return path
  }
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'trivet-settings-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  it('is what the file has, but for the end of its line', () => {
    const config = load({
      ...production,
      JWT_PRIVATE_KEYS: '',
      JWT_PRIVATE_KEYS_FILE: file(`${keys}\n`),
      INTERNAL_SECRET_FILE: file(secret),
    })
    expect(config.internalSecrets).toEqual([secret])
    expect((config.settings.auth as Record<string, unknown>).JWT_PRIVATE_KEYS).toHaveLength(1)
  })

  it('may be one that several modules share', () => {
    const { settings } = load({ RETENTION_FILE: file('3d\n') })
    const retention = { RETENTION: 3 * 86_400_000 }
    expect(settings).toMatchObject({ product: retention, order: retention })
  })

  it('is a fault where there is no such file, one where it is set as well, and unset where the file is empty', () => {
    const missing = join(folder, 'missing')
    expect(faultsOf({ MONGODB_URI_FILE: missing })).toEqual([
      expect.stringMatching(/^MONGODB_URI_FILE cannot be read: .*missing/),
    ])
    expect(faultsOf({ PORT: '1', PORT_FILE: file('2') })).toEqual([
      'PORT and PORT_FILE are both set: set one of them',
    ])
    expect(load({ PORT_FILE: file('\n') }).port).toBe(3000)
  })

  it('is checked as any other, and not shown', () => {
    const faults = faultsOf({ ...production, INTERNAL_SECRET_FILE: file('too short') })
    expect(faults).toEqual(['INTERNAL_SECRET must have 32 bytes or more, as each of a comma list'])
  })

  const longSecret = 'a secret of more than thirty-two bytes'

  it.each([
    ['line ends', `${longSecret}\r\n\n`],
    ['white space', `${longSecret} \t`],
    ['a byte order mark', `\uFEFF${longSecret}`],
    ['a byte order mark and a line end', `\uFEFF${longSecret}\n`],
  ])('has a value without %s, in the file as in the environment', (_what, text) => {
    expect(load({ INTERNAL_SECRET_FILE: file(text) }).internalSecrets).toEqual([longSecret])
    expect(load({ INTERNAL_SECRET: text }).internalSecrets).toEqual([longSecret])
  })

  it('may be named by a path with a line end after it', () => {
    expect(load({ INTERNAL_SECRET_FILE: `${file(longSecret)}\n` }).internalSecrets).toEqual([longSecret])
  })

  it.each([
    ['UTF-16 with a byte order mark', Buffer.from(`\uFEFF${longSecret}`, 'utf16le')],
    ['UTF-16 without a byte order mark', Buffer.from(longSecret, 'utf16le')],
    ['Latin-1', Buffer.from('übermäßig geheim und mehr als zweiunddreißig Bytes', 'latin1')],
  ])('is a fault where the file is %s', (_what, bytes) => {
    expect(faultsOf({ INTERNAL_SECRET_FILE: file(bytes) })).toEqual([
      expect.stringMatching(/^INTERNAL_SECRET_FILE must name a file with text in UTF-8: /),
    ])
  })

  it.each([
    ['a folder', () => folder, 'cannot be read: .*: it is a folder, not a file'],
    ['below a file', () => join(file('x'), 'y'), 'cannot be read: .*: part of the path is a file'],
    ['without an end', () => '/dev/zero', 'must name a file of 1 MiB or less: /dev/zero'],
  ])('is one fault where the path is %s, also of a variable that is required', (_what, path, complaint) => {
    expect(faultsOf({ ...production, MONGODB_URI: '', MONGODB_URI_FILE: path() })).toEqual([
      expect.stringMatching(`^MONGODB_URI_FILE ${complaint}`),
    ])
  })

  it('is only one that is a variable of this program', () => {
    expect(load({ SSL_CERT_FILE: '/nowhere', PATH_FILE: '/nowhere' }).port).toBe(3000)
  })
})

describe('white space and line ends after a value', () => {
  it('are no part of it, of any setting', () => {
    const plain = {
      NODE_ENV: 'production',
      SERVICE: 'auth',
      PORT: '3001',
      HOST: '127.0.0.1',
      MONGODB_URI: 'mongodb://db.example/?replicaSet=rs',
      MONGODB_DATABASE: 'shop',
      DATA_DIR: 'elsewhere',
      AUTH_URL: 'http://auth.example',
      INTERNAL_SECRET: secret,
      JWT_PRIVATE_KEYS: keys,
      ACCESS_TOKEN_TTL: '5m',
      BCRYPT_COST: '11',
      ADMIN_USERNAME: 'boss',
      ADMIN_EMAIL: 'boss@example.com',
      ADMIN_PASSWORD: 'staple battery horse 9',
      DEMO: 'false',
      CORS_ORIGINS: 'https://shop.example',
      TRUSTED_PROXIES: '10.0.0.0/8',
      LOG_LEVEL: 'warn',
    }
    const padded = Object.entries(plain).map(([name, value]) => [name, `\uFEFF${value} \r\n`])
    expect(load(Object.fromEntries(padded))).toEqual(load(plain))
  })

  it('do not turn production into development', () => {
    expect(faultsOf({ NODE_ENV: 'production\n' })).toContainEqual(
      expect.stringMatching(/^MONGODB_URI is required/),
    )
  })
})

it('a value with bytes that are not UTF-8 is refused: what Node.js puts in their place is another value', () => {
  expect(
    faultsOf({
      ADMIN_USERNAME: 'boss',
      ADMIN_EMAIL: 'boss@example.com',
      ADMIN_PASSWORD: 'p\uFFFDssword 9 horses',
    }),
  ).toEqual(['ADMIN_PASSWORD must be text in UTF-8'])
})

describe('NODE_ENV', () => {
  it.each(['production', 'development', 'test', ''])('may be "%s"', (NODE_ENV) => {
    expect(load({ ...production, NODE_ENV }).production).toBe(NODE_ENV === 'production')
  })

  it.each(['produciton', 'Production', 'prod', 'staging'])('is a fault as "%s"', (NODE_ENV) => {
    expect(faultsOf({ NODE_ENV })).toEqual([
      'NODE_ENV must be production, development or test; unset, it is development',
    ])
  })
})

describe('HOST', () => {
  it.each([
    ['[::1]', '::1'],
    ['::', '::'],
    [' 127.0.0.1', '127.0.0.1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['shop.internal', 'shop.internal'],
    ['', '0.0.0.0'],
  ])('"%s" is %s', (HOST, host) => {
    expect(load({ HOST }).host).toBe(host)
  })

  it.each([
    'http://localhost',
    'localhost:3000',
    '127.0.0.1:3000',
    '[::1]:3000',
    '*',
    '127.0.0.1,::1',
    '::g',
  ])('"%s" is refused', (HOST) => {
    expect(faultsOf({ HOST })).toEqual([expect.stringMatching(/^HOST must be an address or a name/)])
  })
})

describe('CORS_ORIGINS', () => {
  it.each([
    'https://shop.example',
    'http://localhost:5173',
    'http://shop.example:443',
    'http://[::1]:3000',
    'http://127.0.0.1:8080',
    'http://my_host:3000',
    'https://shop.example.',
    'https://xn--mnchen-3ya.example',
    'capacitor://localhost',
    'chrome-extension://abcdefghijklmnop',
  ])('takes %s, which a browser sends', (origin) => {
    expect(load({ CORS_ORIGINS: `${origin}, ${origin},` }).corsOrigins).toEqual([origin, origin])
  })

  it.each([
    ['https://shop.example/', 'https://shop.example'],
    ['https://shop.example/cart?item=1#top', 'https://shop.example'],
    ['https://Shop.Example', 'https://shop.example'],
    ['HTTPS://shop.example', 'https://shop.example'],
    ['https://shop.example:443', 'https://shop.example'],
    ['http://shop.example:80', 'http://shop.example'],
    ['https://shop.example:08443', 'https://shop.example:8443'],
    ['https://münchen.example', 'https://xn--mnchen-3ya.example'],
    ['http://127.1', 'http://127.0.0.1'],
    ['http://[0:0:0:0:0:0:0:1]', 'http://[::1]'],
    ['shop.example', 'https://shop.example'],
    ['localhost:5173', 'http://localhost:5173'],
    ['//shop.example', 'https://shop.example'],
    ['htps://shop.example', 'https://shop.example'],
    ['Capacitor://localhost', 'capacitor://localhost'],
  ])('refuses %s, and says that %s is right', (entry, right) => {
    expect(faultsOf({ CORS_ORIGINS: `https://a.example,${entry}` })).toEqual([
      `CORS_ORIGINS has "${entry}", which is not an origin as browsers send it: must be ${right}`,
    ])
  })

  it.each([
    '*',
    'null',
    'https://*.shop.example',
    'https://*',
    'http://localhost:*',
    'https://',
    'https://shop..example',
    'https://$host',
    'https://shop.example:99999',
    'https://a.example https://b.example',
    'https://a.example;https://b.example',
    '["https://a.example"]',
    'ftp://a.example',
    'wss://a.example',
    'file://',
    'javascript:alert(1)',
  ])('refuses %s by name', (entry) => {
    expect(faultsOf({ CORS_ORIGINS: entry })).toEqual([
      expect.stringContaining(`CORS_ORIGINS has ${JSON.stringify(entry)}`),
    ])
  })

  it('names each faulty entry, and shows no credentials', () => {
    const faults = faultsOf({ CORS_ORIGINS: 'https://boss:hunter2@shop.example,*' })
    expect(faults).toEqual([
      'CORS_ORIGINS has "https://***@shop.example", which is not an origin as browsers send it: must be https://shop.example',
      expect.stringContaining('CORS_ORIGINS has "*"'),
    ])
  })
})

describe('SERVICE', () => {
  const urls = { AUTH_URL: 'http://auth.example', PRODUCT_URL: 'http://product.example' }

  it.each([
    ['all', ['auth', 'product', 'order']],
    ['auth', ['auth']],
    ['order, product', ['product', 'order']],
    ['order,order,', ['order']],
    ['order,all', ['auth', 'product', 'order']],
  ])('"%s" hosts %s', (SERVICE, hosted) => {
    expect(load({ SERVICE, ...urls }).hosted).toEqual(hosted)
  })

  it.each(['billing', 'auth,billing', 'Auth', ','])('"%s" is refused, naming what there is', (SERVICE) => {
    expect(faultsOf({ SERVICE, ...urls })).toEqual([
      'SERVICE must be all, or a comma list of auth, product, order',
    ])
  })
})

describe('a need that is neither hosted nor has a URL', () => {
  it('is a fault that says what to set', () => {
    expect(faultsOf({ SERVICE: 'order', AUTH_URL: 'http://auth.example' })).toEqual([
      'order needs product: set PRODUCT_URL or host product (SERVICE)',
    ])
  })

  it('is named for every module that has it', () => {
    expect(faultsOf({ SERVICE: 'order,product' })).toEqual([
      expect.stringMatching(/^product needs auth: set AUTH_URL or host auth/),
      expect.stringMatching(/^order needs auth: set AUTH_URL or host auth/),
    ])
  })

  it('is not reported again when its URL is there and wrong', () => {
    expect(faultsOf({ SERVICE: 'product', AUTH_URL: 'auth:3000' })).toEqual([
      'AUTH_URL must be an http or https URL',
    ])
  })

  it('is asked of the hosted modules alone', () => {
    expect(faultsOf({ SERVICE: 'auth' })).toEqual([])
  })
})

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['4s', 4_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['30d', 2_592_000_000],
    ['0s', 0],
  ])('%s is %d milliseconds', (text, milliseconds) => {
    expect(duration.parse(text)).toBe(milliseconds)
  })

  it.each(['4', '4 s', '1.5s', '-1s', 's', '4S', '4sec', '1m30s', ' 4s', '1e3s'])(
    '"%s" is refused',
    (text) => {
      expect(faultsOf({ REQUEST_TIMEOUT: text })).toEqual([
        'REQUEST_TIMEOUT must be a number with ms, s, m, h or d, such as 15m',
      ])
    },
  )

  it.each([
    ['REQUEST_TIMEOUT', '99ms', 'must be 100ms or more'],
    ['ACCESS_TOKEN_TTL', '999ms', 'must be 1s or more'],
  ])('%s=%s is too short', (name, value, complaint) => {
    expect(faultsOf({ [name]: value })).toEqual([`${name} ${complaint}`])
  })

  it.each([
    ['ACCESS_TOKEN_TTL', '25h', 'must be 1d or less'],
    // A sign-in would end at a date that there is not.
    ['REFRESH_TOKEN_TTL', '99999999d', 'must be 3650d or less'],
  ])('%s=%s is too long', (name, value, complaint) => {
    expect(faultsOf({ [name]: value })).toEqual([`${name} ${complaint}`])
  })

  it('a drain delay that leaves no time to drain is refused', () => {
    expect(faultsOf({ DRAIN_DELAY: '10s' })).toEqual([
      expect.stringMatching(/^DRAIN_DELAY must be less than/),
    ])
    expect(faultsOf({ ...production, DRAIN_TIMEOUT: '2s' })).toEqual([
      expect.stringMatching(/^DRAIN_DELAY must be less than DRAIN_TIMEOUT/),
    ])
  })
})

describe('a value of the wrong form is refused', () => {
  it.each<[string, string[]]>([
    ['PORT', ['http', '-1', '65536', '3000.5', '0x10', ' 80', '1e3']],
    ['MONGODB_URI', ['db.example', 'http://db.example', 'postgres://db.example']],
    ['MONGODB_DATABASE', ['shop.eu', 'shop/eu', '$', 'x'.repeat(41)]],
    ['DEMO', ['yes', '1', 'TRUE']],
    [
      'PRODUCT_URL',
      ['product.example', 'ftp://product.example', 'http://', '//product.example', 'product:80'],
    ],
    ['CORS_ORIGINS', ['*', 'shop.example', 'https://shop.example/', 'https://a.example,https://b.example/x']],
    ['LOG_LEVEL', ['verbose', 'INFO']],
    ['BCRYPT_COST', ['3', '21', 'high']],
    ['JWT_PRIVATE_KEYS', ['{}', '[]', 'not JSON', '[{"kty":"RSA"}]']],
    ['INTERNAL_SECRET', ['x'.repeat(31)]],
  ])('%s', (name, values) => {
    for (const value of values) {
      const faults = faultsOf({ [name]: value })
      expect(faults, `${name}=${value}`).toHaveLength(1)
      expect(faults[0]).toMatch(new RegExp(`^${name} \\w`))
    }
  })

  it('ADMIN_EMAIL that is none, in the words that a request is refused with', () => {
    const admin = { ADMIN_USERNAME: 'boss', ADMIN_PASSWORD: 'correct horse battery' }
    expect(faultsOf({ ...admin, ADMIN_EMAIL: 'nowhere' })).toEqual([
      'ADMIN_EMAIL must be an e-mail address such as ada@example.com, with an international domain in its ASCII form (xn--...)',
    ])
  })

  it('JWT_PRIVATE_KEYS whose halves do not belong together, or that share a kid', () => {
    const [one, other] = [generatePrivateKey(), generatePrivateKey()]
    expect(faultsOf({ JWT_PRIVATE_KEYS: JSON.stringify([{ ...one, d: other.d }]) })).toEqual([
      expect.stringContaining('are not a pair'),
    ])
    expect(faultsOf({ JWT_PRIVATE_KEYS: JSON.stringify([one, { ...other, kid: one.kid }]) })).toEqual([
      expect.stringContaining('each with its own kid'),
    ])
    expect(load({ JWT_PRIVATE_KEYS: JSON.stringify([one, other]) }).settings.auth).toMatchObject({
      JWT_PRIVATE_KEYS: [{ kid: one.kid }, { kid: other.kid }],
    })
  })
})

describe('production', () => {
  it('starts with a database and keys', () => {
    expect(faultsOf(production)).toEqual([])
  })

  it.each(['MONGODB_URI', 'JWT_PRIVATE_KEYS'])('needs %s', (name) => {
    const faults = faultsOf({ ...production, [name]: '' })
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(new RegExp(`^${name} is required`))
  })

  it('needs JWT_PRIVATE_KEYS only where auth is hosted', () => {
    const { NODE_ENV, MONGODB_URI } = production
    const remote = { AUTH_URL: 'http://auth.example', INTERNAL_SECRET: secret }
    expect(faultsOf({ NODE_ENV, MONGODB_URI, SERVICE: 'product', ...remote })).toEqual([])
  })

  it('needs INTERNAL_SECRET where a need is remote, and not otherwise', () => {
    const { NODE_ENV, MONGODB_URI } = production
    const split = { NODE_ENV, MONGODB_URI, SERVICE: 'product', AUTH_URL: 'http://auth.example' }
    expect(faultsOf(split)).toEqual([expect.stringMatching(/^INTERNAL_SECRET is required/)])
    expect(faultsOf({ ...production, SERVICE: 'auth' })).toEqual([])
    // A URL that nobody uses, since the module is hosted, makes nothing remote.
    expect(faultsOf({ ...production, PRODUCT_URL: 'http://product.example' })).toEqual([])
  })

  it('refuses the secret that development uses', () => {
    const INTERNAL_SECRET = load({ SERVICE: 'auth' }).internalSecrets?.[0] ?? ''
    expect(faultsOf({ INTERNAL_SECRET })).toEqual([])
    expect(faultsOf({ ...production, INTERNAL_SECRET })).toEqual([
      expect.stringMatching(/^INTERNAL_SECRET must not be the development value/),
    ])
  })

  it('refuses a secret under 32 bytes, counted as UTF-8', () => {
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
  ])('refuses a placeholder as a secret: %s', (guessable) => {
    const fault = expect.stringMatching(/^INTERNAL_SECRET must not be a placeholder/)
    expect(faultsOf({ ...production, INTERNAL_SECRET: guessable })).toEqual([fault])
    expect(faultsOf({ ...production, INTERNAL_SECRET: `${secret},${guessable}` })).toEqual([fault])
    expect(faultsOf({ INTERNAL_SECRET: guessable })).toEqual([])
  })

  it('takes whatever a generator of secrets makes', () => {
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
    ['nobody, who left it empty', Buffer.alloc(32).toString('base64url')],
  ])('refuses the key of %s, wherever it stands', (_whose, d) => {
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

  it('refuses a weak password for its admin, which development may have', () => {
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

  it('names every secret that will not do, and shows none of them', () => {
    const [one, other] = [generatePrivateKey(), generatePrivateKey()]
    const wrong = {
      NODE_ENV: 'production',
      MONGODB_URI: 'mongo://user:hidden-of-mongo@db.example',
      INTERNAL_SECRET: `hidden-and-short,${secret}`,
      JWT_PRIVATE_KEYS: JSON.stringify([{ ...one, d: other.d }]),
      BCRYPT_COST: '9',
      ADMIN_USERNAME: 'boss',
      ADMIN_EMAIL: 'boss@example.com',
      ADMIN_PASSWORD: 'trustno1',
    }
    const faults = faultsOf(wrong)
    const { NODE_ENV: _, ADMIN_USERNAME: _name, ADMIN_EMAIL: _email, ...secrets } = wrong
    expect(faults.map((fault) => fault.split(' ')[0]).toSorted()).toEqual(Object.keys(secrets).toSorted())
    for (const hidden of ['hidden', 'trustno1', one.d, other.d, secret])
      expect(faults.join()).not.toContain(hidden)
  })

  it('refuses the secret of development beside another one, too', () => {
    const INTERNAL_SECRET = `${secret}, ${load({ SERVICE: 'auth' }).internalSecrets?.[0]}`
    expect(faultsOf({ ...production, INTERNAL_SECRET })).toEqual([
      expect.stringMatching(/^INTERNAL_SECRET must not be the development value/),
    ])
    expect(load({ INTERNAL_SECRET: `${secret}, ${'x'.repeat(32)}` }).internalSecrets).toEqual([
      secret,
      'x'.repeat(32),
    ])
  })

  it('refuses the demo, whose admin has a password that is printed', () => {
    expect(faultsOf({ ...production, DEMO: 'true' })).toEqual([
      expect.stringMatching(/^DEMO must not be true/),
    ])
    expect(faultsOf({ ...production, DEMO: 'false' })).toEqual([])
  })

  it('refuses a BCRYPT_COST under 10, which development may have', () => {
    expect(faultsOf({ ...production, BCRYPT_COST: '9' })).toEqual([expect.stringMatching(/^BCRYPT_COST /)])
    expect(faultsOf({ ...production, BCRYPT_COST: '10' })).toEqual([])
    expect(faultsOf({ BCRYPT_COST: '9' })).toEqual([])
  })
})

describe('the admin account', () => {
  const account = { ADMIN_USERNAME: 'boss', ADMIN_EMAIL: 'boss@example.com', ADMIN_PASSWORD: 'long enough' }

  it('is read when it is complete', () => {
    expect(load(account).settings.auth).toMatchObject(account)
  })

  it('has to be one that could register', () => {
    const faulty = { ADMIN_USERNAME: 'b!', ADMIN_EMAIL: 'boss', ADMIN_PASSWORD: 'short' }
    expect(faultsOf(faulty).map((fault) => fault.split(' ')[0])).toEqual(Object.keys(faulty))
  })
})

describe('the message', () => {
  it('names every faulty setting at once', () => {
    const error = errorOf({
      PORT: 'http',
      LOG_LEVEL: 'loud',
      DEMO: 'maybe',
      REQUEST_TIMEOUT: '4',
      PRODUCT_URL: 'x',
    })
    for (const name of ['PORT', 'LOG_LEVEL', 'DEMO', 'REQUEST_TIMEOUT', 'PRODUCT_URL']) {
      expect(error?.message).toMatch(new RegExp(`^ {2}- ${name} `, 'm'))
    }
    expect(error?.faults).toHaveLength(5)
  })

  it("names the modules' own faults, missing needs and missing settings together", () => {
    const environment = {
      NODE_ENV: 'production',
      SERVICE: 'auth,order',
      BCRYPT_COST: '4',
      ACCESS_TOKEN_TTL: '1',
    }
    const beginnings = [
      'JWT_PRIVATE_KEYS is required',
      'ACCESS_TOKEN_TTL must be',
      'BCRYPT_COST ',
      'order needs product: ',
      'MONGODB_URI is required',
      'INTERNAL_SECRET is required',
    ]
    const faults = faultsOf(environment)
    expect(faults).toEqual(beginnings.map((beginning) => expect.stringContaining(beginning)))
    expect(errorOf(environment)?.message.split('\n')).toHaveLength(1 + faults.length)
  })

  const [one, other] = [generatePrivateKey(), generatePrivateKey()]
  const account = { ADMIN_USERNAME: 'boss', ADMIN_EMAIL: 'boss@example.com' }
  it.each<[string, string, Environment]>([
    ['INTERNAL_SECRET', 'hunter2', {}],
    ['ADMIN_PASSWORD', 'hunter2', account],
    ['ADMIN_PASSWORD', 'hunter2'.repeat(11), account],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([{ ...one, d: other.d }]) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify(other) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([other]).slice(0, -1) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: `${other.d}${JSON.stringify([other])}` }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([{ ...other, x: undefined }]) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([{ ...other, [other.d]: 1, kty: 1 }]) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([{ ...other, x: other.d }]) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([{ ...other, kid: other.d, d: 'x' }]) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([{ ...other, kty: other.d }]) }],
    ['JWT_PRIVATE_KEYS', other.d, { JWT_PRIVATE_KEYS: JSON.stringify([other, other]) }],
    ['MONGODB_URI', 'hunter2', { MONGODB_URI: 'mysql://trivet:hunter2@db.example' }],
    ['PRODUCT_URL', 'hunter2', { PRODUCT_URL: 'ftp://trivet:hunter2@product.example' }],
    ['AUTH_URL', 'hunter2', { AUTH_URL: 'https://trivet:hunter2@auth.example' }],
    ['AUTH_URL', 'hunter2', { AUTH_URL: 'https://auth.example/?token=hunter2' }],
    ['CORS_ORIGINS', 'hunter2', { CORS_ORIGINS: 'https://trivet:hunter2@shop.example' }],
    [
      'INTERNAL_SECRET',
      'hunter2',
      { NODE_ENV: 'production', INTERNAL_SECRET: 'change-me: hunter2 hunter2 hunter2 hunter2' },
    ],
    ['INTERNAL_SECRET', secret, { INTERNAL_SECRET: `${secret},short` }],
  ])('shows nothing of a secret in %s', (name, secret, rest) => {
    const error = errorOf({ [name]: secret, ...rest })
    expect(error?.message).toContain(name)
    expect(`${error?.stack} ${JSON.stringify(error)}`).not.toContain(secret)
  })
})

describe("a module's own settings", () => {
  const parcel = definePort<{ send(): Promise<void> }>('parcel-service', {
    send: { request: z.never(), result: z.void() },
  })
  const start = () => {
    throw new Error('configuration starts nothing')
  }
  const modules = [
    defineModule({
      name: 'parcel-service',
      api: {},
      migrations: [],
      needs: {},
      settings: ({ production }) =>
        z.object({ PARCEL_MODE: production ? z.string() : z.string().default('dry') }),
      start,
    }),
    defineModule({ name: 'shop', api: {}, migrations: [], needs: { 'parcel-service': parcel }, start }),
  ]

  it('are read for the modules that are hosted, and know of production', () => {
    expect(loadConfig({}, modules).settings).toEqual({ 'parcel-service': { PARCEL_MODE: 'dry' } })
    const { NODE_ENV, MONGODB_URI } = production
    expect(faultsOf({ NODE_ENV, MONGODB_URI }, modules)).toEqual(['PARCEL_MODE is required'])
    const split = { SERVICE: 'shop', PARCEL_SERVICE_URL: 'http://parcels.example' }
    expect(loadConfig(split, modules)).toMatchObject({
      settings: {},
      urls: { 'parcel-service': 'http://parcels.example' },
    })
  })

  it('a URL is named after the module, in upper case and with underscores', () => {
    expect(faultsOf({ SERVICE: 'shop' }, modules)).toEqual([
      expect.stringMatching(/^shop needs parcel-service: set PARCEL_SERVICE_URL or host parcel-service/),
    ])
  })
})

describe('several faults at once', () => {
  it("are all in the message, the general ones, a module's and what follows from both", () => {
    const environment = { NODE_ENV: 'production', PORT: 'http', SERVICE: 'auth,order', BCRYPT_COST: '4' }
    const faults = faultsOf(environment)
    expect(faults).toHaveLength(6)
    for (const part of [
      'PORT',
      'JWT_PRIVATE_KEYS',
      'BCRYPT_COST',
      'PRODUCT_URL',
      'MONGODB_URI',
      'INTERNAL_SECRET',
    ]) {
      expect(faults.join('\n')).toContain(part)
    }
  })

  it('include each admin setting that is missing beside the others', () => {
    expect(faultsOf({ ADMIN_USERNAME: 'boss' })).toEqual([
      'ADMIN_EMAIL is required together with ADMIN_USERNAME',
      'ADMIN_PASSWORD is required together with ADMIN_USERNAME',
    ])
  })
})

it.each(['REQUEST_TIMEOUT', 'DRAIN_TIMEOUT'])('%s is refused where no timer could hold it', (name) => {
  expect(faultsOf({ [name]: '30d' })).toEqual([`${name} must be 1h or less`])
})

it.each(['http://auth.example/?a=b', 'http://auth.example/#x', 'http://a:b@auth.example'])(
  '%s is no base URL',
  (AUTH_URL) => {
    expect(faultsOf({ AUTH_URL })).toHaveLength(1)
  },
)

describe('a rate', () => {
  it('is a number and a duration', () => {
    expect(load({ LOGIN_FAILURES_PER_ACCOUNT: '3/90s' }).settings.auth).toMatchObject({
      LOGIN_FAILURES_PER_ACCOUNT: { max: 3, withinMs: 90_000 },
    })
  })

  it.each(['10', '10/', '/15m', '0/15m', '10/0m', '-1/15m', '10/15', '10 / 15m', '1.5/15m', '10/15m/2'])(
    'is not %j',
    (value) => {
      expect(faultsOf({ REGISTRATIONS_PER_ADDRESS: value })).toEqual([
        'REGISTRATIONS_PER_ADDRESS must be a number and a duration, such as 10/15m',
      ])
    },
  )

  it('is of no more than a year: what is added to a date has to come to one', () => {
    expect(
      faultsOf({ REGISTRATIONS_PER_ADDRESS: '10/365d', LOGIN_FAILURES_PER_ADDRESS: '999999999/1ms' }),
    ).toEqual([])
    expect(faultsOf({ REGISTRATIONS_PER_ADDRESS: '10/366d' })).toEqual([
      'REGISTRATIONS_PER_ADDRESS must be within 365d or less',
    ])
  })
})

describe('TRUSTED_PROXIES', () => {
  it('lists addresses and ranges', () => {
    const value = '10.0.0.0/8, 192.0.2.7,2001:db8::/32 ,::1'
    expect(load({ TRUSTED_PROXIES: value }).trustedProxies).toEqual([
      '10.0.0.0/8',
      '192.0.2.7',
      '2001:db8::/32',
      '::1',
    ])
  })

  it.each([
    'nginx',
    '10.0.0.0/33',
    '10.0.0/8',
    '2001:db8::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '*',
    '10.0.0.0/-1',
  ])('does not list %j', (value) => {
    expect(faultsOf({ TRUSTED_PROXIES: value })).toEqual([
      'TRUSTED_PROXIES must be a comma list of addresses and CIDR ranges such as 10.0.0.0/8',
    ])
  })
})
