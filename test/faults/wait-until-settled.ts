import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningShop } from './fleet.ts'

// docs/faults.md promises that no order is unfinished this long after the last fault has healed, without any retry by a client.
const promisedMs = 30_000

/**
 * Waits until no order is pending or cancelling, and each hold has an order.
 * @param healedAt the epoch milliseconds at which the last fault was over
 * @returns the milliseconds since then
 * @throws if an order is still unfinished after the promised time
 */
export async function waitUntilSettled(shop: RunningShop, healedAt: number): Promise<number> {
  const orders = (await shop.collections('order')).collection('orders')
  const reservations = (await shop.collections('product')).collection('reservations')
  const holdsWithoutOrder = async () => {
    const held = (await reservations.find({ state: 'held' }).toArray()).map(({ _id }) => _id)
    const found = new Set((await orders.find().project({ _id: 1 }).toArray()).map(({ _id }) => String(_id)))
    return held.filter((_id) => !found.has(String(_id)))
  }
  for (;;) {
    // The holds come first: the sweep of holds inserts an unfinished order for a hold without one.
    const holds = await holdsWithoutOrder()
    const unfinished = await orders.find({ status: { $in: ['pending', 'cancelling'] } }).toArray()
    const tookMs = Date.now() - healedAt
    if (unfinished.length + holds.length === 0) return tookMs
    if (tookMs > promisedMs)
      throw new Error(`not settled within ${promisedMs} ms: ${JSON.stringify({ unfinished, holds })}`)
    await sleep(100)
  }
}
