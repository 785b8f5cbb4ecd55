import { randomUUID } from 'node:crypto'
import { type Call, callWithin } from '#kernel/call.ts'
import type { Job } from '#kernel/jobs.ts'
import type { ProductPort } from '../product/contract.ts'
import { completeCancelling } from './cancel-order.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'
import type { OrderScans } from './order-scans.repository.ts'

/** How long after its lease a `pending` order is left to a retry, which would rather have it than lose it. */
export const pendingGraceMs = 10_000
const batch = 200
const atOnce = 25
/** Orders that may fail before a round ends: as many are a sign that all others fail too. */
const mostFailures = 5
/** How long the work on one order may take at least, however short requests are: nobody waits for it. Milliseconds. */
const leastTime = 4_000

interface Options {
  orders: OrderRepository
  scans: OrderScans
  product: ProductPort
  /** How long a request may take here. Milliseconds. */
  requestTimeoutMs: number
}

/**
 * Finishes the orders that nobody finished: `pending` ones are undone, `cancelling` ones completed. Every process that
 * hosts orders does it. The lease keeps two of them from the same order, and where it does not (both stalled for longer
 * than it lasts) they only repeat what is safe to repeat.
 */
export const sweepUnfinishedOrders = (options: Options): Job => ({
  name: 'sweep unfinished orders',
  intervalMs: 2_000,

  async round(signal) {
    const within = () => callWithin(Math.max(options.requestTimeoutMs, leastTime), `sweep-${randomUUID()}`)
    const now = Date.now()
    const since = { pendingSince: now - pendingGraceMs, cancellingSince: now }
    const unfinished = await options.scans.unfinished({ ...since, limit: batch }, within())
    const rest = unfinished.values()
    let settled = 0
    const failures: unknown[] = []
    const work = async () => {
      for (const order of rest) {
        // Where the product service is away, the others can wait for the next round. A fault of one order does not concern the others.
        if (signal.aborted || failures.length >= mostFailures) return
        try {
          if (await finishOrder(options, order, within())) settled += 1
        } catch (error) {
          failures.push(error)
        }
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    if (failures.length > 0) throw failures[0]
    return { done: settled, more: unfinished.length === batch }
  },
})

/**
 * Takes an order that nobody is at work on any more, as it was read, to its end.
 * @returns false if somebody else had taken it meanwhile
 * @throws DomainError `dependency_unavailable`, `overloaded`: once its new lease is over, it is anybody's again
 */
export async function finishOrder(
  { orders, product }: Pick<Options, 'orders' | 'product'>,
  order: Order,
  call: Call,
): Promise<boolean> {
  const begin = order.status === 'pending' ? orders.beginUndo : orders.takeOver
  const taken = await begin(order, call.deadline, call)
  if (!taken) return false
  await completeCancelling({ orders, product }, taken, call)
  return true
}
