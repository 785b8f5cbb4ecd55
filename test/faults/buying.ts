import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account, Answer } from '../client.ts'
import type { Deployment } from '../processes.ts'

/** What one customer wants to buy once, under one key, however often it is asked for. */
export interface Purchase {
  customer: Account
  key: string
  lines: { productId: string; quantity: number }[]
  /** When it was asked for first, and when it was answered for good: `performance.now()`. */
  begun: number
  answered?: number
  /** 201, or the refusal. Whoever walks away has none. */
  answer?: Answer
  /** The answer to a request to cancel it: 200 or 202. */
  cancellation?: Answer
}

/** What the clients know: all that they have asked for, and every answer that has reached them. */
export interface Buying {
  purchases: Purchase[]
  /** What an admin was told is put in, by product. */
  restocked: ReadonlyMap<string, number>
  /** How often each answer was given, by status and code; `lost` are those that never came. */
  answers: ReadonlyMap<string, number>
  /** Answers that a fault of the database must not lead to. */
  unexpected: Answer[]
  /** Nobody begins anything new; resolves when all that insist have their answers. */
  stop(): Promise<void>
}

// Milliseconds. Longer than a lease and the time until what nobody carries on is undone, several times over.
const patience = 90_000

/**
 * Customers who buy and cancel, and an admin who restocks. They repeat what is not answered for good; one purchase in
 * six is asked for once and left to itself.
 */
export function startBuying(
  shop: Deployment,
  customers: readonly Account[],
  products: readonly string[],
): Buying {
  const purchases: Purchase[] = []
  const restocked = new Map<string, number>()
  const answers = new Map<string, number>()
  const unexpected: Answer[] = []
  let stopping = false

  const count = (what: string) => answers.set(what, (answers.get(what) ?? 0) + 1)
  const pick = <Choice>(choices: readonly Choice[]): Choice => choices[randomInt(choices.length)] as Choice

  /** One request; undefined if its answer is not final. */
  const attempt = async (
    send: () => Promise<Answer>,
    isExpected: (answer: Answer) => boolean,
  ): Promise<Answer | undefined> => {
    let answer: Answer
    try {
      answer = await send()
    } catch (error) {
      // `fetch` says so of every failure of the network: a connection that was kept open for too long.
      if (!(error instanceof TypeError)) throw error
      count('lost')
      return undefined
    }
    const { status, body } = answer
    count(status < 400 ? `${status}` : `${status} ${body.code}`)
    if (status === 503 || body.code === 'request_in_progress') return undefined
    if (!isExpected(answer)) unexpected.push(answer)
    return answer
  }

  const insist = async (
    send: () => Promise<Answer>,
    isExpected: (answer: Answer) => boolean,
  ): Promise<Answer> => {
    const limit = Date.now() + patience
    for (;;) {
      const answer = await attempt(send, isExpected)
      if (answer) return answer
      if (Date.now() > limit) throw new Error(`no final answer within ${patience} ms`)
      await sleep(100)
    }
  }

  const buy = async (customer: Account): Promise<Purchase> => {
    const lines = [{ productId: pick(products), quantity: 1 + randomInt(2) }]
    const purchase: Purchase = { customer, key: randomUUID(), lines, begun: performance.now() }
    purchases.push(purchase)
    const send = () => place(shop, purchase)
    const asked = randomInt(6) === 0 ? attempt : insist
    const answer = await asked(
      send,
      ({ status, body }) => status === 201 || body.code === 'insufficient_stock',
    )
    if (answer) Object.assign(purchase, { answer, answered: performance.now() })
    return purchase
  }

  const cancel = async (purchase: Purchase): Promise<void> => {
    const { token } = purchase.customer
    purchase.cancellation = await insist(
      () => shop.delete(`/orders/${purchase.answer?.body.orderId}`, { token }),
      ({ status }) => status === 200 || status === 202,
    )
  }

  const customerAtWork = async (customer: Account): Promise<void> => {
    while (!stopping) {
      const purchase = await buy(customer)
      await sleep(randomInt(40))
      if (purchase.answer?.status === 201 && randomInt(3) === 0) await cancel(purchase)
    }
  }

  const adminAtWork = async (): Promise<void> => {
    while (!stopping) {
      const productId = pick(products)
      const change = 1 + randomInt(10)
      const request = {
        token: shop.adminToken,
        headers: { 'Idempotency-Key': randomUUID() },
        body: { change },
      }
      const { status } = await insist(
        () => shop.post(`/products/${productId}/stock`, request),
        ({ status }) => status === 200,
      )
      if (status === 200) restocked.set(productId, (restocked.get(productId) ?? 0) + change)
      await sleep(randomInt(300))
    }
  }

  const atWork = Promise.all([adminAtWork(), ...customers.map(customerAtWork)])
  // Whoever stops it hears of it.
  atWork.catch(() => undefined)
  return {
    purchases,
    restocked,
    answers,
    unexpected,
    async stop() {
      stopping = true
      await atWork
    },
  }
}

/** Asks for a purchase, once more or for the first time. */
export const place = (shop: Deployment, { customer, key, lines }: Purchase): Promise<Answer> =>
  shop.order(customer.token, lines, { 'Idempotency-Key': key })
