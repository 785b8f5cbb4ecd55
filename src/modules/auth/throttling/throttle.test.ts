import { randomUUID } from 'node:crypto'
import bcrypt from 'bcrypt'
import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Account, Answer, Client } from '#test/support/client.ts'
import { createGate } from '#test/support/gate.ts'
import { recordCommands, recordedUri } from '#test/support/recorded-commands.ts'
import { databaseName, type Shop, startShop } from '#test/support/shop.ts'
import { generatePrivateKey } from '../sessions/signing-keys.ts'

// Two replicas share one database, so that attempts at both count together.
let replicas: [Shop, Shop]
let shop: Shop
const settings = {
  MONGODB_URI: recordedUri(),
  MONGODB_DATABASE: databaseName(),
  JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
  LOGIN_FAILURES_PER_ACCOUNT: '5/1h',
  LOGIN_FAILURES_PER_ADDRESS: '12/1h',
  REGISTRATIONS_PER_ADDRESS: '8/1h',
}
beforeAll(async () => {
  shop = await startShop({ environment: settings })
  replicas = [shop, await startShop({ environment: settings })]
})
afterAll(async () => {
  for (const replica of replicas) await replica.close()
})
afterEach(() => {
  vi.restoreAllMocks()
})

let addresses = 0
/** An address from which no request has come yet. */
const newAddress = () => {
  addresses += 1
  return `198.18.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}`
}
const from = (address: string, n = 0): Client => (replicas[n % 2] ?? shop).from(address)

/** An account whose owner has signed in from `address` only. */
async function owner(): Promise<Account & { address: string }> {
  const address = newAddress()
  return { ...(await from(address).customer()), address }
}

const attempt = (client: Client, body: Record<string, unknown>): Promise<Answer> =>
  client.post('/login', { body: { password: 'not the one', ...body } })
const statuses = (answers: Answer[]) => answers.map(({ status }) => status)
const countOf = (answers: Answer[], status: number) =>
  statuses(answers).filter((each) => each === status).length

/** Makes all counts older. */
async function ageCounts(seconds: number): Promise<void> {
  const throttles = (await shop.collections('auth')).collection('throttles')
  await throttles.updateMany({}, [{ $set: { expire: { $subtract: ['$expire', seconds * 1_000] } } }])
  await throttles.deleteMany({ expire: { $lt: new Date() } })
}

const { compare } = bcrypt
/** Holds the comparisons of this password at a gate. Other passwords are compared as usual. */
function holdComparisons(password: string) {
  const gate = createGate()
  vi.spyOn(bcrypt, 'compare').mockImplementation(async (given, hash) => {
    if (given === password) await gate.pass()
    return compare(given, hash)
  })
  return gate
}

const passwordPolicy = '"account";q=5;w=3600, "address";q=12;w=3600'
const registrationPolicy = '"address";q=8;w=3600, "name";q=8;w=3600'

/** Expects a refusal, and returns its wait in seconds. */
const expectThrottled = (answer: Answer, policy = passwordPolicy): number => {
  expect(answer).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
  const seconds = Number(answer.headers.get('retry-after'))
  expect(answer.body.retryAfter).toBe(seconds)
  expect(answer.body.detail).toContain(`${seconds} s`)
  // The policy is the same whichever limit was reached, and no answer tells how many attempts are left.
  expect(answer.headers.get('ratelimit-policy')).toBe(policy)
  expect(answer.headers.get('ratelimit')).toBeNull()
  return seconds
}

describe('wrong passwords for an account', () => {
  it('wrong passwords lock an account at the limit, even from different addresses', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 5; wrong++) {
      expect((await attempt(from(newAddress(), wrong), { email: ada.email })).status).toBe(401)
    }
    const compare = vi.spyOn(bcrypt, 'compare')
    const seconds = expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
    expect(seconds).toBeGreaterThan(3_590)
    expect(seconds).toBeLessThanOrEqual(3_600)
    // No password is compared any more, for either name, and not even the correct password.
    expectThrottled(await attempt(from(newAddress()), { username: ada.username.toUpperCase() }))
    expectThrottled(await attempt(from(newAddress()), { email: ada.email, password: ada.password }))
    expect(compare).not.toHaveBeenCalled()
  })

  it('concurrent wrong passwords are compared no more often than the limit allows, over all replicas', async () => {
    const ada = await owner()
    const compare = vi.spyOn(bcrypt, 'compare')
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, n) => attempt(from(newAddress(), n), { email: ada.email })),
    )
    expect([countOf(answers, 401), countOf(answers, 429)]).toEqual([5, 55])
    expect(compare).toHaveBeenCalledTimes(5)
  })

  it('each lockout lasts twice as long as the previous one, up to eight periods, until a quiet time resets it', async () => {
    const ada = await owner()
    const useUp = async () => {
      for (let wrong = 1; wrong <= 5; wrong++) {
        expect((await attempt(from(newAddress()), { email: ada.email })).status).toBe(401)
      }
      return expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
    }
    for (const periods of [1, 2, 4, 8, 8]) {
      const seconds = await useUp()
      expect(seconds).toBeGreaterThan(periods * 3_600 - 10)
      expect(seconds).toBeLessThanOrEqual(periods * 3_600)
      await ageCounts(periods * 3_600 - 30)
      expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
      await ageCounts(31)
    }
    await ageCounts(8 * 3_600 + 1)
    expect(await useUp()).toBeLessThanOrEqual(3_600)
  })

  it('wrong passwords no longer count after the period', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 4; wrong++) await attempt(from(newAddress()), { email: ada.email })
    await ageCounts(3_601)
    for (let wrong = 1; wrong <= 5; wrong++) {
      expect((await attempt(from(newAddress()), { email: ada.email })).status).toBe(401)
    }
    expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
  })

  it('wrong passwords are counted for an unknown account as for an existing one', async () => {
    const email = `${randomUUID()}@example.com`
    const answers = []
    for (let wrong = 1; wrong <= 7; wrong++) answers.push(await attempt(from(newAddress()), { email }))
    expect(statuses(answers)).toEqual([401, 401, 401, 401, 401, 429, 429])
    expectThrottled(await attempt(from(newAddress()), { email: email.toUpperCase() }))
  })

  it('attempts for an e-mail address do not count for the same text as a username, whether an account exists or not', async () => {
    const ada = await owner()
    for (const email of [ada.email, `${randomUUID()}@example.com`]) {
      for (let wrong = 1; wrong <= 5; wrong++) await attempt(from(newAddress()), { email })
      expectThrottled(await attempt(from(newAddress()), { email }))
      expect((await attempt(from(newAddress()), { username: email })).status).toBe(401)
    }
  })

  it('attempts with an account id as the username do not count for the account', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 6; wrong++) await attempt(from(newAddress()), { username: ada.userId })
    expect((await attempt(from(newAddress()), { email: ada.email, password: ada.password })).status).toBe(200)
  })

  it('wrong current passwords in password changes count as wrong passwords', async () => {
    const ada = await owner()
    const change = (address: string, currentPassword: string) =>
      from(address).put('/profile/password', {
        token: ada.token,
        body: { currentPassword, newPassword: 'staples for the battery' },
      })
    for (let wrong = 1; wrong <= 5; wrong++) {
      expect(await change(newAddress(), 'not the one')).toMatchObject({
        status: 422,
        body: { code: 'wrong_password' },
      })
    }
    expectThrottled(await change(newAddress(), ada.password))
    expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
    expect((await change(ada.address, ada.password)).status).toBe(204)
  })
})

describe('the owner of an account under attack', () => {
  it('the owner signs in from a known network while the account is locked', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 20; wrong++) await attempt(from(newAddress(), wrong), { email: ada.email })
    expect((await attempt(from(ada.address), { email: ada.email, password: ada.password })).status).toBe(200)
    expectThrottled(await attempt(from(newAddress()), { email: ada.email, password: ada.password }))
  })

  it('the owner signs in from a known network even if the address of the owner is locked', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 13; wrong++)
      await attempt(from(ada.address), { email: `${randomUUID()}@example.com` })
    expectThrottled(await attempt(from(ada.address), { email: `${randomUUID()}@example.com` }))
    expect((await attempt(from(ada.address), { email: ada.email, password: ada.password })).status).toBe(200)
  })

  it('the owner has separate attempts at a known network, up to the limit', async () => {
    const ada = await owner()
    const answers = []
    for (let wrong = 1; wrong <= 6; wrong++)
      answers.push(await attempt(from(ada.address, wrong), { email: ada.email }))
    expect(statuses(answers)).toEqual([401, 401, 401, 401, 401, 429])
    // These attempts do not count at other addresses.
    expect((await attempt(from(newAddress()), { email: ada.email, password: ada.password })).status).toBe(200)
  })

  it('the owner is recognized at any address of a known IPv6 network', async () => {
    const ada = await from('2001:db8:77:1::1').customer()
    for (let wrong = 1; wrong <= 6; wrong++) await attempt(from(newAddress()), { email: ada.email })
    const right = { email: ada.email, password: ada.password }
    expect((await attempt(from('2001:db8:77:1:abcd::9'), right)).status).toBe(200)
    expectThrottled(await attempt(from('2001:db8:77:2::1'), right))
  })
})

describe('correct passwords', () => {
  it('correct passwords reach no limit, even if many come from many addresses', async () => {
    const ada = await owner()
    const right = { email: ada.email, password: ada.password }
    for (let round = 0; round < 3; round++) {
      const answers = []
      for (let n = 0; n < 8; n++) answers.push(await attempt(from(newAddress(), n), right))
      expect(statuses(answers)).toEqual(Array(8).fill(200))
    }
    const atOnce = await Promise.all(
      Array.from({ length: 30 }, (_, n) => attempt(from(ada.address, n), right)),
    )
    expect(statuses(atOnce)).toEqual(Array(30).fill(200))
  })

  it('a correct password does not reset the count of wrong ones', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 4; wrong++) await attempt(from(newAddress()), { email: ada.email })
    await attempt(from(newAddress()), { email: ada.email, password: ada.password })
    expect((await attempt(from(newAddress()), { email: ada.email })).status).toBe(401)
    expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
  })

  it('a correct password takes back its own attempt, and no attempt of a later count', async () => {
    const ada = await owner()
    const right = { email: ada.email, password: ada.password }
    const gate = holdComparisons(ada.password)
    const signingIn = attempt(from(newAddress()), right)
    await gate.reached
    await ageCounts(3_601)
    expect((await attempt(from(newAddress(), 1), { email: ada.email })).status).toBe(401)
    gate.open()
    expect((await signingIn).status).toBe(200)
    for (let wrong = 2; wrong <= 5; wrong++) {
      expect((await attempt(from(newAddress()), { email: ada.email })).status).toBe(401)
    }
    expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
  })

  it('an attempt in progress delays the next one by a second only', async () => {
    const ada = await owner()
    const right = { email: ada.email, password: ada.password }
    for (let wrong = 1; wrong <= 4; wrong++) await attempt(from(newAddress()), { email: ada.email })
    const gate = holdComparisons(ada.password)
    const first = attempt(from(newAddress(), 0), right)
    await gate.reached
    const address = newAddress()
    expect(expectThrottled(await attempt(from(address, 1), right))).toBe(1)
    gate.open()
    expect((await first).status).toBe(200)
    expect((await attempt(from(address, 1), right)).status).toBe(200)
  })

  it('a correct password among wrong ones does not lengthen the lockout', async () => {
    const ada = await owner()
    const right = holdComparisons(ada.password)
    const signingIn = attempt(from(newAddress(), 0), { email: ada.email, password: ada.password })
    await right.reached
    for (let wrong = 1; wrong <= 3; wrong++) await attempt(from(newAddress(), 1), { email: ada.email })
    // Two attempts are counted as the fifth, because the correct attempt is taken back between them.
    const fifth = holdComparisons('wrong the fifth time')
    const first = attempt(from(newAddress(), 1), { email: ada.email, password: 'wrong the fifth time' })
    await fifth.reached
    right.open()
    expect((await signingIn).status).toBe(200)
    const again = holdComparisons('and wrong once more')
    const second = attempt(from(newAddress(), 0), { email: ada.email, password: 'and wrong once more' })
    await again.reached
    fifth.open()
    expect((await first).status).toBe(401)
    again.open()
    expect((await second).status).toBe(401)
    expect(expectThrottled(await attempt(from(newAddress()), { email: ada.email }))).toBeLessThanOrEqual(
      3_600,
    )
  })

  it('an attempt whose comparison fails does not count', async () => {
    const ada = await owner()
    const compare = vi.spyOn(bcrypt, 'compare').mockRejectedValue(new Error('out of memory'))
    const right = { email: ada.email, password: ada.password }
    for (let failed = 1; failed <= 6; failed++) {
      expect((await attempt(from(newAddress()), right)).status).toBe(500)
    }
    compare.mockRestore()
    expect((await attempt(from(newAddress()), right)).status).toBe(200)
  })
})

describe('wrong passwords from an address', () => {
  it('wrong passwords lock an address at the limit, even for different accounts', async () => {
    const address = newAddress()
    const answers = []
    for (let wrong = 1; wrong <= 14; wrong++)
      answers.push(await attempt(from(address, wrong), { email: `${randomUUID()}@example.com` }))
    expect(statuses(answers)).toEqual([...Array(12).fill(401), 429, 429])
    const ada = await owner()
    expectThrottled(await attempt(from(address), { email: ada.email, password: ada.password }))
    expect((await attempt(from(newAddress()), { email: ada.email, password: ada.password })).status).toBe(200)
  })

  it('a refusal has the longer of the waits if both the account and the address are locked', async () => {
    const ada = await owner()
    const address = newAddress()
    for (let wrong = 1; wrong <= 5; wrong++) await attempt(from(newAddress()), { email: ada.email })
    await ageCounts(1_800)
    for (let wrong = 1; wrong <= 12; wrong++)
      await attempt(from(address), { email: `${randomUUID()}@example.com` })
    expect(expectThrottled(await attempt(from(newAddress()), { email: ada.email }))).toBeLessThanOrEqual(
      1_800,
    )
    expect(expectThrottled(await attempt(from(address), { email: ada.email }))).toBeGreaterThan(3_500)
  })

  it('wrong passwords count for the whole IPv6 network of their address', async () => {
    const answers = []
    for (let wrong = 1; wrong <= 13; wrong++)
      answers.push(await attempt(from(`2001:db8:99:1::${wrong}`), { email: `${randomUUID()}@example.com` }))
    expect(statuses(answers)).toEqual([...Array(12).fill(401), 429])
  })
})

describe('registrations', () => {
  const register = (client: Client, fields: Record<string, unknown> = {}) => {
    const name = `r-${randomUUID().slice(0, 12)}`
    const body = {
      username: name,
      email: `${name}@example.com`,
      password: 'correct horse battery',
      ...fields,
    }
    return client.post('/register', { body })
  }

  it('registrations lock an address at the limit, whether they succeed or not', async () => {
    const address = newAddress()
    const ada = await owner()
    const answers = []
    for (let n = 0; n < 4; n++) answers.push(await register(from(address, n)))
    for (let n = 0; n < 4; n++) answers.push(await register(from(address, n), { email: ada.email }))
    expect(statuses(answers)).toEqual([201, 201, 201, 201, 409, 409, 409, 409])
    expectThrottled(await register(from(address)), registrationPolicy)
    expect((await register(from(newAddress()))).status).toBe(201)
    // A registration with an invalid body is not counted.
    const invalid = newAddress()
    for (let n = 0; n < 10; n++)
      expect((await register(from(invalid), { password: 'short' })).status).toBe(400)
    expect((await register(from(invalid))).status).toBe(201)
  })

  it('concurrent registrations from an address do not exceed the limit', async () => {
    const address = newAddress()
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => register(from(address, n))))
    expect([countOf(answers, 201), countOf(answers, 429)]).toEqual([8, 22])
  })

  it('registrations of a taken name lock this name at the limit, and no other name', async () => {
    const ada = await owner()
    const email = `${randomUUID()}@example.com`
    for (let n = 0; n < 8; n++) {
      expect(await register(from(newAddress()), { username: ada.username, email })).toMatchObject({
        status: 409,
        body: { code: 'username_taken' },
      })
    }
    const taken = { username: ada.username.toUpperCase(), email }
    expectThrottled(await register(from(newAddress()), taken), registrationPolicy)
    expect((await register(from(newAddress()), { email })).status).toBe(201)
  })

  it('concurrent registrations of one e-mail address create one account, and the others get 409', async () => {
    const email = `${randomUUID()}@example.com`
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => register(from(newAddress(), n), { email })),
    )
    expect([countOf(answers, 201), countOf(answers, 409)]).toEqual([1, 7])
  })
})

describe('throttled requests', () => {
  it('a throttled request costs only reads', async () => {
    const ada = await owner()
    for (let wrong = 1; wrong <= 5; wrong++) await attempt(from(newAddress()), { email: ada.email })
    const address = newAddress()
    const register = () => {
      const username = `r-${randomUUID().slice(0, 12)}`
      const body = { username, email: `${username}@example.com`, password: 'correct horse battery' }
      return from(address).post('/register', { body })
    }
    for (let n = 1; n <= 8; n++) await register()
    const hash = vi.spyOn(bcrypt, 'hash')
    const compare = vi.spyOn(bcrypt, 'compare')
    const commands = recordCommands()
    for (let n = 1; n <= 5; n++) expectThrottled(await attempt(from(newAddress()), { email: ada.email }))
    for (let n = 1; n <= 5; n++) expectThrottled(await register(), registrationPolicy)
    const own = commands.take().filter(({ database }) => database === `${settings.MONGODB_DATABASE}_auth`)
    commands.stop()
    expect(own.filter(({ name }) => name !== 'find')).toEqual([])
    expect(own.length).toBeGreaterThan(10)
    expect(hash).not.toHaveBeenCalled()
    expect(compare).not.toHaveBeenCalled()
  })
})

describe('a failure to count attempts', () => {
  it('no password is compared if attempts cannot be counted', async () => {
    const ada = await owner()
    const counting = vi
      .spyOn(mongoose.mongo.Collection.prototype, 'findOneAndUpdate')
      .mockRejectedValue(new mongoose.mongo.MongoNetworkError('connection closed'))
    const hash = vi.spyOn(bcrypt, 'hash')
    const compare = vi.spyOn(bcrypt, 'compare')
    const unavailable = { status: 503, body: { code: 'dependency_unavailable' } }
    const right = { email: ada.email, password: ada.password }
    expect(await attempt(from(newAddress()), right)).toMatchObject(unavailable)
    expect(await attempt(from(ada.address), right)).toMatchObject(unavailable)
    const body = { username: 'uncounted', email: 'uncounted@example.com', password: 'correct horse battery' }
    expect(await from(newAddress()).post('/register', { body })).toMatchObject(unavailable)
    expect(compare).not.toHaveBeenCalled()
    expect(hash).not.toHaveBeenCalled()
    counting.mockRestore()
    expect((await attempt(from(newAddress()), right)).status).toBe(200)
  })
})

describe('the counters', () => {
  it('counters expire, and a name over the maximum length is not counted', async () => {
    const throttles = (await shop.collections('auth')).collection('throttles')
    expect(await throttles.indexes()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ key: { key: 1 }, unique: true }),
        expect.objectContaining({ key: { expire: 1 }, expireAfterSeconds: 0 }),
      ]),
    )
    expect(await throttles.countDocuments({ expire: null })).toBe(0)
    expect((await attempt(from(newAddress()), { username: 'x'.repeat(255) })).status).toBe(400)
  })

  it('counters contain no text that a user typed, because it may be a password', async () => {
    const ada = await owner()
    const slip = `slip-${randomUUID()}`
    await attempt(from(newAddress()), { username: slip })
    await attempt(from(newAddress()), { email: slip })
    const body = { ...ada, email: `${slip}@example.com` }
    const { username, email, password } = body
    await from(newAddress()).post('/register', { body: { username, email, password } })
    const throttles = (await shop.collections('auth')).collection('throttles')
    const kept = JSON.stringify(await throttles.find().toArray())
    expect(kept).toContain(ada.userId)
    for (const typed of [slip, ada.username, ada.email]) expect(kept).not.toContain(typed)
  })
})
