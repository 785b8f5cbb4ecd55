import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from '#test/support/client.ts'
import type { RunningShop } from './fleet.ts'
import {
  type History,
  orderIdOf,
  type ProductCreation,
  type Purchase,
  type StockChange,
  sendCreation,
  sendPurchase,
  sendStockChange,
} from './history.ts'
import { isFinal, type Outcome, sendOnce, sendUntilFinal } from './outcomes.ts'
import { createSeededRandom, type SeededRandom } from './seeded-random.ts'

// An abandoned order is undone about 10 s after its lease. Faults continue meanwhile, so that this may happen several times.
const answerTimeoutMs = 120_000

/** The longest time in milliseconds in which no purchase got a final answer. */
export const longestStall = ({ answers }: Load): number =>
  Math.round(Math.max(...answers.map((at, nth) => at - (answers[nth - 1] ?? at))))

/** Simulated customers and an admin that send requests until they are stopped. */
export interface Load {
  /** For each answer 201: its time (`at`) and the time of the first request for the purchase (`begun`), both `performance.now()`. */
  confirmations: { at: number; begun: number }[]
  /** The time of each final answer to a purchase, as `performance.now()`. */
  answers: number[]
  /** Starts no further requests, and resolves once all requests have their outcomes. */
  stop(): Promise<void>
}

/**
 * Starts the customers of the history and an admin, each with its own sequence of random choices. The customers buy and
 * cancel. They repeat a purchase until it is answered, send it twice at once, or send it only once. The admin changes stocks
 * and creates products.
 */
export function startLoad(shop: RunningShop, history: History, seed: number): Load {
  const confirmations: Load['confirmations'] = []
  const answers: number[] = []
  let isStopping = false

  const buy = async (customer: Account, random: SeededRandom): Promise<Purchase> => {
    const lines = Array.from({ length: 1 + random.integerBelow(2) }, () => ({
      productId: random.pick(history.products).productId,
      quantity: 1 + random.integerBelow(3),
    }))
    const purchase: Purchase = { customer, key: randomUUID(), lines, requests: [] }
    history.purchases.push(purchase)
    const begun = performance.now()
    const record = (outcome: Outcome) => {
      purchase.requests.push({ lines, outcome })
      if (isFinal(outcome)) answers.push(performance.now())
      if (outcome.status === 201) confirmations.push({ at: performance.now(), begun })
    }
    const send = () => sendPurchase(shop, purchase, lines)
    const buyUntilAnswered = () => sendUntilFinal(send, answerTimeoutMs, record)
    const choice = random.integerBelow(10)
    if (choice < 5) await buyUntilAnswered()
    else if (choice < 8) await Promise.all([buyUntilAnswered(), buyUntilAnswered()])
    else record(await sendOnce(send))
    return purchase
  }

  const cancel = async (purchase: Purchase, random: SeededRandom): Promise<void> => {
    const orderId = orderIdOf(purchase)
    if (orderId === undefined) return
    const { token } = purchase.customer
    const send = () => shop.delete(`/orders/${orderId}`, { token })
    const record = (outcome: Outcome) => history.statusChanges.push({ orderId, to: 'cancelled', outcome })
    if (random.boolean(0.5)) await sendUntilFinal(send, answerTimeoutMs, record)
    else record(await sendOnce(send))
  }

  const runCustomer = async (customer: Account, random: SeededRandom): Promise<void> => {
    const bought: Purchase[] = []
    while (!isStopping) {
      if (bought.length > 0 && random.boolean(0.25)) await cancel(random.pick(bought), random)
      else bought.push(await buy(customer, random))
      await sleep(random.integerBelow(40))
    }
  }

  const runAdmin = async (random: SeededRandom): Promise<void> => {
    while (!isStopping) {
      const change = random.boolean(0.8) ? 1 + random.integerBelow(10) : -1 - random.integerBelow(3)
      const product = random.pick(history.products)
      const stockChange: StockChange = { product, key: randomUUID(), change, outcomes: [] }
      history.stockChanges.push(stockChange)
      const send = () => sendStockChange(shop, stockChange)
      await sendUntilFinal(send, answerTimeoutMs, (outcome) => stockChange.outcomes.push(outcome))
      if (random.boolean(0.3)) {
        const creation: ProductCreation = { key: randomUUID(), name: `Pot ${randomUUID()}`, outcomes: [] }
        history.creations.push(creation)
        const create = () => sendCreation(shop, creation)
        await sendUntilFinal(create, answerTimeoutMs, (outcome) => creation.outcomes.push(outcome))
      }
      await sleep(random.integerBelow(300))
    }
  }

  const running = Promise.all([
    runAdmin(createSeededRandom(seed)),
    ...history.customers.map((customer, nth) => runCustomer(customer, createSeededRandom(seed + 1 + nth))),
  ])
  // `stop` reports a failure.
  running.catch(() => undefined)
  return {
    confirmations,
    answers,
    async stop() {
      isStopping = true
      await running
    },
  }
}
