import { hash } from 'node:crypto'
import type { Call } from '#kernel/call.ts'
import type { OrderRepository } from './order.repository.ts'

/** The ids of this many attempts are looked up in one read. */
const idsPerRead = 32

/** The id of the order of a user and an idempotency key. The attempt is the number of earlier orders that were undone. */
export const orderIdOf = (userId: string, key: string, attempt: number): string =>
  hash('sha256', JSON.stringify([userId, key, attempt])).slice(0, 24)

/** Returns the first attempt after this one whose order is not undone. */
export async function nextAttempt(
  orders: OrderRepository,
  { userId, key, attempt }: { userId: string; key: string; attempt: number },
  call: Call,
): Promise<number> {
  for (let from = attempt + 1; ; from += idsPerRead) {
    const ids = Array.from({ length: idsPerRead }, (_, nth) => orderIdOf(userId, key, from + nth))
    const undone = await orders.undoneAmong(userId, ids, call)
    const free = ids.findIndex((id) => !undone.has(id))
    if (free >= 0) return from + free
  }
}
