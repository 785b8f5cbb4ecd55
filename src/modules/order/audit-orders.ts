import { isDeepStrictEqual } from 'node:util'
import { type Audit, type Finding, maxFindings } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { ProductPort, Reservation } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'
import { isId, type OrderScans, type Scan } from './order-scans.repository.ts'
import { abandonedFromMs, settleHold } from './sweep-holds.ts'
import { finishOrder, pendingGraceMs } from './sweep-unfinished-orders.ts'

const ordersPerRead = 500
/** The time limit of one read or one repair. */
const callTimeoutMs = 30_000
/** An unfinished order counts as a finding this long after the sweeper should have finished it. */
const overdueAfterMs = 60_000
/** A request, and so a lease, takes an hour at most. The rest allows for clocks that differ. */
const maxLeaseMs = 2 * 3_600_000

interface Dependencies {
  orders: OrderRepository
  scans: OrderScans
  product: ProductPort
  requestTimeoutMs: number
}

/**
 * Compares each order with the reservation that the product module stores under the order's id, and each hold with its
 * order. An order is read before its reservation. So a live order can differ from its reservation for a moment; the
 * audit reports a difference only if its second pass finds it again.
 */
export const auditOrders = (dependencies: Dependencies): Audit => ({
  inspect: (subjects) =>
    subjects ? auditSubjects(dependencies, [...subjects]) : auditEverything(dependencies),
})

async function auditSubjects(dependencies: Dependencies, subjects: readonly string[]) {
  const { scans, product } = dependencies
  const findings: Finding[] = []
  for (let from = 0; from < subjects.length; from += ordersPerRead) {
    const ids = subjects.slice(from, from + ordersPerRead)
    findings.push(...(await findFaults(dependencies, await scans.findMany(ids, newCall()))))
    const valid = ids.filter(isId)
    if (valid.length === 0) continue
    const reservations = await readReservations(product, valid)
    const held = valid.filter((orderId) => reservations.get(orderId)?.state === 'held')
    findings.push(...(await findHoldsWithoutOrder(dependencies, held)))
  }
  return { checked: { orders: 0, holds: 0 }, findings, complete: true }
}

/** Checks all orders and all holds, until it has `maxFindings` findings. */
async function auditEverything(dependencies: Dependencies) {
  const { scans, product } = dependencies
  const findings: Finding[] = []
  const checked = { orders: 0, holds: 0 }
  const isFull = () => findings.length >= maxFindings

  for (let after: string | undefined; !isFull(); ) {
    const found = await scans.byId(after, ordersPerRead, newCall())
    const ids = [...found.orders.map(({ orderId }) => orderId), ...found.malformed]
    checked.orders += ids.length
    findings.push(...(await findFaults(dependencies, found)))
    if (ids.length < ordersPerRead) break
    after = ids.filter(isId).toSorted().at(-1)
  }
  for (let after: string | undefined; !isFull(); ) {
    const page = { ...(after !== undefined && { after }), limit: ordersPerRead }
    const { orderIds } = await product.holds(page, newCall())
    checked.holds += orderIds.length
    findings.push(...(await findHoldsWithoutOrder(dependencies, orderIds)))
    if (orderIds.length < ordersPerRead) break
    after = orderIds.at(-1)
  }
  return { checked, findings, complete: !isFull() }
}

const newCall = () => createCall(callTimeoutMs, 'audit')

async function readReservations(product: ProductPort, orderIds: string[]): Promise<Map<string, Reservation>> {
  const { reservations } = await product.reservations({ orderIds }, newCall())
  return new Map(reservations.map(({ orderId, reservation }) => [orderId, reservation]))
}

async function findFaults(dependencies: Dependencies, { orders, malformed }: Scan): Promise<Finding[]> {
  const corrupt = malformed.map(malformedOrder)
  if (orders.length === 0) return corrupt
  const ids = orders.map(({ orderId }) => orderId)
  const reservations = await readReservations(dependencies.product, ids)
  const faults = orders.map((order) => findFault(dependencies, order, reservations.get(order.orderId)))
  return [...corrupt, ...faults.filter((fault) => fault !== undefined)]
}

function findFault(
  dependencies: Dependencies,
  order: Order,
  reservation: Reservation | undefined,
): Finding | undefined {
  const { status } = order
  if (status === 'pending' || status === 'cancelling') return findOverdue(dependencies, order)
  if (status === 'cancelled' || status === 'rejected') {
    if (status === 'rejected' && !order.rejection) return malformedOrder(order.orderId)
    return reservation?.state === 'held' ? holdLeft(dependencies, order) : undefined
  }
  return findFaultOfSale(order, reservation)
}

function findOverdue(dependencies: Dependencies, order: Order): Finding | undefined {
  const { orderId: subject, status, leaseUntil } = order
  const sweptAt = leaseUntil + (status === 'pending' ? pendingGraceMs : 0)
  const now = Date.now()
  if (now < sweptAt + overdueAfterMs && leaseUntil < now + maxLeaseMs) return undefined
  const repair = async () =>
    (await finishOrder(dependencies, order, 'audit', newCall()))
      ? 'finished: the order is cancelled'
      : undefined
  const message = `is ${status}, and no process finishes the order: its lease ends at ${new Date(leaseUntil).toISOString()}`
  return { code: 'order_unfinished', subject, message, repair }
}

function holdLeft(dependencies: Dependencies, { orderId, status }: Order): Finding {
  const repair = async () =>
    (await settleHold(dependencies, orderId, 'audit', newCall()))
      ? 'released the stock that it held'
      : undefined
  const message = `is ${status}, and still holds stock`
  return { code: 'hold_left', subject: orderId, message, releasesTo: 'product', repair }
}

/** @param order is confirmed, shipped or delivered, and so must hold its lines */
function findFaultOfSale(order: Order, reservation: Reservation | undefined): Finding | undefined {
  const { orderId: subject, status } = order
  if (reservation?.state !== 'held') {
    const found = reservation ? `is ${reservation.state}` : 'does not exist'
    return { code: 'hold_missing', subject, message: `is ${status}, and its reservation ${found}` }
  }
  if (!isDeepStrictEqual(reservation.lines, order.lines)) {
    return { code: 'hold_differs', subject, message: `is ${status}, and its reservation has other lines` }
  }
  const total = order.lines.reduce((sum, { price, quantity }) => sum + (price ?? Number.NaN) * quantity, 0)
  return order.confirmation && order.totalAmount === total ? undefined : malformedOrder(subject)
}

/**
 * Finds the holds that the sweeper of holds has left without an order. These findings have no repair: the order may be lost, or the
 * database may belong to another shop.
 */
async function findHoldsWithoutOrder(
  { scans, product, requestTimeoutMs }: Dependencies,
  orderIds: string[],
): Promise<Finding[]> {
  const found = await scans.findMany(orderIds, newCall())
  const known = new Set([...found.orders.map(({ orderId }) => orderId), ...found.malformed])
  const unknown = orderIds.filter((orderId) => !known.has(orderId))
  if (unknown.length === 0) return []
  const overdueSince = Date.now() - abandonedFromMs(requestTimeoutMs) - overdueAfterMs
  const { reservations } = await product.reservations({ orderIds: unknown }, newCall())
  const young = new Set(
    reservations.filter(({ reservedAt = 0 }) => reservedAt > overdueSince).map(({ orderId }) => orderId),
  )
  const message = 'does not exist, and stock is held under its id'
  return unknown
    .filter((orderId) => !young.has(orderId))
    .map((subject) => ({ code: 'hold_without_order', subject, message }))
}

const malformedOrder = (subject: string): Finding => ({
  code: 'order_malformed',
  subject,
  message: 'does not have the fields and types of an order',
})
