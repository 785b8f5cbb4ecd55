import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Operator, startOperator } from '#test/support/operator.ts'
import { admin, type Shop, startShop } from '#test/support/shop.ts'
import { demoCustomer } from './demo-accounts.ts'

let shop: Shop
let operator: Operator
beforeAll(async () => {
  shop = await startShop()
  operator = await startOperator(shop.database)
})
afterAll(async () => {
  await operator.close()
  await shop.close()
})

const users = async (of = shop) => (await of.collections('auth')).collection('users')
const signIn = (username: string, password: string) => shop.post('/login', { body: { username, password } })
const refresh = (refreshToken: string) => shop.post('/token/refresh', { body: { refreshToken } })
const roleOf = async (token: string) => (await shop.get('/profile', { token })).body.role

describe('create', () => {
  it.each([
    ['a name that is taken', [admin.username, 'new@example.com'], 'long and unusual', /is taken/],
    ['an address that is taken', ['newcomer', admin.email], 'long and unusual', /already has an account/],
    ['a malformed name', ['a b', 'new@example.com'], 'long and unusual', /username: must have 3 to 30/],
    ['a malformed address', ['newcomer', 'nobody'], 'long and unusual', /e-mail: must be an e-mail/],
    [
      'a long address',
      ['newcomer', `${'a'.repeat(250)}@example.com`],
      'long and unusual',
      /e-mail: must have at most 254 characters/,
    ],
    ['a short password', ['newcomer', 'new@example.com'], 'short', /password: must have 8 characters/],
    ['a common password', ['newcomer', 'new@example.com'], 'trustno1', /password: .*most common/],
    ['a password with the name', ['newcomer', 'new@example.com'], 'Newcomer 12', /password: .*username/],
  ])('create refuses %s, and gives the reason', async (_what, args, password, reason) => {
    await expect(operator.run('create', args, () => password)).rejects.toThrow(reason)
    expect(await (await users()).countDocuments({ username: 'newcomer' })).toBe(0)
  })
})

describe('promote and demote', () => {
  it('promote refuses an account with the public password of the demo until its password is reset', async () => {
    const { username, password } = demoCustomer
    await shop.post('/register', { body: demoCustomer })
    await expect(operator.run('promote', [username])).rejects.toThrow(
      /demo has the password of the demo's customer, which is public: reset/,
    )
    const { body } = await signIn(username, password)
    expect(await roleOf(body.accessToken)).toBe('customer')
    await operator.run('reset-password', [username], () => 'the boat in the bottle')
    expect(await operator.run('promote', [username])).toMatchObject({ text: 'demo is an admin now' })
    await operator.run('demote', [username])
  })

  it('promote and demote change nothing if the account has the role already', async () => {
    const ada = await shop.customer()
    const logged = operator.events.length
    expect(await operator.run('demote', [ada.username])).toMatchObject({
      text: `${ada.username} is not an admin`,
    })
    expect(await operator.run('promote', [admin.username])).toMatchObject({
      text: `${admin.username} is an admin already`,
      json: { role: 'admin' },
    })
    expect(operator.events.slice(logged)).toEqual([])
    expect((await refresh(ada.refreshToken)).status).toBe(200)
  })
})

it.each(['promote', 'demote', 'sign-out', 'reset-password'])(
  '%s refuses an account that does not exist',
  async (name) => {
    const refused = operator.run(name, ['nobody@example.com'], () => 'the boat in the bottle')
    await expect(refused).rejects.toThrow('there is no such account')
  },
)

describe('the last admin', () => {
  let own: Shop
  let operators: [Operator, Operator]
  beforeAll(async () => {
    own = await startShop()
    operators = [await startOperator(own.database), await startOperator(own.database)]
  })
  afterAll(async () => {
    for (const each of operators) await each.close()
    await own.close()
  })
  const admins = async () => (await users(own)).countDocuments({ role: 'admin' })

  it('demote refuses the last admin', async () => {
    await expect(operators[0].run('demote', [admin.username])).rejects.toThrow('is the last admin')
    expect(await admins()).toBe(1)
    expect((await own.login(admin.email, admin.password)).length).toBeGreaterThan(0)
  })

  it('demote succeeds for a customer even if no admin exists', async () => {
    const { username } = await own.customer()
    const accounts = await users(own)
    await accounts.updateMany({ role: 'admin' }, { $set: { role: 'customer' } })
    expect(await operators[0].run('demote', [username])).toMatchObject({
      text: `${username} is not an admin`,
    })
    await accounts.updateOne({ username: admin.username }, { $set: { role: 'admin' } })
  })

  it('one of two concurrent demotions of the last two admins fails', async () => {
    const [first, second] = operators
    const other = await own.customer()
    for (let round = 0; round < 10; round++) {
      await first.run('promote', [admin.username])
      await first.run('promote', [other.username])
      const both = await Promise.allSettled([
        first.run('demote', [admin.username]),
        second.run('demote', [other.username]),
      ])
      expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
      expect(await admins()).toBe(1)
    }
  })
})

describe('list', () => {
  it('list sorts by the creation time of the accounts, not by their ids', async () => {
    const { username } = await shop.customer()
    await operator.run('promote', [username])
    await (await users()).updateOne({ username }, { $set: { createdAt: new Date(0) } })
    const { table } = await operator.run('list', [])
    expect(table?.[1]).toEqual([username, expect.anything(), expect.anything(), '1970-01-01T00:00:00.000Z'])
  })

  it('list has up to a thousand admins, and says whether these are all admins', async () => {
    const own = await startShop()
    const theirs = await startOperator(own.database)
    const { body: profile } = await own.get('/profile', { token: own.adminToken })
    expect((await theirs.run('list', [])).json).toEqual({ admins: [profile], complete: true })

    const accounts = await users(own)
    const { _id, ...boss } = (await accounts.findOne({ username: admin.username })) ?? {}
    await accounts.insertMany(
      Array.from({ length: 1_000 }, (_, n) => ({ ...boss, usernameKey: `boss-${n}`, emailKey: `boss-${n}` })),
    )
    const { table, text, json } = await theirs.run('list', [])
    expect(table).toHaveLength(1_001)
    expect(text).toBe('There are more admins: these are the oldest 1000')
    expect(json).toMatchObject({ complete: false })
    await theirs.close()
    await own.close()
  })
})

it('reset-password replaces a password that was changed while the operator typed the new one', async () => {
  const ada = await shop.customer()
  await operator.run('reset-password', [ada.username], async () => {
    const body = { currentPassword: ada.password, newPassword: 'mine as long as I hold it' }
    expect((await shop.put('/profile/password', { token: ada.token, body })).status).toBe(204)
    return 'found it under the mat'
  })
  expect((await signIn(ada.username, 'mine as long as I hold it')).status).toBe(401)
  expect((await signIn(ada.username, 'found it under the mat')).status).toBe(200)
})
