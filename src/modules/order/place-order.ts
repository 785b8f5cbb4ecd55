import { type Call, remainingMs, shortenDeadline, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError, isDomainError } from '#kernel/errors.ts'
import type { Line, ProductPort, Reservation } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import {
  confirmedOrder,
  hashLines,
  mergeLines,
  type NewOrder,
  type Order,
  pendingOrder,
  rejectedOrder,
} from './order.ts'
import { nextAttempt, orderIdOf } from './order-ids.ts'
import {
  answerFrom,
  hasFinalAnswer,
  keyReused,
  type Placement,
  replay,
  requestInProgress,
} from './placement.ts'
import { undoHold } from './sweep-holds.ts'

export interface PlacingDependencies {
  orders: OrderRepository
  product: ProductPort
  /** The error with which a new order is refused at once, because its stock could not be reserved now. */
  refusal: () => DomainError | undefined
  /**
   * The first ids of keys that got an answer from this process, as `orderIdOf` returns them. A retry with such a key looks for its order
   * before it reserves. Otherwise it would disturb the batch that its reserve is in.
   */
  settledIds: Pick<Map<string, true>, 'has'> & { set(orderId: string, value: true): unknown }
  /** The currency of the shop, which a confirmed order keeps. */
  currency: string
}

/** A request that finds its id used up by an undo tries the next one, at most this often. */
const maxAttempts = 3
/** At the end of its time, a request needs this long to store an order whose reserve was not answered. */
const storePendingMs = 1_000

/**
 * Places an order. The order module and the product module each own a database, and no transaction spans both. So placing
 * an order takes two steps. Each step is durable (`w: majority, j: true`) before the next one begins, and each step can
 * be repeated without a second effect:
 *
 * 1. Reserve the stock in the product module, under the id that the order will have. One transaction either takes the stock of
 *    all lines and stores a reservation that is `held`, or takes none and stores one that is `rejected`. A reserve that
 *    arrives again is answered from the stored reservation.
 * 2. Insert the order as `confirmed`, with the names and prices of the reservation, or as `rejected`. There is at most one order
 *    with an id. If another process has inserted it first, this request reads the order and answers what the order says.
 *
 * All requests with one idempotency key use one id, which is derived from the user and the key. So they share one reservation, and
 * one of them inserts the order. An order without a key has a random id.
 *
 * If the outcome of step 1 is not known in time, the request inserts the order as `pending`, so that the client can find and cancel
 * it. The next request with the key repeats step 1, and then changes the order from `pending` to `confirmed` or `rejected`, by a
 * compare-and-set.
 *
 * A crash leaves one of these behind:
 *
 * - Before step 1 is durable: nothing. The reserve may still arrive late, until its deadline.
 * - Between steps 1 and 2: a reservation without an order, or with a `pending` order. A retry carries it on.
 * - After step 2: a finished order. A retry with the same key gets the answer that the first request would have got.
 *
 * Without a retry, two jobs of each process that hosts the order module undo what is left:
 *
 * - The sweeper of orders sets a `pending` order to `cancelling`, from 10 s after its lease ended, releases the reservation, and
 *   sets the order to `cancelled` (sweep-unfinished-orders.ts). The lease ends at the deadline of the request.
 * - The sweeper of holds finds a hold without an order. It inserts an order with the id of the hold as `cancelling`, so that no
 *   late request can insert one, and the sweeper of orders completes it (sweep-holds.ts).
 *
 * A release that overtakes its reserve stores a `released` reservation, which refuses the reserve. An undo frees the key: the next
 * request with it finds the id used up, and derives another id from the number of the attempt, with which it places a new order.
 *
 * The owner or an admin may cancel the order at any time, by the same path (cancel-order.ts); then the order keeps its key.
 *
 * Leases only avoid duplicate work. That no order is lost, confirmed twice or left holding stock rests on the unique ids, on the
 * compare-and-sets and on the stored reservations alone. `test/protocol/order-model.ts` explores the protocol as a finite model.
 *
 * A unique index on (user, key) keeps requests from placing two orders with one key and different ids: requests that count the
 * attempts differently, and replicas of earlier versions, which insert the order first, as `pending` and with a random id. On a
 * sharded cluster, ids are unique too: all orders with one id have one user, by which orders are sharded.
 *
 * While the product module is known to refuse reservations (`PlacingDependencies.refusal`), step 1 does not begin.
 *
 * @throws DomainError `request_in_progress`; `idempotency_key_reused`; `overloaded` if nothing was stored; `dependency_unavailable`
 * or `overloaded` with `orderId` if the outcome is not known in time
 */
export async function placeOrder(
  dependencies: PlacingDependencies,
  { userId, key, lines: requested }: { userId: string; key: string | undefined; lines: readonly Line[] },
  call: Call,
): Promise<Placement> {
  const { orders } = dependencies
  const lines = mergeLines(requested)
  const linesHash = hashLines(lines)
  const refusal = dependencies.refusal()
  if (refusal) return replaySettled(orders, { userId, key, linesHash }, refusal, call)
  const request = { userId, key, lines, linesHash, leaseUntil: call.deadline, createdAt: new Date() }
  if (key === undefined) {
    const placement = await placeUnderId(dependencies, { ...request, orderId: orders.newId() }, call)
    return placement ?? requestInProgress()
  }
  let attempt = 0
  const firstId = orderIdOf(userId, key, attempt)
  const known = dependencies.settledIds.has(firstId)
    ? await findSettled(orders, { userId, key, linesHash }, call)
    : undefined
  if (known) return known
  let orderId = firstId
  for (let tries = 1; tries <= maxAttempts; tries++) {
    const placement = await placeUnderId(dependencies, { ...request, orderId }, call)
    if (placement) {
      dependencies.settledIds.set(firstId, true)
      return placement
    }
    const earlier = await orders.findLatestByKey(userId, key, hasFinalAnswer, call)
    if (earlier && hasFinalAnswer(earlier)) return replay(earlier, linesHash)
    if (earlier && earlier.status !== 'pending') return requestInProgress()
    if (earlier && earlier.linesHash !== linesHash) throw keyReused()
    if (!earlier) attempt = await nextAttempt(orders, { userId, key, attempt }, call)
    // A replica of an earlier version may have stored a `pending` order, with an id that the key does not determine.
    orderId = earlier?.orderId ?? orderIdOf(userId, key, attempt)
  }
  return requestInProgress()
}

/**
 * Repeats the answer to an order that is settled, which needs no reservation.
 * @throws DomainError `refusal` if there is no such order
 */
async function replaySettled(
  orders: OrderRepository,
  { userId, key, linesHash }: { userId: string; key: string | undefined; linesHash: string },
  refusal: DomainError,
  call: Call,
): Promise<Placement> {
  // Under overload even this read is too much.
  if (key === undefined || refusal.code === 'overloaded') throw refusal
  const settled = await findSettled(orders, { userId, key, linesHash }, call)
  if (!settled) throw refusal
  return settled
}

/** @returns the answer to the order with this key, or undefined if there is none, or none that is final */
async function findSettled(
  orders: OrderRepository,
  { userId, key, linesHash }: { userId: string; key: string; linesHash: string },
  call: Call,
): Promise<Placement | undefined> {
  const earlier = await orders.findByKey(userId, key, call)
  return earlier && hasFinalAnswer(earlier) ? replay(earlier, linesHash) : undefined
}

/** A cancelled order never changes, also if it was undone. */
const isSettled = (order: Order): boolean => hasFinalAnswer(order) || order.status === 'cancelled'

/** What a request learns from its reserve. `unknown`: no answer in time. `other lines`: the id is reserved with other lines. */
type ReserveAnswer = Reservation | { state: 'unknown'; error: DomainError } | { state: 'other lines' }

/**
 * Steps 1 and 2.
 * @returns undefined if the id is used up, because the order with this id was undone
 */
async function placeUnderId(
  dependencies: PlacingDependencies,
  request: NewOrder,
  call: Call,
): Promise<Placement | undefined> {
  const { orders, currency } = dependencies
  const { orderId, userId } = request
  const answer = await reserve(dependencies, request, call)
  return withOrderId(orderId, async () => {
    const order = orderAfter(answer, request, currency)
    if (order && (await orders.insert(order, userId, call))) {
      if (answer.state === 'unknown') throw answer.error
      return { ...answerFrom(order), replayed: false }
    }
    const earlier = await orders.findLatest({ orderId, userId }, isSettled, call)
    if (earlier) return answerFromEarlier(dependencies, earlier, { request, answer }, call)
    return answerWithoutOrder(dependencies, { request, answer }, call)
  })
}

/** @throws DomainError `overloaded` if the product module refused the reserve; nothing was stored */
async function reserve(
  { product }: PlacingDependencies,
  { orderId, userId, lines }: NewOrder,
  call: Call,
): Promise<ReserveAnswer> {
  const leftMs = remainingMs(call)
  const within = shortenDeadline(call, leftMs - Math.min(storePendingMs, Math.ceil(leftMs / 3)))
  try {
    const reserving = product.reserve({ orderId, userId, lines: [...lines] }, within)
    return await waitUntilDeadline(within, 'product', reserving)
  } catch (error) {
    if (isDomainError(error, 'idempotency_key_reused')) return { state: 'other lines' }
    if (isDomainError(error, 'dependency_unavailable')) return { state: 'unknown', error }
    throw error
  }
}

/** The order to insert after this answer, if there is one. */
function orderAfter(answer: ReserveAnswer, request: NewOrder, currency: string): Order | undefined {
  if (answer.state === 'unknown') return pendingOrder(request)
  if (answer.state === 'held') return confirmedOrder(pendingOrder(request), answer.lines, currency)
  if (answer.state === 'rejected') return rejectedOrder(pendingOrder(request), answer.rejection)
  return undefined
}

interface Attempt {
  request: NewOrder
  answer: ReserveAnswer
}

/**
 * Answers a request whose id another request has used.
 * @returns undefined if that order was undone
 */
async function answerFromEarlier(
  { orders, currency }: PlacingDependencies,
  earlier: Order,
  { request, answer }: Attempt,
  call: Call,
): Promise<Placement | undefined> {
  // If the sweeper has inserted the order, the order has no key.
  if (earlier.isUndone) return earlier.status === 'cancelled' ? undefined : requestInProgress()
  if (earlier.linesHash !== request.linesHash) throw keyReused()
  if (earlier.status !== 'pending') {
    // The owner is cancelling the order.
    if (!hasFinalAnswer(earlier)) return requestInProgress()
    return replay(earlier, request.linesHash)
  }
  if (answer.state === 'unknown') throw answer.error
  const settled =
    answer.state === 'held'
      ? await orders.confirm(earlier, answer.lines, currency, call)
      : answer.state === 'rejected' && (await orders.reject(earlier, answer.rejection, call))
  if (settled) return { ...answerFrom(settled), replayed: false }
  const latest = await orders.findLatest(earlier, hasFinalAnswer, call)
  if (!latest) throw new DomainError('internal_error', `order ${earlier.orderId} no longer exists`)
  return { ...answerFrom(latest), replayed: false }
}

/**
 * Answers a request for whose id there is no order, although none could be inserted.
 * @returns undefined if the id is used up
 */
async function answerWithoutOrder(
  dependencies: PlacingDependencies,
  { request, answer }: Attempt,
  call: Call,
): Promise<Placement | undefined> {
  if (answer.state === 'other lines') throw keyReused()
  // The user has an order with this key and another id: see `placeOrder`.
  if (answer.state === 'held') {
    await undoHold(dependencies, { ...request, lines: answer.lines }, request.userId, call)
  }
  return undefined
}

/** Adds the order's id to errors that leave the outcome open, so that the client can look the order up or cancel it. */
async function withOrderId<T>(orderId: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isDomainError(error, 'dependency_unavailable', 'overloaded')) throw error
    const message = `the outcome of order ${orderId} is not known yet; retry with the same Idempotency-Key`
    throw new DomainError(error.code, message, { orderId, retryAfter: 1 }, { cause: error })
  }
}
