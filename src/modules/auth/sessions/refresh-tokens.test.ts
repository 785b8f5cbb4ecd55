import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { decode } from 'hono/jwt'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCall } from '#kernel/call.ts'
import type { Account, Answer } from '#test/support/client.ts'
import { databaseName, type Shop, startComposition, startShop } from '#test/support/shop.ts'
import { generatePrivateKey } from './signing-keys.ts'

// Two replicas share one database, so that a token can be used at both.
let replicas: [Shop, Shop]
let shop: Shop
const environment = {
  MONGODB_DATABASE: databaseName(),
  JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
}
beforeAll(async () => {
  const first = await startShop({ environment })
  replicas = [first, await startShop({ environment })]
  shop = first
})
afterAll(async () => {
  for (const replica of replicas) await replica.close()
})

const replica = (n: number): Shop => replicas[n % 2] ?? shop
const useToken = (refreshToken: string, n = 0): Promise<Answer> =>
  replica(n).post('/token/refresh', { body: { refreshToken } })
const rotate = async (refreshToken: string, n = 0): Promise<string> => {
  const answer = await useToken(refreshToken, n)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body.refreshToken
}
const logout = (refreshToken: string) => shop.post('/logout', { body: { refreshToken } })
const families = async () => (await shop.collections('auth')).collection('refreshFamilies')
const refused = { status: 401, body: { code: 'invalid_token' } }

/** Makes the account's families and their spent tokens older. */
async function ageFamilies({ userId }: Pick<Account, 'userId'>, milliseconds: number): Promise<void> {
  const mine = { $expr: { $eq: [{ $toString: '$userId' }, userId] } }
  const aged = {
    input: '$spent',
    in: { hash: '$$this.hash', salt: '$$this.salt', at: { $subtract: ['$$this.at', milliseconds] } },
  }
  await (await families()).updateMany(mine, [
    { $set: { expiresAt: { $subtract: ['$expiresAt', milliseconds] }, spent: { $map: aged } } },
  ])
}

const changePassword = (account: Account, newPassword: string, token = account.token) =>
  shop.put('/profile/password', { token, body: { currentPassword: account.password, newPassword } })

describe('a refresh token', () => {
  it('a refresh token returns a new pair of tokens with the current role', async () => {
    const ada = await shop.customer()
    const answer = await useToken(ada.refreshToken)
    expect(answer).toMatchObject({ status: 200, body: { tokenType: 'Bearer', expiresIn: 900 } })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.body.refreshToken).not.toBe(ada.refreshToken)
    const profile = await shop.get('/profile', { token: answer.body.accessToken })
    expect(profile.body).toMatchObject({ userId: ada.userId, role: 'customer' })
    expect(answer.body.accessToken).not.toBe(ada.token)
  })

  it('refresh tokens are unique, and have 256 random bits or more', async () => {
    const { email, password } = await shop.customer()
    const tokens = await Promise.all(
      [1, 2, 3].map(async () => (await shop.signIn(email, password)).refreshToken),
    )
    expect(new Set(tokens).size).toBe(3)
    for (const token of tokens) expect(Buffer.from(token, 'base64url').length).toBe(16 + 32)
  })

  it('the database contains no refresh token and no part of one', async () => {
    const ada = await shop.customer()
    const tokens = [ada.refreshToken, await rotate(ada.refreshToken)]
    const db = await shop.collections('auth')
    const stored: string[] = []
    for (const { name } of await db.listCollections().toArray())
      stored.push(JSON.stringify(await db.collection(name).find().toArray()))
    const all = stored.join()
    expect(all).toContain(ada.userId)
    for (const token of tokens) {
      const bytes = Buffer.from(token, 'base64url')
      for (const part of [bytes, bytes.subarray(0, 16), bytes.subarray(16)])
        for (const encoding of ['base64url', 'base64', 'hex', 'latin1'] as const)
          expect(all).not.toContain(part.toString(encoding))
    }
  })

  it('a refresh token is refused as an access token', async () => {
    const { refreshToken } = await shop.customer()
    expect(await shop.get('/profile', { token: refreshToken })).toMatchObject(refused)
  })

  it.each<[string, (token: string) => string]>([
    ['an empty text', () => ''],
    ['a truncated token', (token) => token.slice(0, -1)],
    ['an additional character', (token) => `${token}A`],
    ['upper case', (token) => token.toUpperCase()],
    ['another first character', (token) => `${token[0] === 'A' ? 'B' : 'A'}${token.slice(1)}`],
    ['hexadecimal digits', (token) => Buffer.from(token, 'base64url').toString('hex')],
    ['spaces around the token', (token) => ` ${token} `],
    ['an access token', () => 'eyJhbGciOiJFZERTQSJ9.e30.AAAA'],
  ])('a corrupted token is refused, and does not end the family: %s', async (_what, change) => {
    const { refreshToken } = await shop.customer()
    expect(await useToken(change(refreshToken))).toMatchObject(refused)
    expect((await useToken(refreshToken)).status).toBe(200)
  })

  it('a token with a known selector and a wrong secret ends the family', async () => {
    const [ada, grace] = [await shop.customer(), await shop.customer()]
    const [adas, graces] = [ada, grace].map(({ refreshToken }) => Buffer.from(refreshToken, 'base64url'))
    const mixed = Buffer.concat([adas?.subarray(0, 16) ?? '', graces?.subarray(16) ?? ''] as Buffer[])
    expect(await useToken(mixed.toString('base64url'))).toMatchObject(refused)
    expect(await useToken(ada.refreshToken)).toMatchObject(refused)
    const { accessToken } = (await useToken(grace.refreshToken)).body
    expect(decode(accessToken).payload.sub).toBe(grace.userId)
  })

  it.each([
    [{}],
    [{ refreshToken: null }],
    [{ refreshToken: { $gt: '' } }],
    [{ refreshToken: 'x', userId: 'y' }],
  ])('a request without exactly one refresh token is refused: %j', async (body) => {
    for (const path of ['/token/refresh', '/logout'])
      expect(await shop.post(path, { body })).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      })
  })
})

describe('a spent token', () => {
  it('a spent token returns the same successor for ten seconds, because the first answer may be lost', async () => {
    const ada = await shop.customer()
    const second = await rotate(ada.refreshToken)
    await ageFamilies(ada, 5_000)
    expect(await rotate(ada.refreshToken, 1)).toBe(second)
    // A client that got the answer and a client that lost it now have the same token.
    const third = await rotate(second)
    expect(await rotate(second, 1)).toBe(third)
  })

  it('a token that was spent several rotations ago returns the unspent token within ten seconds', async () => {
    const { refreshToken } = await shop.customer()
    let latest = refreshToken
    for (let step = 0; step < 5; step++) latest = await rotate(latest, step)
    expect(await rotate(refreshToken, 1)).toBe(latest)
    expect((await useToken(latest)).status).toBe(200)
  })

  it('concurrent requests with one token get valid pairs of one family, at every replica', async () => {
    const { refreshToken, userId } = await shop.customer()
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => useToken(refreshToken, n)))
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
    expect(new Set(answers.map(({ body }) => body.refreshToken)).size).toBe(1)
    const { body } = await shop.get('/profile', { token: answers[49]?.body.accessToken })
    expect(body.userId).toBe(userId)
    expect((await useToken(answers[0]?.body.refreshToken)).status).toBe(200)
  })

  it('a spent token that is used after ten seconds ends its family, but no other family of the account', async () => {
    const ada = await shop.customer()
    const second = await rotate(ada.refreshToken)
    await ageFamilies(ada, 11_000)
    expect(await useToken(ada.refreshToken, 1)).toMatchObject(refused)
    expect(await useToken(second)).toMatchObject(refused)
    // Another sign-in of the account has its own family.
    const other = await shop.signIn(ada.email, ada.password)
    expect(await useToken(ada.refreshToken)).toMatchObject(refused)
    expect((await useToken(other.refreshToken)).status).toBe(200)
  })

  it('a spent token ends its family, no matter how long ago it was spent', async () => {
    const ada = await shop.customer()
    let latest = ada.refreshToken
    for (let step = 0; step < 25; step++) latest = await rotate(latest)
    await ageFamilies(ada, 11_000)
    latest = await rotate(latest)
    await ageFamilies(ada, 11_000)
    expect(await useToken(ada.refreshToken)).toMatchObject(refused)
    expect(await useToken(latest)).toMatchObject(refused)
  })

  it('a family stores at most 20 spent tokens, and only those of the last ten seconds', async () => {
    const ada = await shop.customer()
    const tokens = [ada.refreshToken]
    for (let step = 0; step < 30; step++) tokens.push(await rotate(tokens[step] as string))
    const latest = tokens[30] as string
    expect(await rotate(tokens[10] as string)).toBe(latest)
    const mine = { $expr: { $eq: [{ $toString: '$userId' }, ada.userId] } }
    const [family] = await (await families()).find(mine).toArray()
    expect(family?.spent).toHaveLength(20)
    await ageFamilies(ada, 11_000)
    await rotate(latest)
    expect((await (await families()).findOne(mine))?.spent).toHaveLength(1)
  })

  it('a token that was spent 21 rotations ago ends its family even within ten seconds', async () => {
    const { refreshToken } = await shop.customer()
    let latest = refreshToken
    for (let step = 0; step < 21; step++) latest = await rotate(latest)
    expect(await useToken(refreshToken)).toMatchObject(refused)
    expect(await useToken(latest)).toMatchObject(refused)
  })
})

describe('a family', () => {
  it('a logout with any token of a family ends the family, and access tokens stay valid', async () => {
    for (const spent of [false, true]) {
      const ada = await shop.customer()
      const second = await rotate(ada.refreshToken)
      const answer = await logout(spent ? ada.refreshToken : second)
      expect(answer).toMatchObject({ status: 204, body: '' })
      for (const token of [ada.refreshToken, second]) expect(await useToken(token)).toMatchObject(refused)
      expect((await shop.get('/profile', { token: ada.token })).status).toBe(200)
      expect((await logout(second)).status).toBe(204)
    }
    expect((await logout('an unknown token')).status).toBe(204)
  })

  it('a logout does not end other families of the account', async () => {
    const ada = await shop.customer()
    const elsewhere = await shop.signIn(ada.email, ada.password)
    expect((await logout(ada.refreshToken)).status).toBe(204)
    expect(await useToken(ada.refreshToken)).toMatchObject(refused)
    expect((await useToken(elsewhere.refreshToken)).status).toBe(200)
  })

  it('a family expires REFRESH_TOKEN_TTL after its sign-in, used or not', async () => {
    const ada = await shop.customer()
    const day = 86_400_000
    await ageFamilies(ada, 29.9 * day)
    const second = await rotate(ada.refreshToken)
    await ageFamilies(ada, 0.2 * day)
    // MongoDB has not deleted the family yet.
    expect(await useToken(second)).toMatchObject(refused)
    const ttl = await (await families()).indexes()
    expect(ttl).toContainEqual(expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }))
  })

  it('a password change ends all families of the account', async () => {
    const ada = await shop.customer()
    const elsewhere = await shop.signIn(ada.email, ada.password)
    expect((await changePassword(ada, 'staples for the battery')).status).toBe(204)
    for (const token of [ada.refreshToken, elsewhere.refreshToken])
      expect(await useToken(token)).toMatchObject(refused)
    const { refreshToken } = await shop.signIn(ada.email, 'staples for the battery')
    expect((await useToken(refreshToken)).status).toBe(200)
  })

  it('a refused password change ends no family', async () => {
    const ada = await shop.customer()
    const body = { currentPassword: 'not the one', newPassword: 'staples for the battery' }
    expect(await shop.put('/profile/password', { token: ada.token, body })).toMatchObject({
      status: 422,
      body: { code: 'wrong_password' },
    })
    expect((await useToken(ada.refreshToken)).status).toBe(200)
  })

  /** Requests that run while all sessions are being ended: a refresh, and sign-ins with the old password. */
  const concurrentRequests = (ada: Account) => [
    useToken(ada.refreshToken, 1),
    ...[0, 1, 2].map((n) =>
      replica(n).post('/login', { body: { email: ada.email, password: ada.password } }),
    ),
  ]

  it('no family survives a concurrent password change', async () => {
    for (let round = 0; round < 15; round++) {
      const ada = await shop.customer()
      const [changed, ...late] = await Promise.all([
        changePassword(ada, 'staples for the battery'),
        ...concurrentRequests(ada),
      ])
      expect(changed?.status).toBe(204)
      // These sign-ins verified the old password, perhaps just before the change.
      const tokens = late.flatMap(({ body }) => body.refreshToken ?? [])
      for (const token of [...tokens, ada.refreshToken]) expect(await useToken(token)).toMatchObject(refused)
    }
  })

  it('no family survives a concurrent change of the role', async () => {
    const operator = await startComposition({ environment })
    await operator.composition.connect(new AbortController().signal)
    for (let round = 0; round < 15; round++) {
      const ada = await shop.customer()
      const [, refreshed, ...late] = await Promise.all([
        operator.composition.runCommand('promote', {
          args: [ada.username],
          readSecret: async () => '',
          createCall: () => createCall(20_000, 'promotion'),
        }),
        ...concurrentRequests(ada),
      ])
      for (const token of [refreshed?.body.refreshToken ?? ada.refreshToken, ada.refreshToken])
        expect(await useToken(token)).toMatchObject(refused)
      for (const { body } of late) {
        const { accessToken } = (await useToken(body.refreshToken)).body
        // The session started either before the change, and has ended, or after it, and has the new role.
        if (accessToken) expect(decode(accessToken).payload.role).toBe('admin')
      }
      const { refreshToken } = await shop.signIn(ada.email, ada.password)
      expect(decode((await useToken(refreshToken)).body.accessToken).payload.role).toBe('admin')
    }
    await operator.close()
  })

  it('no family survives a concurrent logout', async () => {
    for (let round = 0; round < 15; round++) {
      const { refreshToken } = await shop.customer()
      const [answer, ended] = await Promise.all([useToken(refreshToken, 1), logout(refreshToken)])
      expect(ended?.status).toBe(204)
      for (const token of [refreshToken, answer?.body.refreshToken ?? refreshToken])
        expect(await useToken(token)).toMatchObject(refused)
    }
  })

  it('a family ends when its account is deleted', async () => {
    const ada = await shop.customer()
    await (await shop.collections('auth')).collection('users').deleteOne({ email: ada.email })
    expect(await useToken(ada.refreshToken)).toMatchObject(refused)
  })
})

it('one of two concurrent password changes succeeds', async () => {
  const ada = await shop.customer()
  const passwords = ['staples for the battery', 'the other battery staples']
  const answers = await Promise.all(passwords.map((password) => changePassword(ada, password)))
  expect(answers.map(({ status }) => status).toSorted()).toEqual([204, 422])
  const works = await Promise.all(
    passwords.map(
      async (password) => (await shop.post('/login', { body: { email: ada.email, password } })).status,
    ),
  )
  expect(works).toEqual(answers.map(({ status }) => (status === 204 ? 200 : 401)))
})

/** The clock stands still and only tests advance it, so that no test depends on the speed of the machine. */
const advanceClock = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds)
const useFakeClock = () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() })
  })
  afterEach(() => {
    vi.useRealTimers()
  })
}

describe('time limits', () => {
  useFakeClock()

  it('a spent token is accepted for exactly ten seconds', async () => {
    const { refreshToken } = await shop.customer()
    const second = await rotate(refreshToken)
    advanceClock(10_000)
    expect(await rotate(refreshToken, 1)).toBe(second)
    advanceClock(1)
    expect(await useToken(refreshToken, 1)).toMatchObject(refused)
    expect(await useToken(second)).toMatchObject(refused)
  })

  it('repeated use does not extend the ten seconds of a spent token', async () => {
    const { refreshToken } = await shop.customer()
    const second = await rotate(refreshToken)
    for (let seconds = 5; seconds <= 10; seconds += 5) {
      advanceClock(5_000)
      expect(await rotate(refreshToken)).toBe(second)
    }
    advanceClock(5_000)
    expect(await useToken(refreshToken)).toMatchObject(refused)
  })

  it('each spent token has its own ten seconds', async () => {
    const { refreshToken } = await shop.customer()
    const second = await rotate(refreshToken)
    advanceClock(8_000)
    const third = await rotate(second)
    advanceClock(8_000)
    expect(await rotate(second)).toBe(third)
    expect(await useToken(refreshToken)).toMatchObject(refused)
  })

  it('a family lives for exactly REFRESH_TOKEN_TTL', async () => {
    const own = await startShop({ environment: { REFRESH_TOKEN_TTL: '2h' } })
    const [{ refreshToken }, idle] = [await own.customer(), await own.customer()]
    const refresh = (token: string) => own.post('/token/refresh', { body: { refreshToken: token } })
    advanceClock(3_600_000)
    const second = (await refresh(refreshToken)).body.refreshToken
    advanceClock(3_599_999)
    const third = (await refresh(second)).body.refreshToken
    expect((await refresh(third)).status).toBe(200)
    advanceClock(1)
    for (const token of [third, second, idle.refreshToken])
      expect(await refresh(token)).toMatchObject(refused)
    await own.close()
  })

  it('a replica with a slow clock recognizes the successors of a token', async () => {
    const { refreshToken } = await shop.customer()
    const second = await rotate(refreshToken)
    advanceClock(-60_000)
    const third = await rotate(second, 1)
    expect(await rotate(refreshToken, 1)).toBe(third)
    advanceClock(61_000)
    expect(await rotate(refreshToken)).toBe(third)
  })
})

describe('random sequences of operations', () => {
  useFakeClock()

  interface FamilyModel {
    /** The unspent token is the last one. */
    tokens: string[]
    /** The second at which each token was spent. */
    spentAt: number[]
    hasEnded: boolean
  }

  const numbers = { family: fc.nat(), back: fc.oneof(fc.nat(2), fc.nat()) }
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.constant({ do: 'login' as const }) },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('refresh' as const),
        ...numbers,
        atOnce: fc.constantFrom(1, 1, 3),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 5, 10, 11) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('logout', 'forge'), ...numbers }) },
    { weight: 1, arbitrary: fc.constant({ do: 'password' as const }) },
  )

  it('refresh tokens behave as the model does in random sequences of operations', async () => {
    const outcomes = { rotated: 0, repeated: 0, refused: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const ada = await shop.customer()
        const models: FamilyModel[] = [{ tokens: [ada.refreshToken], spentAt: [], hasEnded: false }]
        let now = 0
        let { password } = ada
        for (const [at, action] of steps.entries()) {
          if (action.do === 'login') {
            const { refreshToken } = await replica(at).signIn(ada.email, password)
            models.push({ tokens: [refreshToken], spentAt: [], hasEnded: false })
          } else if (action.do === 'wait') {
            advanceClock(action.seconds * 1_000)
            now += action.seconds
          } else if (action.do === 'password') {
            const newPassword = `copper violin thunder ${at}`
            const body = { currentPassword: password, newPassword }
            expect((await shop.put('/profile/password', { token: ada.token, body })).status).toBe(204)
            password = newPassword
            for (const model of models) model.hasEnded = true
          } else {
            const model = models[action.family % models.length] as FamilyModel
            const spent = model.tokens.length - 1
            const used = spent - (action.back % model.tokens.length)
            const token = model.tokens[used] as string
            if (action.do === 'logout') {
              expect((await logout(token)).status).toBe(204)
              model.hasEnded = true
            } else if (action.do === 'forge') {
              const selector = Buffer.from(token, 'base64url').subarray(0, 16)
              const forged = Buffer.concat([selector, randomBytes(32)]).toString('base64url')
              expect(await useToken(forged, at)).toMatchObject(refused)
              model.hasEnded = true
            } else {
              const isRecent = now - (model.spentAt[used] ?? 0) <= 10 && spent - used <= 20
              const allowed = !model.hasEnded && (used === spent || isRecent)
              const atOnce = Array.from({ length: 'atOnce' in action ? action.atOnce : 1 })
              const answers = await Promise.all(atOnce.map((_, n) => useToken(token, at + n)))
              expect(answers.map(({ status }) => status)).toEqual(atOnce.map(() => (allowed ? 200 : 401)))
              if (!allowed) {
                model.hasEnded = true
                outcomes.refused += 1
              } else if (used < spent) {
                for (const { body } of answers) expect(body.refreshToken).toBe(model.tokens.at(-1))
                outcomes.repeated += 1
              } else {
                const successors = [...new Set(answers.map(({ body }) => body.refreshToken))]
                expect(successors).toHaveLength(1)
                model.spentAt.push(now)
                model.tokens.push(...successors)
                outcomes.rotated += 1
              }
            }
          }
        }
      }),
      { numRuns: 25 },
    )
    // The test means something only if each outcome occurs many times.
    for (const times of Object.values(outcomes)) expect(times).toBeGreaterThan(5)
  }, 120_000)
})
