import { z } from '@hono/zod-openapi'
import { describe, expect, it } from 'vitest'
import { defineModule } from '#kernel/module.ts'
import { definePort } from '#kernel/ports/port.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import {
  type Environment,
  errorOf,
  faultsOf,
  internalSecret,
  load,
  production,
} from '#test/support/configuration.ts'
import { loadConfig } from './load-config.ts'

const modules = registry.map(({ name }) => name)

describe('the defaults', () => {
  it('the defaults are those of the documentation', () => {
    expect(load({})).toMatchObject({
      production: false,
      hosted: modules,
      urls: {},
      port: 3000,
      managementPort: undefined,
      host: '0.0.0.0',
      mongodb: { uri: undefined, database: 'trivet' },
      dataDir: '.data',
      demo: true,
      currency: 'EUR',
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

  it('the defaults include a development secret if the process does not host all modules', () => {
    expect(load({ SERVICE: 'auth' }).internalSecrets).toEqual([expect.stringMatching(/^.{32,}$/)])
  })

  it('the defaults of production have a drain delay of three seconds, no internal secret and no demo', () => {
    expect(load(production)).toMatchObject({
      production: true,
      drain: { delayMs: 3_000, timeoutMs: 10_000 },
      internalSecrets: undefined,
      demo: false,
    })
  })

  it('the defaults replace variables that are empty or blank', () => {
    for (const nothing of ['', ' ', '\n', '\uFEFF', ' \r\n'])
      expect(load({ PORT: nothing, SERVICE: nothing, PRODUCT_URL: nothing, BCRYPT_COST: nothing })).toEqual(
        load({}),
      )
  })

  it('the defaults omit the demo on a database that is not embedded, unless DEMO is set', () => {
    const uri = 'mongodb://db.example'
    expect(load({ MONGODB_URI: uri }).demo).toBe(false)
    expect(load({ MONGODB_URI: uri, DEMO: 'true' }).demo).toBe(true)
    expect(load({ DEMO: 'false' }).demo).toBe(false)
  })
})

it('the management port is another one than the port of the API', () => {
  expect(load({ PORT: '0', MANAGEMENT_PORT: '0' }).managementPort).toBe(0)
  expect(errorOf({ PORT: '8081', MANAGEMENT_PORT: '8081' })?.faults).toEqual([
    'MANAGEMENT_PORT must differ from PORT',
  ])
})

it('each setting reaches the configuration', () => {
  const config = load({
    SERVICE: 'order',
    AUTH_URL: 'http://auth.example:3001//',
    PRODUCT_URL: 'https://product.example',
    PORT: '0',
    MANAGEMENT_PORT: '8081',
    HOST: '127.0.0.1',
    MONGODB_URI: 'mongodb+srv://db.example',
    MONGODB_DATABASE: 'shop-1',
    DATA_DIR: 'elsewhere',
    INTERNAL_SECRET: internalSecret,
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
    managementPort: 8081,
    host: '127.0.0.1',
    mongodb: { uri: 'mongodb+srv://db.example', database: 'shop-1' },
    dataDir: 'elsewhere',
    internalSecrets: [internalSecret],
    requestTimeoutMs: 1_000,
    drain: { delayMs: 500, timeoutMs: 60_000 },
    corsOrigins: ['https://a.example', 'http://localhost:5173'],
    logLevel: 'debug',
  })
  expect(config.settings).not.toHaveProperty('auth')
})

describe('NODE_ENV', () => {
  it.each(['production', 'development', 'test', ''])('NODE_ENV "%s" is accepted', (NODE_ENV) => {
    expect(load({ ...production, NODE_ENV }).production).toBe(NODE_ENV === 'production')
  })

  it.each(['produciton', 'Production', 'prod', 'staging'])('NODE_ENV "%s" is refused', (NODE_ENV) => {
    expect(faultsOf({ NODE_ENV })).toEqual([
      'NODE_ENV must be production, development or test; unset, it is development',
    ])
  })
})

describe('SERVICE', () => {
  const urls = { AUTH_URL: 'http://auth.example', PRODUCT_URL: 'http://product.example' }

  it.each([
    ['all', modules],
    ['auth', ['auth']],
    ['order, product', ['product', 'order']],
    ['order,order,', ['order']],
    ['order,all', modules],
  ])('SERVICE "%s" hosts %s', (SERVICE, hosted) => {
    expect(load({ SERVICE, ...urls }).hosted).toEqual(hosted)
  })

  it.each(['billing', 'auth,billing', 'Auth', ','])(
    'SERVICE "%s" is refused with the names of the modules',
    (SERVICE) => {
      expect(faultsOf({ SERVICE, ...urls })).toEqual([
        `SERVICE must be all, or a comma list of ${modules.join(', ')}`,
      ])
    },
  )
})

describe('the admin account', () => {
  const account = { ADMIN_USERNAME: 'boss', ADMIN_EMAIL: 'boss@example.com', ADMIN_PASSWORD: 'long enough' }

  it('the admin account is read if all its settings are given', () => {
    expect(load(account).settings.auth).toMatchObject(account)
  })

  it('the admin account must satisfy the rules of registration', () => {
    const faulty = { ADMIN_USERNAME: 'b!', ADMIN_EMAIL: 'boss', ADMIN_PASSWORD: 'short' }
    expect(faultsOf(faulty).map((fault) => fault.split(' ')[0])).toEqual(Object.keys(faulty))
  })
})

describe('the message about faults', () => {
  it('the message names every faulty setting at once', () => {
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

  it("the message names the modules' own faults, missing needs and missing settings together", () => {
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
    ['INTERNAL_SECRET', internalSecret, { INTERNAL_SECRET: `${internalSecret},short` }],
  ])('the message does not show the secret in %s', (name, secret, rest) => {
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

  it("a module's own settings are read for hosted modules only, with the mode of production or development", () => {
    expect(loadConfig({}, modules).settings).toEqual({ 'parcel-service': { PARCEL_MODE: 'dry' } })
    const { NODE_ENV, MONGODB_URI } = production
    expect(faultsOf({ NODE_ENV, MONGODB_URI }, modules)).toEqual(['PARCEL_MODE is required'])
    const split = { SERVICE: 'shop', PARCEL_SERVICE_URL: 'http://parcels.example' }
    expect(loadConfig(split, modules)).toMatchObject({
      settings: {},
      urls: { 'parcel-service': 'http://parcels.example' },
    })
  })

  it("a module's own settings include a URL that is named after the module, in upper case and with underscores", () => {
    expect(faultsOf({ SERVICE: 'shop' }, modules)).toEqual([
      expect.stringMatching(/^shop needs parcel-service: set PARCEL_SERVICE_URL or host parcel-service/),
    ])
  })
})

describe('several faults at once', () => {
  it('the message names the faults of general settings, of a module and of their combination', () => {
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

  it('the message names each missing setting of the admin account', () => {
    expect(faultsOf({ ADMIN_USERNAME: 'boss' })).toEqual([
      'ADMIN_EMAIL is required together with ADMIN_USERNAME',
      'ADMIN_PASSWORD is required together with ADMIN_USERNAME',
    ])
  })
})
