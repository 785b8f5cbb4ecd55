import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from '#test/support/client.ts'
import { attempt, isFinal, persist } from './attempts.ts'
import { type Chance, createChance } from './chance.ts'
import type { RunningShop } from './fleet.ts'
import { type Journal, orderIdOf, type Purchase, place, type Restock } from './journal.ts'

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
  /** Starts no further requests, and resolves once all requests have their answers. */
  stop(): Promise<void>
}

/**
 * Starts customers and an admin, each with its own sequence of random choices. The customers buy and cancel. They repeat a
 * purchase until it is answered, send it twice at once, or send it only once. The admin changes stocks.
 */
export function startLoad(
  fleet: RunningShop,
  journal: Journal,
  customers: readonly Account[],
  seed: number,
): Load {
  const confirmations: Load['confirmations'] = []
  const answers: number[] = []
  const products = [...journal.initialStock.keys()]
  let stopping = false

  const buy = async (customer: Account, chance: Chance): Promise<Purchase> => {
    const lines = Array.from({ length: 1 + chance.below(2) }, () => ({
      productId: chance.pick(products),
      quantity: 1 + chance.below(3),
    }))
    const purchase: Purchase = { customer, key: randomUUID(), lines, outcomes: [], cancellations: [] }
    journal.purchases.push(purchase)
    const begun = performance.now()
    const onOutcome = (outcome: Purchase['outcomes'][number]) => {
      purchase.outcomes.push(outcome)
      if (isFinal(outcome)) answers.push(performance.now())
      if (outcome.status === 201) confirmations.push({ at: performance.now(), begun })
    }
    const buyUntilAnswered = () => persist(() => place(fleet, purchase), answerTimeoutMs, onOutcome)
    const choice = chance.below(10)
    if (choice < 5) await buyUntilAnswered()
    else if (choice < 8) await Promise.all([buyUntilAnswered(), buyUntilAnswered()])
    else onOutcome(await attempt(() => place(fleet, purchase)))
    return purchase
  }

  const cancel = async (purchase: Purchase, chance: Chance): Promise<void> => {
    const orderId = orderIdOf(purchase)
    if (orderId === undefined) return
    const { token } = purchase.customer
    const send = () => fleet.delete(`/orders/${orderId}`, { token })
    const at = purchase.cancellations.push(undefined) - 1
    purchase.cancellations[at] = chance.happens(0.5)
      ? await persist(send, answerTimeoutMs)
      : await attempt(send)
  }

  const customerAtWork = async (customer: Account, chance: Chance): Promise<void> => {
    const bought: Purchase[] = []
    while (!stopping) {
      if (bought.length > 0 && chance.happens(0.25)) await cancel(chance.pick(bought), chance)
      else bought.push(await buy(customer, chance))
      await sleep(chance.below(40))
    }
  }

  const adminAtWork = async (chance: Chance): Promise<void> => {
    while (!stopping) {
      const change = chance.happens(0.8) ? 1 + chance.below(10) : -1 - chance.below(3)
      const restock: Restock = {
        productId: chance.pick(products),
        key: randomUUID(),
        change,
        outcomes: [],
      }
      journal.restocks.push(restock)
      const { productId, key, outcomes } = restock
      const headers = { 'Idempotency-Key': key }
      const send = () =>
        fleet.post(`/products/${productId}/stock`, { token: fleet.adminToken, headers, body: { change } })
      await persist(send, answerTimeoutMs, (outcome) => outcomes.push(outcome))
      await sleep(chance.below(300))
    }
  }

  const atWork = Promise.all([
    adminAtWork(createChance(seed)),
    ...customers.map((customer, nth) => customerAtWork(customer, createChance(seed + 1 + nth))),
  ])
  // `stop` reports a failure.
  atWork.catch(() => undefined)
  return {
    confirmations,
    answers,
    async stop() {
      stopping = true
      await atWork
    },
  }
}
