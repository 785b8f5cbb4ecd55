import { setTimeout as sleep } from 'node:timers/promises'
import { sendOnce } from '#test/faults/outcomes.ts'
import { createSeededRandom, type SeededRandom } from '#test/faults/seeded-random.ts'
import type { Account, Answer, Client, Json } from '#test/support/client.ts'

/** One request and its outcome. */
export interface Visit {
  what: string
  /** Whether the request changes nothing, so that a gateway may send it again. */
  isRead: boolean
  /** 0 if no answer arrived. */
  status: number
  milliseconds: number
  /** The body of an unexpected answer, or the reason why no answer arrived. */
  complaint?: string
}

/** Simulated clients that read, sign in and edit. Each sends one request after the other, and never repeats one. */
export interface Visitors {
  visits: readonly Visit[]
  stop(): Promise<void>
}

export function startVisitors(
  shop: Client & { adminToken: string },
  accounts: readonly Account[],
  seed: number,
): Visitors {
  const visits: Visit[] = []
  let stopping = false
  let seen = ''

  const visit = async (what: string, expected: number, send: () => Promise<Answer>): Promise<Json> => {
    const started = performance.now()
    const outcome = await sendOnce(send)
    const { status } = outcome
    const milliseconds = Math.round(performance.now() - started)
    const result = { what, isRead: what.startsWith('GET'), status, milliseconds }
    const complaint = JSON.stringify('body' in outcome ? outcome.body : outcome.lost)
    visits.push(status === expected ? result : { ...result, complaint })
    return 'body' in outcome ? outcome.body : {}
  }
  const reads: ((account: Account) => Promise<unknown>)[] = [
    async () => {
      const page = await visit('GET /products', 200, () => shop.get('/products?limit=5'))
      seen = page.data?.[0]?.productId ?? seen
    },
    () => visit('GET /products/{id}', 200, () => shop.get(`/products/${seen}`)),
    ({ token }) => visit('GET /profile', 200, () => shop.get('/profile', { token })),
    ({ token }) => visit('GET /orders', 200, () => shop.get('/orders', { token })),
    () => visit('GET /docs', 200, () => shop.get('/docs')),
  ]

  const readPages = async (account: Account, random: SeededRandom): Promise<void> => {
    await reads[0]?.(account)
    while (!stopping) {
      await random.pick(reads)(account)
      await sleep(random.integerBelow(60))
    }
  }
  /** Uses each refresh token once. */
  const refresh = async (account: Account, random: SeededRandom): Promise<void> => {
    let { refreshToken } = account
    while (!stopping) {
      const body = { refreshToken }
      const answer = await visit('POST /token/refresh', 200, () => shop.post('/token/refresh', { body }))
      refreshToken = answer.refreshToken ?? refreshToken
      await sleep(random.integerBelow(200))
    }
  }
  const signIn = async ({ email, password }: Account, random: SeededRandom): Promise<void> => {
    while (!stopping) {
      await visit('POST /login', 200, () => shop.post('/login', { body: { email, password } }))
      await sleep(random.integerBelow(800))
    }
  }
  /** Edits a product that no other client edits, so that each edit names the current version. */
  const edit = async (random: SeededRandom): Promise<void> => {
    const token = shop.adminToken
    let { productId, version } = await shop.product(token, { name: 'Edited' })
    for (let price = 1; !stopping; price++) {
      const put = () => shop.put(`/products/${productId}`, { token, body: { price, version } })
      const answer = await visit('PUT /products/{id}', 200, put)
      version = answer.version ?? answer.currentVersion ?? version
      await sleep(random.integerBelow(200))
    }
  }

  const [one, two] = accounts
  if (!one || !two) throw new Error('two accounts are needed')
  const all = Promise.all([
    ...accounts.map((account, nth) => readPages(account, createSeededRandom(seed + nth))),
    refresh(one, createSeededRandom(seed - 1)),
    signIn(two, createSeededRandom(seed - 2)),
    edit(createSeededRandom(seed - 3)),
  ])
  // `stop` reports a failure.
  all.catch(() => undefined)
  return {
    visits,
    async stop() {
      stopping = true
      await all
    },
  }
}
