import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faultsOf, internalSecret, load, privateKeys, production } from '#test/support/configuration.ts'

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

  it('a variable given as a file has the content of the file without the line end', () => {
    const config = load({
      ...production,
      JWT_PRIVATE_KEYS: '',
      JWT_PRIVATE_KEYS_FILE: file(`${privateKeys}\n`),
      INTERNAL_SECRET_FILE: file(internalSecret),
    })
    expect(config.internalSecrets).toEqual([internalSecret])
    expect((config.settings.auth as Record<string, unknown>).JWT_PRIVATE_KEYS).toHaveLength(1)
  })

  it('several modules may read a variable given as one file', () => {
    const { settings } = load({ RETENTION_FILE: file('3d\n') })
    const retention = { RETENTION: 3 * 86_400_000 }
    expect(settings).toMatchObject({ product: retention, order: retention })
  })

  it('a variable given as a file is a fault if the file is missing or the variable is set too, and is unset if the file is empty', () => {
    const missing = join(folder, 'missing')
    expect(faultsOf({ MONGODB_URI_FILE: missing })).toEqual([
      expect.stringMatching(/^MONGODB_URI_FILE cannot be read: .*missing/),
    ])
    expect(faultsOf({ PORT: '1', PORT_FILE: file('2') })).toEqual([
      'PORT and PORT_FILE are both set: set one of them',
    ])
    expect(load({ PORT_FILE: file('\n') }).port).toBe(3000)
  })

  it('a variable given as a file is checked like any other, and the fault does not show its value', () => {
    const faults = faultsOf({ ...production, INTERNAL_SECRET_FILE: file('too short') })
    expect(faults).toEqual(['INTERNAL_SECRET must have 32 bytes or more, as each of a comma list'])
  })

  const longSecret = 'a secret of more than thirty-two bytes'

  it.each([
    ['line ends', `${longSecret}\r\n\n`],
    ['white space', `${longSecret} \t`],
    ['a byte order mark', `\uFEFF${longSecret}`],
    ['a byte order mark and a line end', `\uFEFF${longSecret}\n`],
  ])('a variable has a value without %s, both in a file and in the environment', (_what, text) => {
    expect(load({ INTERNAL_SECRET_FILE: file(text) }).internalSecrets).toEqual([longSecret])
    expect(load({ INTERNAL_SECRET: text }).internalSecrets).toEqual([longSecret])
  })

  it('a variable given as a file may have a path that ends with a line end', () => {
    expect(load({ INTERNAL_SECRET_FILE: `${file(longSecret)}\n` }).internalSecrets).toEqual([longSecret])
  })

  it.each([
    ['UTF-16 with a byte order mark', Buffer.from(`\uFEFF${longSecret}`, 'utf16le')],
    ['UTF-16 without a byte order mark', Buffer.from(longSecret, 'utf16le')],
    ['Latin-1', Buffer.from('übermäßig geheim und mehr als zweiunddreißig Bytes', 'latin1')],
  ])('a variable given as a file is a fault if the file is %s', (_what, bytes) => {
    expect(faultsOf({ INTERNAL_SECRET_FILE: file(bytes) })).toEqual([
      expect.stringMatching(/^INTERNAL_SECRET_FILE must name a file with text in UTF-8: /),
    ])
  })

  it.each([
    ['a folder', () => folder, 'cannot be read: .*: it is a folder, not a file'],
    ['below a file', () => join(file('x'), 'y'), 'cannot be read: .*: part of the path is a file'],
    ['without an end', () => '/dev/zero', 'must name a file of 1 MiB or less: /dev/zero'],
  ])(
    'a variable given as a file is one fault if the path is %s, even if the variable is required',
    (_what, path, complaint) => {
      expect(faultsOf({ ...production, MONGODB_URI: '', MONGODB_URI_FILE: path() })).toEqual([
        expect.stringMatching(`^MONGODB_URI_FILE ${complaint}`),
      ])
    },
  )

  it('a file is read only if its variable is a setting', () => {
    expect(load({ SSL_CERT_FILE: '/nowhere', PATH_FILE: '/nowhere' }).port).toBe(3000)
  })
})

describe('white space and line ends at the end of a value', () => {
  it('white space and line ends at the end of a value are removed for every setting', () => {
    const plain = {
      NODE_ENV: 'production',
      SERVICE: 'auth',
      PORT: '3001',
      HOST: '127.0.0.1',
      MONGODB_URI: 'mongodb://db.example/?replicaSet=rs',
      MONGODB_DATABASE: 'shop',
      DATA_DIR: 'elsewhere',
      AUTH_URL: 'http://auth.example',
      INTERNAL_SECRET: internalSecret,
      JWT_PRIVATE_KEYS: privateKeys,
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

  it('white space at the end of a value does not turn production into development', () => {
    expect(faultsOf({ NODE_ENV: 'production\n' })).toContainEqual(
      expect.stringMatching(/^MONGODB_URI is required/),
    )
  })
})

it('a value with bytes that are not UTF-8 is refused, because Node.js would change the value', () => {
  expect(
    faultsOf({
      ADMIN_USERNAME: 'boss',
      ADMIN_EMAIL: 'boss@example.com',
      ADMIN_PASSWORD: 'p\uFFFDssword 9 horses',
    }),
  ).toEqual(['ADMIN_PASSWORD must be text in UTF-8'])
})
