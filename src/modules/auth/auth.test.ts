import { decode } from 'hono/jwt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { admin, type Shop, startShop } from '#test/support/shop.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop()
})
afterAll(() => shop.close())

const password = 'correct horse battery'

// This password has 70 bytes in 35 characters. The limit is 72 bytes.
const longest = 'восемьдесятлошадейскачутчерезполедо'

describe('registration', () => {
  it('registration creates a customer account, and the answer contains no hash', async () => {
    const body = { username: 'Ada.Lovelace', email: 'Ada@Example.com', password }
    const answer = await shop.post('/register', { body })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe('/profile')
    expect(answer.body).toEqual({
      userId: expect.stringMatching(/^[0-9a-f]{24}$/),
      username: 'Ada.Lovelace',
      email: 'Ada@Example.com',
      role: 'customer',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    })
  })

  it('registration refuses a taken e-mail address or username, in upper or lower case', async () => {
    const { username, email } = await shop.customer()
    const sameEmail = { username: 'other', email: email.toUpperCase(), password }
    expect(await shop.post('/register', { body: sameEmail })).toMatchObject({
      status: 409,
      body: { code: 'email_taken' },
    })
    const sameName = { username: username.toUpperCase(), email: 'other@example.com', password }
    expect(await shop.post('/register', { body: sameName })).toMatchObject({
      status: 409,
      body: { code: 'username_taken' },
    })
  })

  it('one of several concurrent registrations of the same e-mail address succeeds', async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        shop.post('/register', { body: { username: `racer-${n}`, email: 'racer@example.com', password } }),
      ),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.filter(({ body }) => body.code === 'email_taken')).toHaveLength(11)
  })

  it.each([
    ['a role', { role: 'admin' }, '/role'],
    ['a user id', { userId: '0123456789abcdef01234567' }, '/userId'],
    ['a username of 2 characters', { username: 'ab' }, '/username'],
    ['a username with spaces', { username: 'a b c' }, '/username'],
    ['a query operator as the username', { username: { $gt: '' } }, '/username'],
    ['a query operator as the e-mail address', { email: { $gt: '' } }, '/email'],
    ['a query operator as the password', { password: { $gt: '' } }, '/password'],
    ['a text that is not an e-mail address', { email: 'somebody' }, '/email'],
    ['an e-mail address of 262 characters', { email: `${'a'.repeat(250)}@example.com` }, '/email'],
    ['a password of 7 characters', { password: '1234567' }, '/password'],
    ['a password of 73 bytes', { password: 'a'.repeat(73) }, '/password'],
    ['a password of 73 bytes in 37 characters', { password: `${'ä'.repeat(36)}a` }, '/password'],
    ['a password with NUL', { password: 'correct\0horse' }, '/password'],
    ['a password with an unpaired surrogate', { password: 'correct \ud800 horse' }, '/password'],
  ])('registration refuses %s', async (_, change, pointer) => {
    const before = await (await shop.collections('auth')).collection('users').countDocuments()
    const body = { username: 'somebody', email: 'somebody@example.com', password, ...change }
    const answer = await shop.post('/register', { body })
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed', errors: [{ pointer }] } })
    expect(await (await shop.collections('auth')).collection('users').countDocuments()).toBe(before)
  })

  it('sign-in compares all 72 bytes of a password', async () => {
    const body = { username: 'longest', email: 'longest@example.com', password: `${longest}й` }
    expect((await shop.post('/register', { body })).status).toBe(201)
    expect(
      (await shop.post('/login', { body: { username: 'longest', password: body.password } })).status,
    ).toBe(200)
    const shorter = { username: 'longest', password: longest }
    expect((await shop.post('/login', { body: shorter })).status).toBe(401)
    const longer = { username: 'longest', password: `${body.password}x` }
    expect((await shop.post('/login', { body: longer })).status).toBe(401)
  })
})

describe('sign-in', () => {
  it('sign-in accepts the e-mail address or the username, in upper or lower case', async () => {
    const { username, email, userId } = await shop.customer()
    for (const name of [{ email: email.toUpperCase() }, { username: username.toUpperCase() }]) {
      const answer = await shop.post('/login', { body: { ...name, password } })
      expect(answer).toMatchObject({ status: 200, body: { tokenType: 'Bearer', expiresIn: 900 } })
      const { header, payload } = decode(answer.body.accessToken)
      expect(header).toMatchObject({ alg: 'EdDSA', kid: expect.any(String) })
      expect(payload).toMatchObject({ iss: 'trivet', aud: 'trivet', sub: userId, role: 'customer' })
      expect(Number(payload.exp) - Number(payload.iat)).toBe(900)
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
  })

  it('sign-in accepts a password only exactly as it was chosen', async () => {
    const exact = '  Crème brûlée\t4 two '
    const body = { username: 'cook', email: 'cook@example.com', password: exact }
    expect((await shop.post('/register', { body })).status).toBe(201)
    const signIn = async (attempt: string) =>
      (await shop.post('/login', { body: { username: 'cook', password: attempt } })).status
    const near = [exact.trim(), exact.toLowerCase(), exact.toUpperCase(), exact.replace('\t', ' ')]
    for (const attempt of [...near, exact.normalize('NFD'), exact.slice(0, -1), `${exact}\0`])
      expect(await signIn(attempt), JSON.stringify(attempt)).toBe(401)
    expect(await signIn(exact)).toBe(200)
  })

  it('sign-in gives the same answer for an unknown account and a wrong password', async () => {
    const { email } = await shop.customer()
    const wrong = await shop.post('/login', { body: { email, password: 'wrong password' } })
    const unknown = await shop.post('/login', { body: { email: 'unknown@example.com', password } })
    for (const answer of [wrong, unknown]) {
      expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    }
    expect(wrong.body.detail).toBe(unknown.body.detail)
  })

  it.each([
    ['neither an e-mail address nor a username', { password }],
    ['both an e-mail address and a username', { email: 'a@example.com', username: 'ada', password }],
    ['a query operator as the e-mail address', { email: { $gt: '' }, password }],
    ['a query operator as the password', { email: 'a@example.com', password: { $gt: '' } }],
    ['no password', { email: 'a@example.com' }],
  ])('sign-in refuses a body with %s', async (_, body) => {
    expect(await shop.post('/login', { body })).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    })
  })
})

describe('the profile', () => {
  it('the profile is the account of the token', async () => {
    const { token, userId, username, email } = await shop.customer()
    const answer = await shop.get('/profile', { token })
    expect(answer).toMatchObject({ status: 200, body: { userId, username, email, role: 'customer' } })
  })

  it('the profile requires a token', async () => {
    const answer = await shop.get('/profile')
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  })

  it('the profile refuses the token of a deleted account', async () => {
    const { token, email } = await shop.customer()
    await (await shop.collections('auth')).collection('users').deleteOne({ email })
    expect(await shop.get('/profile', { token })).toMatchObject({
      status: 401,
      body: { code: 'invalid_token' },
    })
  })
})

describe('the admin of the settings', () => {
  it('the admin of the settings is created once, and keeps its password if the setting changes', async () => {
    const own = await startShop()
    const users = (await own.collections('auth')).collection('users')
    const [created] = await users.find({ role: 'admin' }).toArray()
    const environment = { MONGODB_DATABASE: own.database, ADMIN_PASSWORD: 'another password' }
    // The second process signs in as the admin with the new password, and fails.
    await expect(startShop({ environment })).rejects.toThrow('sign-in failed')
    expect(await users.find({ role: 'admin' }).toArray()).toEqual([created])
    expect(await own.login(admin.email, admin.password)).toEqual(expect.any(String))
    await own.close()
  })
})
