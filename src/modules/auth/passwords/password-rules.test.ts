import bcrypt from 'bcrypt'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { recordCommands, recordedUri } from '#test/support/recorded-commands.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import { weaknessOf } from './password-policy.ts'
import { commonPasswords } from './password-strength.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop({ environment: { MONGODB_URI: recordedUri() } })
})
afterAll(() => shop.close())
afterEach(() => {
  vi.restoreAllMocks()
})

const users = async () => (await shop.collections('auth')).collection('users')

const longest = 'staple horse battery 9, '.repeat(3)
const longestOfTwoBytes = 'восемьдесятлошадейскачутчерезполедомой'.slice(0, 36)

let registered = 0
/** The two requests that set a password, and the place of the password in their bodies. */
const requests = {
  'at a registration': {
    pointer: '/password',
    async answer(password: unknown) {
      registered += 1
      const body = {
        username: `Grace.Hopper${registered}`,
        email: `Amazing.Grace${registered}@Example.com`,
        password,
      }
      return shop.post('/register', { body })
    },
    accepted: 201,
  },
  'at a change': {
    pointer: '/newPassword',
    async answer(password: unknown) {
      registered += 1
      const account = {
        username: `Grace.Hopper${registered}`,
        email: `Amazing.Grace${registered}@Example.com`,
      }
      const current = 'correct horse battery'
      await shop.post('/register', { body: { ...account, password: current } })
      const token = await shop.login(account.email, current)
      return shop.put('/profile/password', {
        token,
        body: { currentPassword: current, newPassword: password },
      })
    },
    accepted: 204,
  },
}

describe.each(Object.entries(requests))(
  'rules for a new password, %s',
  (_request, { pointer, answer, accepted }) => {
    it.each([
      ['of 8 characters', 'kj4h-2k1'],
      ['of 8 characters that are 32 bytes', '🦊🦉🐢🐙🦀🐝🦔🐌'],
      ['of 72 bytes', longest],
      ['of 72 bytes in 36 characters', longestOfTwoBytes],
      ['with spaces around it', '  spaces count  '],
      ['of one kind of character', 'onlylowercaseletters'],
      ['with a short part of a name', 'hop on the bus at nine'],
    ])('a new password %s is accepted', async (_what, password) => {
      expect(await answer(password)).toMatchObject({ status: accepted })
    })

    it.each([
      ['of 7 characters', 'kj4h-2k', 'min', /8 characters or more/],
      ['of 4 characters that are 16 bytes', '🦊🦉🐢🐙', 'min', /8 characters or more/],
      ['of 73 bytes', `${longest}x`, 'max', /72 bytes/],
      ['of 37 characters that are 74 bytes', `${longestOfTwoBytes}é`, 'max', /72 bytes/],
      ['with NUL', 'correct\0horse', 'format', /NUL/],
      ['with an unpaired surrogate', 'correct \ud83e horse', 'format', /well-formed/],
      ['that is common', 'password123', 'rule', /most common passwords/],
      ['that is common in capitals', 'PassWord123', 'rule', /most common passwords/],
      ["that contains the program's name", '4 feet of a TRIVET', 'rule', /"trivet"/],
      ['that is one repeated block', 'x'.repeat(72), 'rule', /made of a repeated block/],
      [
        'that is a decorated common word',
        'Summer2024!',
        'rule',
        /made of a common word or name and a date; three unrelated/,
      ],
      ['that is the username', 'Grace.Hopper', 'rule', /username/],
      ['that contains the username', `1 GRACE.HOPPER`, 'rule', /username/],
      ['that contains the e-mail address', `AMAZING.GRACE@example.com`, 'rule', /e-mail/],
      ['that contains the name of the mailbox', 'my amazing.grace!', 'rule', /e-mail/],
    ])('a new password %s is refused with the reason', async (_what, password, code, reason) => {
      const complete = /grace/i.test(password) ? withNumber(password) : password
      const refusal = await answer(complete)
      expect(refusal).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
      expect(refusal.body.errors).toEqual([{ pointer, code, message: expect.stringMatching(reason) }])
    })

    it.each([[12345678], [null], [{ $ne: '' }], [['correct horse battery']]])(
      'a new password that is not a text is refused: %j',
      async (password) => {
        expect(await answer(password)).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
      },
    )

    it('the answer does not repeat a refused password', async () => {
      const refusal = await answer('password123')
      expect(JSON.stringify(refusal.body)).not.toContain('password123')
    })
  },
)

it('each of the 3,000 most common passwords is refused', () => {
  const account = { username: 'Grace.Hopper', email: 'Amazing.Grace@Example.com' }
  const common = commonPasswords.filter((password) => password.length >= 8).slice(0, 3_000)
  expect(common).toHaveLength(3_000)
  expect(common.filter((password) => weaknessOf(password, account) === undefined)).toEqual([])
})

/** Adds the number of the next account to the names in a password, because the names of each test account end with its number. */
const withNumber = (password: string): string =>
  password.replace(/(hopper|grace)(?!\.)/i, (name) => `${name}${registered + 1}`)

describe('the upgrade of a hash', () => {
  it('a sign-in upgrades the hash after BCRYPT_COST has grown, and ends no session', async () => {
    const ada = await shop.customer()
    const later = await startShop({ environment: { MONGODB_DATABASE: shop.database, BCRYPT_COST: '5' } })
    const costNow = async () =>
      bcrypt.getRounds((await (await users()).findOne({ email: ada.email }))?.passwordHash)
    expect(await costNow()).toBe(4)
    const wrong = { body: { email: ada.email, password: 'not the one' } }
    expect((await later.post('/login', wrong)).status).toBe(401)
    expect(await costNow()).toBe(4)

    await Promise.all([later.login(ada.email, ada.password), later.login(ada.email, ada.password)])
    expect(await costNow()).toBe(5)
    expect((await shop.post('/token/refresh', { body: { refreshToken: ada.refreshToken } })).status).toBe(200)
    // A replica that still has the old setting does not lower the cost again.
    expect((await shop.login(ada.email, ada.password)).length).toBeGreaterThan(0)
    expect(await costNow()).toBe(5)
    await later.close()
  })

  it('a sign-in succeeds in time if its hash cannot be upgraded', async () => {
    const ada = await shop.customer()
    const later = await startShop({
      environment: { MONGODB_DATABASE: shop.database, BCRYPT_COST: '5', REQUEST_TIMEOUT: '8s' },
    })
    vi.spyOn(bcrypt, 'hash').mockImplementation(() => new Promise(() => {}))
    const started = performance.now()
    expect((await later.login(ada.email, ada.password)).length).toBeGreaterThan(0)
    // The answer must come before a gateway gives up, which started to count the time of the request earlier.
    expect(performance.now() - started).toBeLessThan(8_000)
    await later.close()
  })

  it('a password change succeeds if a sign-in upgrades the hash meanwhile', async () => {
    const ada = await shop.customer()
    const later = await startShop({ environment: { MONGODB_DATABASE: shop.database, BCRYPT_COST: '5' } })
    const original = bcrypt.hash
    let upgraded = false
    vi.spyOn(bcrypt, 'hash').mockImplementationOnce(async (data, rounds) => {
      // At this time, the old password is verified and the new one is not stored yet.
      await later.login(ada.email, ada.password)
      upgraded = true
      return original(data, rounds)
    })
    const body = { currentPassword: ada.password, newPassword: 'staples for the battery' }
    expect((await shop.put('/profile/password', { token: ada.token, body })).status).toBe(204)
    expect(upgraded).toBe(true)
    expect((await shop.post('/login', { body: { email: ada.email, password: ada.password } })).status).toBe(
      401,
    )
    expect((await shop.login(ada.email, body.newPassword)).length).toBeGreaterThan(0)
    await later.close()
  })
})

it('a password change with a wrong current password is refused before the new password is checked', async () => {
  const ada = await shop.customer()
  const body = { currentPassword: 'not the one', newPassword: 'password123' }
  const answer = await shop.put('/profile/password', { token: ada.token, body })
  expect(answer).toMatchObject({ status: 422, body: { code: 'wrong_password' } })
  expect(answer.headers.has('www-authenticate')).toBe(false)
})

it('a password change to the same password ends every session', async () => {
  const ada = await shop.customer()
  const body = { currentPassword: ada.password, newPassword: ada.password }
  expect((await shop.put('/profile/password', { token: ada.token, body })).status).toBe(204)
  expect((await shop.post('/token/refresh', { body: { refreshToken: ada.refreshToken } })).status).toBe(401)
  expect((await shop.login(ada.email, ada.password)).length).toBeGreaterThan(0)
})

describe('sign-in with a slightly different password', () => {
  /** Registers with a password and signs in with another one. */
  const signInWith = async (password: string, attempted: string) => {
    registered += 1
    const email = `as-it-is-${registered}@example.com`
    const account = { username: `taken-${registered}`, email, password }
    expect((await shop.post('/register', { body: account })).status).toBe(201)
    return (await shop.post('/login', { body: { email, password: attempted } })).status
  }

  it.each([
    ['in title case', 'correct horse battery', 'Correct Horse Battery'],
    ['with a space at the end', 'correct horse battery', 'correct horse battery '],
    ['with NUL and a text at the end', 'correct horse battery', 'correct horse battery\0 staple'],
    ['with a 73rd byte', longest, `${longest}x`],
    ['repeated twelve times', longest, longest.repeat(12)],
    ['in another normalization form', 'caf\u00e9 au lait', 'cafe\u0301 au lait'],
    ['in compatibility characters', 'fine words indeed', '\ufb01ne words indeed'],
    ['with an unpaired surrogate instead of U+FFFD', 'correct \ufffd horse', 'correct \ud83e horse'],
  ])('a sign-in fails if the password differs: %s', async (_what, password, attempted) => {
    expect(await signInWith(password, attempted)).toBe(401)
    expect(await signInWith(password, password)).toBe(200)
  })
})

it('other requests are answered while many sign-ins wait', async () => {
  const own = await startShop({ environment: { BCRYPT_COST: '9', REQUEST_TIMEOUT: '60s' } })
  const { token } = await own.customer()
  let ended = 0
  const signIns = Array.from({ length: 40 }, async (_, n) => {
    const body = { email: `unknown-${n}@example.com`, password: 'not the one' }
    expect((await own.post('/login', { body })).status).toBe(401)
    ended += 1
  })
  // When the first sign-in has ended, all threads for comparisons are busy with the others.
  await Promise.race(signIns)
  expect((await own.get('/profile', { token })).status).toBe(200)
  expect((await own.get('/products')).status).toBe(200)
  expect(ended).toBeLessThan(20)
  await Promise.all(signIns)
  await own.close()
})

describe('an unknown account', () => {
  it('an unknown account costs the same commands and comparisons as a wrong password', async () => {
    // The owner has not signed in, so that this network is not known for the account.
    const [username, email] = ['somebody', 'somebody@example.com']
    await shop.post('/register', { body: { username, email, password: 'correct horse battery' } })
    const commands = recordCommands()
    const compare = vi.spyOn(bcrypt, 'compare')
    const costOf = async (body: Record<string, string>) => {
      commands.take()
      compare.mockClear()
      expect((await shop.post('/login', { body: { ...body, password: 'not the one' } })).status).toBe(401)
      const sent = commands.take().filter(({ database }) => database.endsWith('_auth'))
      return {
        commands: sent.map(({ name, collection }) => `${name} ${collection}`).toSorted(),
        costs: compare.mock.calls.map(([, hash]) => bcrypt.getRounds(hash)),
      }
    }
    const wrong = await costOf({ email })
    expect(wrong.costs).toEqual([4])
    expect(wrong.commands.length).toBeGreaterThan(4)
    expect(await costOf({ email: 'does-not-exist@example.com' })).toEqual(wrong)
    expect(await costOf({ username: 'does-not-exist' })).toEqual(await costOf({ username }))
    commands.stop()
  })
})
