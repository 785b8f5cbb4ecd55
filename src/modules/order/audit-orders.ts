import { isDeepStrictEqual } from 'node:util'
import { type Audit, type Finding, mostFindings } from '#kernel/audit.ts'
import { callWithin } from '#kernel/call.ts'
import type { ProductPort, Reservation } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'
import { isId, type OrderScans, type Scan } from './order-scans.repository.ts'
import { finishOrder, pendingGraceMs } from './sweep-unfinished-orders.ts'

const batch = 500
/** How long one read, or one repair, may take. Milliseconds. */
const limit = 30_000
/** By then the sweeper has settled what can be settled at all. Milliseconds after its time. */
const overdueAfter = 60_000
/** No request may take longer than an hour, and no lease. Milliseconds; clocks may differ by the rest. */
const longestLease = 2 * 3_600_000

/**
 * Holds every order against what the product module has stored under its id, and every hold against its order. An order
 * is read before its reservation: what the two say of each other in between is on its way, and gone at the second look.
 */
export function auditOrders(options: {
  orders: OrderRepository
  scans: OrderScans
  product: ProductPort
}): Audit {
  const { orders, scans, product } = options

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
    (await finishOrder({ orders, product }, order, call())) ? `finished: it is cancelled` : undefined

  const faultOf = (order: Order, reservation: Reservation | undefined): Finding | undefined => {
    const { orderId: subject, status } = order
    if (status === 'pending' || status === 'cancelling') {
      const dueBy = order.leaseUntil + (status === 'pending' ? pendingGraceMs : 0)
      const now = Date.now()
      if (now < dueBy + overdueAfter && order.leaseUntil < now + longestLease) return undefined
      const since = new Date(order.leaseUntil).toISOString()
      const message = `is ${status}, and nobody finishes it: its lease is until ${since}`
      return { code: 'order_unfinished', subject, message, repair: () => settle(order) }
    }
    if (status === 'cancelled' || status === 'rejected') {
      if (status === 'rejected' && !order.rejection) return malformed(subject)
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
    const total = order.lines.reduce((sum, { price, quantity }) => sum + (price ?? Number.NaN) * quantity, 0)
    if (!order.confirmation || order.totalAmount !== total) return malformed(subject)
    return undefined
  }

  const faultsOf = async (scan: Scan): Promise<Finding[]> => {
    const spoilt = scan.malformed.map(malformed)
    if (scan.orders.length === 0) return spoilt
    const reservations = await reservationsOf(scan.orders.map(({ orderId }) => orderId))
    const faults = scan.orders.flatMap((order) => faultOf(order, reservations.get(order.orderId)) ?? [])
    return [...spoilt, ...faults]
  }

  /** No repair: the order may be lost, or this may be another shop's database. */
  const withoutOrder = async (orderIds: string[]): Promise<Finding[]> => {
    const found = await scans.findMany(orderIds, call())
    const known = new Set([...found.orders.map(({ orderId }) => orderId), ...found.malformed])
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
          note(await faultsOf(await scans.findMany(some, call())))
          const valid = some.filter(isId)
          if (valid.length === 0) continue
          const reservations = await reservationsOf(valid)
          note(await withoutOrder(valid.filter((orderId) => reservations.get(orderId)?.state === 'held')))
        }
        return { checked, findings, complete: true }
      }

      for (let after: string | undefined; ; ) {
        const found = await scans.byId(after, batch, call())
        const ids = [...found.orders.map(({ orderId }) => orderId), ...found.malformed]
        checked.orders += ids.length
        if (!note(await faultsOf(found))) return looked()
        if (ids.length < batch) break
        after = ids.filter(isId).toSorted().at(-1)
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

const malformed = (subject: string): Finding => ({
  code: 'order_malformed',
  subject,
  message: 'is not stored as orders are',
})
