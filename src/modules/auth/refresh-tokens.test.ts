import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Account, Answer } from '../../../test/client.ts'
import { databaseName, type Shop, startShop } from '../../../test/shop.ts'
import { generatePrivateKey } from './signing-keys.ts'

// Two replicas on one database: what is true of a family is true wherever its token is shown.
let replicas: [Shop, Shop]
let shop: Shop
beforeAll(async () => {
  const environment = {
    MONGODB_DATABASE: databaseName(),
    JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
  }
  const first = await startShop({ environment })
  replicas = [first, await startShop({ environment })]
  shop = first
})
afterAll(async () => {
  for (const replica of replicas) await replica.close()
})

const replica = (n: number): Shop => replicas[n % 2] ?? shop
const show = (refreshToken: string, n = 0): Promise<Answer> =>
  replica(n).post('/token/refresh', { body: { refreshToken } })
const next = async (refreshToken: string, n = 0): Promise<string> => {
  const answer = await show(refreshToken, n)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body.refreshToken
}
const logout = (refreshToken: string) => shop.post('/logout', { body: { refreshToken } })
const families = async () => (await shop.collections('auth')).collection('refreshFamilies')
const refused = { status: 401, body: { code: 'invalid_token' } }

/** As if all that was done with an account's tokens had been done so much earlier. */
async function age({ userId }: Pick<Account, 'userId'>, milliseconds: number): Promise<void> {
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
  it('works once, for a new pair with the role of now', async () => {
    const ada = await shop.customer()
    const answer = await show(ada.refreshToken)
    expect(answer).toMatchObject({ status: 200, body: { tokenType: 'Bearer', expiresIn: 900 } })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.body.refreshToken).not.toBe(ada.refreshToken)
    const profile = await shop.get('/profile', { token: answer.body.accessToken })
    expect(profile.body).toMatchObject({ userId: ada.userId, role: 'customer' })
    expect(answer.body.accessToken).not.toBe(ada.token)
  })

  it('is of 256 random bits and more, and no two are alike', async () => {
    const { email, password } = await shop.customer()
    const tokens = await Promise.all(
      [1, 2, 3].map(async () => (await shop.signIn(email, password)).refreshToken),
    )
    expect(new Set(tokens).size).toBe(3)
    for (const token of tokens) expect(Buffer.from(token, 'base64url').length).toBe(16 + 32)
  })

  it('is nowhere in the database, nor is what it is made of', async () => {
    const ada = await shop.customer()
    const tokens = [ada.refreshToken, await next(ada.refreshToken)]
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

  it('opens nothing by itself', async () => {
    const { refreshToken } = await shop.customer()
    expect(await shop.get('/profile', { token: refreshToken })).toMatchObject(refused)
  })

  it.each<[string, (token: string) => string]>([
    ['empty', () => ''],
    ['cut short', (token) => token.slice(0, -1)],
    ['longer', (token) => `${token}A`],
    ['in capitals', (token) => token.toUpperCase()],
    ['with another start', (token) => `${token[0] === 'A' ? 'B' : 'A'}${token.slice(1)}`],
    ['in another alphabet', (token) => Buffer.from(token, 'base64url').toString('hex')],
    ['with spaces around it', (token) => ` ${token} `],
    ['that is an access token', () => 'eyJhbGciOiJFZERTQSJ9.e30.AAAA'],
  ])('%s is unknown, and harms no family', async (_what, change) => {
    const { refreshToken } = await shop.customer()
    expect(await show(change(refreshToken))).toMatchObject(refused)
    expect((await show(refreshToken)).status).toBe(200)
  })

  it.each([
    [{}],
    [{ refreshToken: null }],
    [{ refreshToken: { $gt: '' } }],
    [{ refreshToken: 'x', userId: 'y' }],
  ])('has to be a text, and nothing beside it: %j', async (body) => {
    for (const path of ['/token/refresh', '/logout'])
      expect(await shop.post(path, { body })).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      })
  })
})

describe('a spent token', () => {
  it('gives the same successor for ten seconds, as after a lost answer', async () => {
    const ada = await shop.customer()
    const second = await next(ada.refreshToken)
    await age(ada, 9_000)
    expect(await next(ada.refreshToken, 1)).toBe(second)
    // Whoever has got the answer and whoever has not go on with one and the same.
    const third = await next(second)
    expect(await next(second, 1)).toBe(third)
  })

  it('leads on over several steps within them', async () => {
    const { refreshToken } = await shop.customer()
    let latest = refreshToken
    for (let step = 0; step < 5; step++) latest = await next(latest, step)
    expect(await next(refreshToken, 1)).toBe(latest)
    expect((await show(latest)).status).toBe(200)
  })

  it('gives many who show it at once, anywhere, valid pairs of one family', async () => {
    const { refreshToken, userId } = await shop.customer()
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => show(refreshToken, n)))
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
    expect(new Set(answers.map(({ body }) => body.refreshToken)).size).toBe(1)
    const { body } = await shop.get('/profile', { token: answers[49]?.body.accessToken })
    expect(body.userId).toBe(userId)
    expect((await show(answers[0]?.body.refreshToken)).status).toBe(200)
  })

  it('shown later ends its family, for a thief and for the owner', async () => {
    const ada = await shop.customer()
    const second = await next(ada.refreshToken)
    await age(ada, 11_000)
    expect(await show(ada.refreshToken, 1)).toMatchObject(refused)
    expect(await show(second)).toMatchObject(refused)
    // Another sign-in of the same account is another family.
    const other = await shop.signIn(ada.email, ada.password)
    expect(await show(ada.refreshToken)).toMatchObject(refused)
    expect((await show(other.refreshToken)).status).toBe(200)
  })

  it('ends its family however long ago it was spent', async () => {
    const ada = await shop.customer()
    let latest = ada.refreshToken
    for (let step = 0; step < 25; step++) latest = await next(latest)
    await age(ada, 11_000)
    latest = await next(latest)
    await age(ada, 11_000)
    expect(await show(ada.refreshToken)).toMatchObject(refused)
    expect(await show(latest)).toMatchObject(refused)
  })

  it('is remembered of so many at most, by one document of the same size', async () => {
    const ada = await shop.customer()
    let latest = ada.refreshToken
    for (let step = 0; step < 30; step++) latest = await next(latest)
    const mine = { $expr: { $eq: [{ $toString: '$userId' }, ada.userId] } }
    const [family] = await (await families()).find(mine).toArray()
    expect(family?.spent).toHaveLength(20)
    await age(ada, 11_000)
    await next(latest)
    expect((await (await families()).findOne(mine))?.spent).toHaveLength(1)
  })
})

describe('a family', () => {
  it('ends with a logout by any token of it, and leaves access tokens to their end', async () => {
    for (const spent of [false, true]) {
      const ada = await shop.customer()
      const second = await next(ada.refreshToken)
      const answer = await logout(spent ? ada.refreshToken : second)
      expect(answer).toMatchObject({ status: 204, body: '' })
      for (const token of [ada.refreshToken, second]) expect(await show(token)).toMatchObject(refused)
      expect((await shop.get('/profile', { token: ada.token })).status).toBe(200)
      expect((await logout(second)).status).toBe(204)
    }
    expect((await logout('nobody knows this one')).status).toBe(204)
  })

  it('lives as long as REFRESH_TOKEN_TTL from its sign-in on, used or not', async () => {
    const ada = await shop.customer()
    const day = 86_400_000
    await age(ada, 29.9 * day)
    const second = await next(ada.refreshToken)
    await age(ada, 0.2 * day)
    // MongoDB has not removed it yet.
    expect(await show(second)).toMatchObject(refused)
    const ttl = await (await families()).indexes()
    expect(ttl).toContainEqual(expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }))
  })

  it('ends with the password, whatever device it is of', async () => {
    const ada = await shop.customer()
    const elsewhere = await shop.signIn(ada.email, ada.password)
    expect((await changePassword(ada, 'staples for the battery')).status).toBe(204)
    for (const token of [ada.refreshToken, elsewhere.refreshToken])
      expect(await show(token)).toMatchObject(refused)
    const { refreshToken } = await shop.signIn(ada.email, 'staples for the battery')
    expect((await show(refreshToken)).status).toBe(200)
  })

  it('goes on after a password change that was refused', async () => {
    const ada = await shop.customer()
    const body = { currentPassword: 'not the one', newPassword: 'staples for the battery' }
    expect(await shop.put('/profile/password', { token: ada.token, body })).toMatchObject({
      status: 401,
      body: { code: 'invalid_credentials' },
    })
    expect((await show(ada.refreshToken)).status).toBe(200)
  })

  it('does not outlive a password change that comes at the same time', async () => {
    for (let round = 0; round < 15; round++) {
      const ada = await shop.customer()
      const [changed, , ...late] = await Promise.all([
        changePassword(ada, 'staples for the battery'),
        show(ada.refreshToken, 1),
        // Verified with the old password, perhaps just before it went.
        ...[0, 1, 2].map((n) =>
          replica(n).post('/login', { body: { email: ada.email, password: ada.password } }),
        ),
      ])
      expect(changed?.status).toBe(204)
      const tokens = late.flatMap(({ body }) => body.refreshToken ?? [])
      for (const token of [ada.refreshToken, ...tokens]) expect(await show(token)).toMatchObject(refused)
    }
  })

  it('does not outlive a logout that comes at the same time', async () => {
    for (let round = 0; round < 15; round++) {
      const { refreshToken } = await shop.customer()
      const [answer, ended] = await Promise.all([show(refreshToken, 1), logout(refreshToken)])
      expect(ended?.status).toBe(204)
      for (const token of [refreshToken, answer?.body.refreshToken ?? refreshToken])
        expect(await show(token)).toMatchObject(refused)
    }
  })

  it('ends with the account', async () => {
    const ada = await shop.customer()
    await (await shop.collections('auth')).collection('users').deleteOne({ email: ada.email })
    expect(await show(ada.refreshToken)).toMatchObject(refused)
  })
})

it('of two password changes at once, one is made', async () => {
  const ada = await shop.customer()
  const passwords = ['staples for the battery', 'the other battery staples']
  const answers = await Promise.all(passwords.map((password) => changePassword(ada, password)))
  expect(answers.map(({ status }) => status).toSorted()).toEqual([204, 401])
  const works = await Promise.all(
    passwords.map(
      async (password) => (await shop.post('/login', { body: { email: ada.email, password } })).status,
    ),
  )
  expect(works).toEqual(answers.map(({ status }) => (status === 204 ? 200 : 401)))
})

describe('whatever is done in whatever order', () => {
  /** One family as it should be: its tokens, the unspent one last, and when each was spent. */
  interface Line {
    tokens: string[]
    spentAt: number[]
    over: boolean
  }

  const step = fc.oneof(
    { weight: 2, arbitrary: fc.constant({ do: 'login' as const }) },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('refresh' as const), line: fc.nat(), token: fc.nat() }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('age' as const), seconds: fc.constantFrom(3, 11) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('logout' as const), line: fc.nat(), token: fc.nat() }),
    },
    { weight: 1, arbitrary: fc.constant({ do: 'password' as const }) },
  )

  it('tokens work exactly as a model of them says', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const ada = await shop.customer()
        const lines: Line[] = [{ tokens: [ada.refreshToken], spentAt: [], over: false }]
        let now = 0
        let { password } = ada
        for (const [at, action] of steps.entries()) {
          if (action.do === 'login') {
            const { refreshToken } = await replica(at).signIn(ada.email, password)
            lines.push({ tokens: [refreshToken], spentAt: [], over: false })
          } else if (action.do === 'age') {
            await age(ada, action.seconds * 1_000)
            now += action.seconds
          } else if (action.do === 'password') {
            const newPassword = `password number ${at}`
            const body = { currentPassword: password, newPassword }
            expect((await shop.put('/profile/password', { token: ada.token, body })).status).toBe(204)
            password = newPassword
            for (const line of lines) line.over = true
          } else {
            const line = lines[action.line % lines.length] as Line
            const shown = action.token % line.tokens.length
            const token = line.tokens[shown] as string
            if (action.do === 'logout') {
              expect((await logout(token)).status).toBe(204)
              line.over = true
              continue
            }
            const unspent = shown === line.tokens.length - 1
            const allowed = !line.over && (unspent || now - (line.spentAt[shown] ?? 0) < 10)
            const answer = await show(token, at)
            expect(answer.status).toBe(allowed ? 200 : 401)
            if (!allowed) line.over = true
            else if (!unspent) expect(answer.body.refreshToken).toBe(line.tokens.at(-1))
            else {
              line.spentAt.push(now)
              line.tokens.push(answer.body.refreshToken)
            }
          }
        }
      }),
      { numRuns: 30 },
    )
  })
})
