import type { RunningShop } from './fleet.ts'
import type { History } from './history.ts'
import { findOrderContradictions } from './order-contradictions.ts'
import { findProductContradictions } from './product-contradictions.ts'
import { repeatRequests } from './repeat-requests.ts'

/**
 * Repeats the requests of the clients after the faults have healed, and compares their history with the stored state.
 * @returns the contradictions; a test expects none
 */
export async function findContradictions(history: History, shop: RunningShop): Promise<string[]> {
  const repeated = await repeatRequests(history, shop)
  // The databases may also contain orders of earlier tests.
  const customers = new Set(history.customers.map(({ userId }) => userId))
  const stored = (await shop.collections('order')).collection('orders')
  const orders = (await stored.find().toArray()).filter(({ userId }) => customers.has(String(userId)))
  return [
    ...repeated,
    ...(await findOrderContradictions(history, orders, shop)),
    ...(await findProductContradictions(history, orders, shop)),
  ]
}
