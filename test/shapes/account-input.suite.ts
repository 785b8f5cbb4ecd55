import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import type { Deployment } from '#test/support/processes.ts'
import { type DescribedApi, describeApi } from './described-api.ts'

/** Rules for e-mail addresses, passwords and names. */
export function accountInputSuite(deployment: () => Deployment) {
  let api: DescribedApi
  beforeAll(async () => {
    api = await describeApi(deployment())
  })

  const register = (changes: Record<string, string>) => {
    const own = randomUUID().slice(0, 12)
    const body = { username: `u-${own}`, email: `${own}@example.com`, password: 'staple horse battery 9' }
    return api.shop.post('/register', { body: { ...body, ...changes } })
  }

  it('registration and sign-in accept the e-mail addresses that browsers accept', async () => {
    const addresses = [
      ...['xn--p1ai', 'xn--e1afmkfd.xn--p1ai', 'localhost', 'example.museum', '1.example'].map(
        (host) => `a@${host}`,
      ),
      ..."&/!=#%'*+?^_`{|}~.$-".split('').map((character) => `a${character}b@example.com`),
      '.a..b.@example.com',
      `a@${'b'.repeat(63)}.example`,
      `${'a'.repeat(242)}@example.com`,
    ]
    for (const address of addresses) {
      // A random prefix makes each address new.
      const email = `${randomUUID().slice(0, 8)}${address}`.slice(-254)
      expect((await register({ email })).status, email).toBe(201)
      const body = { email: email.toUpperCase(), password: 'staple horse battery 9' }
      expect((await api.shop.post('/login', { body })).status, email).toBe(200)
    }
  })

  it.each([
    'nobody',
    '@example.com',
    'a@',
    'a@b@example.com',
    'a b@example.com',
    'a@example..com',
    'a@-example.com',
    'a@example-.com',
    'a@example.com.',
    'a@exam_ple.com',
    '"a b"@example.com',
    'a@[127.0.0.1]',
    'a(b)@example.com',
    'a,b@example.com',
    'a@пример.рф',
    'ä@example.com',
    ' a@example.com',
    'a@example.com\n',
    `a@${'b'.repeat(64)}.com`,
  ])('registration refuses the e-mail address %j, as browsers do', async (email) => {
    const message = expect.stringMatching(/^must be an e-mail address such as ada@example.com, .*xn--/)
    const { status, body } = await register({ email })
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer: '/email', code: 'format', message }],
    })
  })

  it('registration refuses an e-mail address over 254 characters before it parses the address', async () => {
    const message = 'must have at most 254 characters'
    for (const email of [
      `${'a'.repeat(243)}@example.com`,
      'a@'.repeat(400_000),
      `a@${'b.'.repeat(400_000)}`,
    ]) {
      const { status, body } = await register({ email })
      expect({ status, errors: body.errors }).toEqual({
        status: 400,
        errors: [{ pointer: '/email', code: 'max', message }],
      })
    }
  })

  it.each([
    'aaaaaaaa',
    '00000000',
    '12341234',
    'abcdefgh',
    'password123456',
    'Password123!',
    'Passw0rd!',
    'Summer2024!',
    'admin1234',
  ])('registration refuses the password %s because it is easily guessed', async (password) => {
    const message = expect.stringMatching(/^must not be (easily guessed|one of the most common)/)
    const { status, body } = await register({ password })
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer: '/password', code: 'rule', message }],
    })
  })

  it.each([
    ['zero width', '\u200b\u2060'],
    ['Hangul fillers', '\u3164'],
    ['blank Braille', '\u2800\u2800'],
    ['tags', '\u{e0041}'],
  ])('a product name without a visible character is refused: %s', async (_what, name) => {
    const { status, body } = await api.shop.post('/products', {
      token: api.shop.adminToken,
      body: { name, price: 1, stock: 1 },
    })
    const message = 'must have 1 to 200 characters, at least one of them visible'
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer: '/name', code: 'format', message }],
    })
  })

  it('20 concurrent registrations of one e-mail address create one account', async () => {
    const email = `${randomUUID()}@example.com`
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => {
        const written = n % 2 === 0 ? email : email.toUpperCase()
        const body = {
          username: `u-${randomUUID().slice(0, 8)}`,
          email: written,
          password: 'correct horse battery',
        }
        return api.shop.post('/register', { body })
      }),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(409)])
    expect(answers.filter(({ body }) => body.code === 'email_taken')).toHaveLength(19)
    const users = (await api.shop.collections('auth')).collection('users')
    expect(await users.countDocuments({ emailKey: email })).toBe(1)
  })
}
