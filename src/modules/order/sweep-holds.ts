import { randomUUID } from 'node:crypto'
import pLimit from 'p-limit'
import { type Call, createCall } from '#kernel/call.ts'
import { type DomainError, dependencyUnavailable, isDomainError } from '#kernel/errors.ts'
import type { Job } from '#kernel/jobs.ts'
import type { HoldPosition, Line, ProductPort } from '../product/contract.ts'
import { completeCancelling } from './cancel-order.ts'
import { type HoldSweep, type HoldSweeps, holdSweeps } from './hold-sweep.repository.ts'
import type { OrderRepository } from './order.repository.ts'
import { hashLines, type Order, pendingOrder, undoneOrder } from './order.ts'
import type { OrderScans } from './order-scans.repository.ts'
import { orderTimeoutMs, pendingGraceMs } from './sweep-unfinished-orders.ts'

const maxHoldsPerRound = 500
const maxConcurrent = 25
/** A round ends after this many failures: probably all other holds would fail too. */
const maxFailures = 5
/** A page whose holds fail again and again is passed after this many rounds, so that one fault does not stop the sweep. */
const maxFailedRounds = 10
/** The work on one hold has at most this long, however long REQUEST_TIMEOUT is, so that a process can end in time. */
const maxTimeoutMs = 10_000
/**
 * The second sweep sees the holds that the first one missed: clocks that differ, transactions and replication may make a hold
 * visible after the first sweep has passed its time. It also looks again at the holds of orders that were unfinished at the first
 * look. By then all requests of that time have ended.
 */
const secondLookAfterMs = 600_000
/** A rejected order that is younger cannot expire soon, because RETENTION is two days at least. */
const expiresSoonFromMs = 86_400_000
/** The user of an order whose reserve named none: a replica of an earlier version stored the reservation. */
const unknownUserId = '0'.repeat(24)

interface Dependencies {
  orders: OrderRepository
  scans: OrderScans
  product: ProductPort
}

interface Options extends Dependencies {
  sweeps: HoldSweeps
  /** The error with which the database or the product module would refuse the work. */
  refusal: () => DomainError | undefined
  requestTimeoutMs: number
}

interface Round {
  signal: AbortSignal
  newCall: () => Call
}

interface Page {
  /** The number of holds that were settled. */
  done: number
  /** Whether the next page may follow at once. */
  more: boolean
  failures: readonly unknown[]
}
const emptyPage: Page = { done: 0, more: false, failures: [] }

/** The age from which a hold has an order, unless its request has ended without one. */
export const abandonedFromMs = (requestTimeoutMs: number): number =>
  orderTimeoutMs(requestTimeoutMs) + pendingGraceMs

/**
 * Undoes the holds whose request died before it stored the order, and returns the stock of other holds that no order needs. Each
 * process that hosts the order module runs this job, and one process at a time works on a sweep. A sweep reads the holds in the
 * order in which they were made, so that its cost grows with new orders only.
 */
export function sweepHolds(options: Options): Job {
  const owner = randomUUID()
  const failedRounds: Record<HoldSweep, number> = { first: 0, second: 0 }
  const { sweeps, product, refusal, requestTimeoutMs } = options
  const timeoutMs = Math.min(orderTimeoutMs(requestTimeoutMs), maxTimeoutMs)
  const soon = abandonedFromMs(requestTimeoutMs)
  const agesMs: Record<HoldSweep, number> = { first: soon, second: Math.max(secondLookAfterMs, 2 * soon) }

  /** Settles the next page of a sweep, and moves the sweep on. */
  const settleNextPage = async (sweep: HoldSweep, round: Round): Promise<Page> => {
    const { signal, newCall } = round
    const after = await sweeps.own(sweep, owner, newCall())
    if (!after) return emptyPage
    const until = Date.now() - agesMs[sweep]
    const { holds } = await product.holdsByTime({ after, until, limit: maxHoldsPerRound }, newCall())
    const last = holds.at(-1)
    if (!last) return emptyPage
    const { done, isComplete, failures } = await settleHolds(options, holds, round)
    failedRounds[sweep] = isComplete ? 0 : failedRounds[sweep] + 1
    const isPassed = isComplete || failedRounds[sweep] >= maxFailedRounds
    if (signal.aborted || !isPassed) return { done, more: false, failures }
    failedRounds[sweep] = 0
    await sweeps.advance(sweep, owner, last, newCall())
    return { done, more: holds.length === maxHoldsPerRound, failures }
  }

  return {
    name: 'sweep holds',
    intervalMs: 5_000,

    async round(signal, span) {
      const newCall = () => createCall(timeoutMs, `sweep-holds-${randomUUID()}`, span)
      const pages: Page[] = []
      for (const sweep of holdSweeps) {
        if (signal.aborted || refusal()?.code === 'dependency_unavailable') break
        const failed = (error: unknown): Page => ({ ...emptyPage, failures: [error] })
        pages.push(await settleNextPage(sweep, { signal, newCall }).catch(failed))
      }
      const [failure] = pages.flatMap(({ failures }) => failures)
      if (failure !== undefined) throw failure
      return { done: pages.reduce((sum, page) => sum + page.done, 0), more: pages.some((page) => page.more) }
    },
  }
}

/**
 * Settles the holds that no order needs.
 * @returns how many there were, and the errors. The page is complete unless another attempt may settle more
 */
async function settleHolds(
  dependencies: Dependencies,
  holds: readonly HoldPosition[],
  { signal, newCall }: Round,
): Promise<{ done: number; isComplete: boolean; failures: unknown[] }> {
  const ids = holds.map(({ orderId }) => orderId)
  const found = await dependencies.orders.findStatuses(ids, newCall())
  const unneeded = ids.filter((orderId) => {
    const status = found.get(orderId)
    return status === undefined || status === 'cancelled' || status === 'rejected'
  })
  const failures: unknown[] = []
  let done = 0
  let isComplete = true
  const limit = pLimit(maxConcurrent)
  const settle = async (orderId: string) => {
    // Several failures probably mean that the product service is unavailable.
    if (signal.aborted || failures.length >= maxFailures) return
    try {
      if (await settleHold(dependencies, orderId, 'sweeper', newCall())) done += 1
    } catch (error) {
      failures.push(error)
      if (isDomainError(error, 'dependency_unavailable', 'overloaded')) isComplete = false
    }
  }
  await Promise.all(unneeded.map((orderId) => limit(settle, orderId)))
  return { done, isComplete: isComplete && failures.length < maxFailures, failures }
}

/**
 * Returns the stock of a hold, unless its order needs it.
 *
 * - Without an order, the hold is undone.
 * - The order is `cancelled` for ever, so that a release can be repeated at any time.
 * - A `rejected` order holds stock only if its reservation expired, and a retry reserved again. Such an order is about to expire
 *   itself. A release could then arrive after another request has used the id again. So the order expires here, and the hold is
 *   undone as one without an order.
 *
 * @param by `StatusChange.by`
 * @returns false if nothing had to be done
 */
export async function settleHold(
  dependencies: Dependencies,
  orderId: string,
  by: string,
  call: Call,
): Promise<boolean> {
  const { orders, scans, product } = dependencies
  const [stored] = (await product.reservations({ orderIds: [orderId] }, call)).reservations
  if (stored?.reservation.state !== 'held') return false
  // A replica of an earlier version has answered, which does not say for whom the hold is.
  if (stored.reservedAt === undefined) throw dependencyUnavailable('product does not say when it reserved')
  const { orders: found, malformed } = await scans.findMany([orderId], call)
  // Malformed orders are left to the audit.
  if (malformed.length > 0) return false
  const [order] = found
  const isOld = order !== undefined && Date.now() - order.updatedAt.getTime() > expiresSoonFromMs
  if (order?.status === 'cancelled' || (order?.status === 'rejected' && !isOld)) {
    await product.release({ orderId }, call)
    return true
  }
  if (order && order.status !== 'rejected') return false
  if (order && !(await orders.expireRejected(order, call))) return false
  const { userId = unknownUserId, reservation } = stored
  return undoHold(dependencies, { orderId, userId, lines: reservation.lines }, by, call)
}

/**
 * Undoes a hold without an order: inserts an order with its id as `cancelling`, so that no request can insert one any more, and then
 * completes the cancellation. If the stock cannot be released now, the sweeper of orders completes the cancellation later.
 * @param by `StatusChange.by`
 * @returns false if the hold has an order now
 */
export async function undoHold(
  { orders, product }: Pick<Dependencies, 'orders' | 'product'>,
  { orderId, userId, lines }: { orderId: string; userId: string; lines: readonly Line[] },
  by: string,
  call: Call,
): Promise<boolean> {
  const request = { orderId, userId, key: undefined, lines, linesHash: hashLines(lines) }
  const placed = pendingOrder({ ...request, leaseUntil: call.deadline, createdAt: new Date() })
  const undone: Order = undoneOrder(placed, call.deadline)
  if (!(await orders.insert(undone, by, call))) return false
  try {
    await completeCancelling({ orders, product }, undone, by, call)
  } catch (error) {
    if (!isDomainError(error, 'dependency_unavailable', 'overloaded')) throw error
  }
  return true
}
