import { isDeepStrictEqual } from 'node:util'
import { type Audit, type Finding, mostFindings } from '../../kernel/audit.ts'
import { callWithin } from '../../kernel/call.ts'
import type { ProductPort, Reservation } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'
import { finish, patienceWithPending } from './sweep-unfinished-orders.ts'

const batch = 500
/** How long one read, or one repair, may take. Milliseconds. */
const limit = 30_000
/** By then the sweeper has settled what can be settled at all. Milliseconds after its time. */
const overdueAfter = 60_000

/**
 * Holds every order against what the product module has stored under its id, and every hold against its order. An order
 * is read before its reservation: what the two say of each other in between is on its way, and gone at the second look.
 */
export function auditOrders({ orders, product }: { orders: OrderRepository; product: ProductPort }): Audit {
  const call = () => callWithin(limit, 'audit')

  const reservationsOf = async (orderIds: string[]): Promise<Map<string, Reservation>> => {
    const { reservations } = await product.reservations({ orderIds }, call())
    return new Map(reservations.map(({ orderId, reservation }) => [orderId, reservation]))
  }

  /** What is cancelled or rejected stays so, and a release changes nothing but a hold. */
  const release = async ({ orderId }: Order): Promise<string | undefined> => {
    if ((await reservationsOf([orderId])).get(orderId)?.state !== 'held') return undefined
    await product.release({ orderId }, call())
    return 'released what it held'
  }

  const settle = async (order: Order): Promise<string | undefined> =>
    (await finish({ orders, product }, order, call())) ? `finished: it is cancelled` : undefined

  const faultOf = (order: Order, reservation: Reservation | undefined): Finding | undefined => {
    const { orderId: subject, status } = order
    if (status === 'pending' || status === 'cancelling') {
      const dueBy = order.leaseUntil + (status === 'pending' ? patienceWithPending : 0)
      if (Date.now() < dueBy + overdueAfter) return undefined
      const since = new Date(order.leaseUntil).toISOString()
      const message = `is ${status}, and nobody has been at work on it since ${since}`
      return { code: 'order_unfinished', subject, message, repair: () => settle(order) }
    }
    if (status === 'cancelled' || status === 'rejected') {
      if (reservation?.state !== 'held') return undefined
      const message = `is ${status}, and still holds stock`
      return { code: 'hold_left', subject, message, givesBackTo: 'product', repair: () => release(order) }
    }
    if (reservation?.state !== 'held') {
      const found = reservation ? `is ${reservation.state}` : 'does not exist'
      return { code: 'hold_missing', subject, message: `is ${status}, and its reservation ${found}` }
    }
    if (!isDeepStrictEqual(reservation.lines, order.lines)) {
      return { code: 'hold_differs', subject, message: `is ${status}, and its reservation has other lines` }
    }
    return undefined
  }

  const faultsOf = async (found: readonly Order[]): Promise<Finding[]> => {
    if (found.length === 0) return []
    const reservations = await reservationsOf(found.map(({ orderId }) => orderId))
    return found.flatMap((order) => faultOf(order, reservations.get(order.orderId)) ?? [])
  }

  /** No repair: the order may be lost, or this may be another shop's database. */
  const withoutOrder = async (orderIds: string[]): Promise<Finding[]> => {
    const known = new Set((await orders.findMany(orderIds, call())).map(({ orderId }) => orderId))
    return orderIds
      .filter((orderId) => !known.has(orderId))
      .map((subject) => ({
        code: 'hold_without_order',
        subject,
        message: 'stock is held for it, and there is no such order',
      }))
  }

  return {
    async look(subjects) {
      const findings: Finding[] = []
      const checked = { orders: 0, holds: 0 }
      const note = (found: Finding[]): boolean => {
        findings.push(...found)
        return findings.length < mostFindings
      }
      const looked = () => ({ checked, findings, complete: findings.length < mostFindings })
      if (subjects) {
        const ids = [...subjects]
        for (let from = 0; from < ids.length; from += batch) {
          const some = ids.slice(from, from + batch)
          note(await faultsOf(await orders.findMany(some, call())))
          const reservations = await reservationsOf(some)
          note(await withoutOrder(some.filter((orderId) => reservations.get(orderId)?.state === 'held')))
        }
        return { checked, findings, complete: true }
      }

      for (let after: string | undefined; ; ) {
        const found = await orders.byId(after, batch, call())
        checked.orders += found.length
        if (!note(await faultsOf(found))) return looked()
        if (found.length < batch) break
        after = found.at(-1)?.orderId
      }
      for (let after: string | undefined; ; ) {
        const { orderIds } = await product.holds(
          { ...(after !== undefined && { after }), limit: batch },
          call(),
        )
        checked.holds += orderIds.length
        if (!note(await withoutOrder(orderIds)) || orderIds.length < batch) return looked()
        after = orderIds.at(-1)
      }
    },
  }
}
