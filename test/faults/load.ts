import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from '#test/support/client.ts'
import { attempt, isFinal, persist } from './attempts.ts'
import { type Chance, createChance } from './chance.ts'
import type { RunningShop } from './fleet.ts'
import { type Journal, orderIdOf, type Purchase, place, type Restock } from './journal.ts'

// A lease, and 10 s until what nobody carries on is undone, several times over: faults go on meanwhile.
const patience = 120_000

/** How long nobody who wanted to buy was answered at the longest, be it that all is sold out. Milliseconds. */
export const longestStall = ({ answers }: Load): number =>
  Math.round(Math.max(...answers.map((at, nth) => at - (answers[nth - 1] ?? at))))

/** Customers and an admin at work. */
export interface Load {
  /** Of every answer that confirmed an order: when it came, and when the purchase was asked for first. `performance.now()` */
  confirmations: { at: number; begun: number }[]
  /** When each final answer to a purchase came. `performance.now()` */
  answers: number[]
  /** Nobody begins anything new; resolves when all have their answers. */
  stop(): Promise<void>
}

/**
 * Customers who buy (in one go, repeating until they are answered, several times at once, or without waiting for an
 * answer that does not come) and cancel, and an admin who restocks: each with choices of their own.
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
    const heed = (outcome: Purchase['outcomes'][number]) => {
      purchase.outcomes.push(outcome)
      if (isFinal(outcome)) answers.push(performance.now())
      if (outcome.status === 201) confirmations.push({ at: performance.now(), begun })
    }
    const insist = () => persist(() => place(fleet, purchase), patience, heed)
    const way = chance.below(10)
    if (way < 5) await insist()
    else if (way < 8) await Promise.all([insist(), insist()])
    else heed(await attempt(() => place(fleet, purchase)))
    return purchase
  }

  const cancel = async (purchase: Purchase, chance: Chance): Promise<void> => {
    const orderId = orderIdOf(purchase)
    if (orderId === undefined) return
    const { token } = purchase.customer
    const send = () => fleet.delete(`/orders/${orderId}`, { token })
    const at = purchase.cancellations.push(undefined) - 1
    purchase.cancellations[at] = chance.happens(0.5) ? await persist(send, patience) : await attempt(send)
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
      await persist(send, patience, (outcome) => outcomes.push(outcome))
      await sleep(chance.below(300))
    }
  }

  const atWork = Promise.all([
    adminAtWork(createChance(seed)),
    ...customers.map((customer, nth) => customerAtWork(customer, createChance(seed + 1 + nth))),
  ])
  // Whoever stops the load hears of it.
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
