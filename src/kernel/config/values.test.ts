import { describe, expect, it } from 'vitest'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { faultsOf, load, production } from '#test/support/configuration.ts'
import { duration } from './values.ts'

describe('HOST', () => {
  it.each([
    ['[::1]', '::1'],
    ['::', '::'],
    [' 127.0.0.1', '127.0.0.1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['shop.internal', 'shop.internal'],
    ['', '0.0.0.0'],
  ])('HOST "%s" becomes %s', (HOST, host) => {
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
  ])('HOST "%s" is refused', (HOST) => {
    expect(faultsOf({ HOST })).toEqual([expect.stringMatching(/^HOST must be an address or a name/)])
  })
})

describe('CURRENCY', () => {
  it.each(['EUR', 'USD', 'CHF', 'HUF', 'IDR'])('CURRENCY accepts %s', (code) => {
    expect(load({ CURRENCY: code }).currency).toBe(code)
  })

  it.each(['eur', 'EURO', 'XYZ', '€', '978', 'E'])('CURRENCY refuses %s', (code) => {
    expect(faultsOf({ CURRENCY: code })).toEqual([
      'CURRENCY must be the code of a currency (ISO 4217), such as EUR',
    ])
  })

  it.each(['JPY', 'KRW', 'KWD', 'BHD', 'XDR'])(
    'CURRENCY refuses %s, whose amounts do not have two decimal places',
    (code) => {
      expect(faultsOf({ CURRENCY: code })).toEqual([
        'CURRENCY must be a currency with two decimal places, such as EUR, because all amounts have two',
      ])
    },
  )
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
  ])('CORS_ORIGINS accepts %s, which a browser sends', (origin) => {
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
  ])('CORS_ORIGINS refuses %s and suggests %s', (entry, right) => {
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
  ])('CORS_ORIGINS refuses %s and quotes it', (entry) => {
    expect(faultsOf({ CORS_ORIGINS: entry })).toEqual([
      expect.stringContaining(`CORS_ORIGINS has ${JSON.stringify(entry)}`),
    ])
  })

  it('CORS_ORIGINS names each faulty entry without its credentials', () => {
    const faults = faultsOf({ CORS_ORIGINS: 'https://boss:hunter2@shop.example,*' })
    expect(faults).toEqual([
      'CORS_ORIGINS has "https://***@shop.example", which is not an origin as browsers send it: must be https://shop.example',
      expect.stringContaining('CORS_ORIGINS has "*"'),
    ])
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
  ])('the duration %s becomes %d milliseconds', (text, milliseconds) => {
    expect(duration.parse(text)).toBe(milliseconds)
  })

  it.each(['4', '4 s', '1.5s', '-1s', 's', '4S', '4sec', '1m30s', ' 4s', '1e3s'])(
    'the duration "%s" is refused',
    (text) => {
      expect(faultsOf({ REQUEST_TIMEOUT: text })).toEqual([
        'REQUEST_TIMEOUT must be a number with ms, s, m, h or d, such as 15m',
      ])
    },
  )

  it.each([
    ['REQUEST_TIMEOUT', '99ms', 'must be 100ms or more'],
    ['ACCESS_TOKEN_TTL', '999ms', 'must be 1s or more'],
  ])('%s=%s is refused as too short', (name, value, complaint) => {
    expect(faultsOf({ [name]: value })).toEqual([`${name} ${complaint}`])
  })

  it.each([
    ['ACCESS_TOKEN_TTL', '25h', 'must be 1d or less'],
    // The end of a session would not be a valid date.
    ['REFRESH_TOKEN_TTL', '99999999d', 'must be 3650d or less'],
  ])('%s=%s is refused as too long', (name, value, complaint) => {
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

describe('values of the wrong form', () => {
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
  ])('%s refuses a value of the wrong form', (name, values) => {
    for (const value of values) {
      const faults = faultsOf({ [name]: value })
      expect(faults, `${name}=${value}`).toHaveLength(1)
      expect(faults[0]).toMatch(new RegExp(`^${name} \\w`))
    }
  })

  it('ADMIN_EMAIL refuses a wrong value with the message of the same fault in a request', () => {
    const admin = { ADMIN_USERNAME: 'boss', ADMIN_PASSWORD: 'correct horse battery' }
    expect(faultsOf({ ...admin, ADMIN_EMAIL: 'nowhere' })).toEqual([
      'ADMIN_EMAIL must be an e-mail address such as ada@example.com, with an international domain in its ASCII form (xn--...)',
    ])
  })

  it('JWT_PRIVATE_KEYS refuses keys whose private and public parts do not match, or that share a kid', () => {
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

it.each(['REQUEST_TIMEOUT', 'DRAIN_TIMEOUT'])('%s of more than 1 h is refused', (name) => {
  expect(faultsOf({ [name]: '30d' })).toEqual([`${name} must be 1h or less`])
})

it.each(['http://auth.example/?a=b', 'http://auth.example/#x', 'http://a:b@auth.example'])(
  '%s is refused as a base URL',
  (AUTH_URL) => {
    expect(faultsOf({ AUTH_URL })).toHaveLength(1)
  },
)

describe('a rate', () => {
  it('a rate consists of a number and a duration', () => {
    expect(load({ LOGIN_FAILURES_PER_ACCOUNT: '3/90s' }).settings.auth).toMatchObject({
      LOGIN_FAILURES_PER_ACCOUNT: { max: 3, withinMs: 90_000 },
    })
  })

  it.each(['10', '10/', '/15m', '0/15m', '10/0m', '-1/15m', '10/15', '10 / 15m', '1.5/15m', '10/15m/2'])(
    'the rate %j is refused',
    (value) => {
      expect(faultsOf({ REGISTRATIONS_PER_ADDRESS: value })).toEqual([
        'REGISTRATIONS_PER_ADDRESS must be a number and a duration, such as 10/15m',
      ])
    },
  )

  it('a rate has a period of at most a year, so that adding the period to a date gives a valid date', () => {
    expect(
      faultsOf({ REGISTRATIONS_PER_ADDRESS: '10/365d', LOGIN_FAILURES_PER_ADDRESS: '999999999/1ms' }),
    ).toEqual([])
    expect(faultsOf({ REGISTRATIONS_PER_ADDRESS: '10/366d' })).toEqual([
      'REGISTRATIONS_PER_ADDRESS must be within 365d or less',
    ])
  })
})

describe('TRUSTED_PROXIES', () => {
  it('TRUSTED_PROXIES lists addresses and ranges', () => {
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
  ])('TRUSTED_PROXIES refuses %j', (value) => {
    expect(faultsOf({ TRUSTED_PROXIES: value })).toEqual([
      'TRUSTED_PROXIES must be a comma list of addresses and CIDR ranges such as 10.0.0.0/8',
    ])
  })
})
