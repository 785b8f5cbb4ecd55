import { type Call, remainingMs, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError, type ErrorCode, isDomainError } from '#kernel/errors.ts'
import type { Line, ProductPort, Rejection, Reservation } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import { hashLines, mergeLines, type Order, orderAtConfirmation } from './order.ts'

export interface PlacingDependencies {
  orders: OrderRepository
  product: ProductPort
  /** The error with which a new order is refused before it is stored, because its stock could not be reserved now. */
  refusal: () => DomainError | undefined
  /** The currency of the shop, which a confirmed order keeps. */
  currency: string
}

export interface Placement {
  /** The order as it was confirmed. */
  order?: Order
  /** The answer to this request if the order is not confirmed. */
  refusal?: DomainError
  /** An earlier request with the same key settled the order, and this request repeats its answer. */
  replayed: boolean
}

// Only the sweeper settles an older order. A retry's reserve may be answered from a stored reservation that is about to
// expire (RETENTION, at least two days). If the network delivered that reserve again after the reservation had expired, the
// reserve would take stock for an order that is settled.
const takeOverWithinMs = 86_400_000

/**
 * Places an order. The order module and the product module each own a database, and no transaction spans both. So placing
 * an order takes three steps. Each step is durable (`w: majority, j: true`) before the next one begins, and each step can
 * be repeated without a second effect:
 *
 * 1. Insert the order as `pending`. A unique index on (user, key) admits one order for each idempotency key.
 * 2. Reserve the stock in the product module, under the order's id. One transaction either takes the stock of all lines and
 *    stores a reservation that is `held`, or takes none and stores one that is `rejected`. A reserve that arrives again is
 *    answered from the stored reservation.
 * 3. Compare-and-set the order from `pending` to `confirmed`, with the names and prices of the reservation, or to
 *    `rejected`. If another process changed the order first, this request reads the order and answers what the order says.
 *
 * A crash leaves one of these behind:
 *
 * - Before step 1 is durable: nothing.
 * - Between steps 1 and 2: a `pending` order without a reservation. The reserve may still arrive late.
 * - Between steps 2 and 3: a `pending` order whose reservation is `held` or `rejected`.
 * - After step 3: a finished order. A retry with the same key gets the answer that the first request would have got.
 *
 * Two kinds of process carry on a `pending` order after its lease has ended. The lease ends at the deadline of the request
 * that works on the order:
 *
 * - A request with the same key takes the order over, by a compare-and-set on the lease, and continues with step 2. While
 *   the lease runs, such a request is answered 409 `request_in_progress`. After a day an order is not taken over any more.
 * - The sweeper, which runs in each process that hosts the order module, undoes the order from 10 s after the lease ended
 *   (sweep-unfinished-orders.ts). It sets the order to `cancelling`, releases the reservation, and sets the order to
 *   `cancelled`, which also unsets the key: a later request with the same key places a new order. A release that overtakes
 *   its reserve stores a `released` reservation, which refuses the reserve.
 *
 * The owner or an admin may cancel the order at any time, by the same path (cancel-order.ts); then the order keeps its key.
 *
 * Leases only avoid duplicate work. That no order is lost, confirmed twice or left holding stock rests on the
 * compare-and-sets and on the stored reservations alone. `test/protocol/order-model.ts` explores the protocol as a finite model.
 *
 * While the product module is known to refuse reservations (`PlacingDependencies.refusal`), step 1 does not begin. Otherwise each such
 * request would leave an order behind that is only undone later.
 *
 * @throws DomainError `request_in_progress`; `idempotency_key_reused`; `dependency_unavailable` or `overloaded`: with `orderId` if
 * the outcome is not known in time, without it if nothing was stored
 */
export async function placeOrder(
  dependencies: PlacingDependencies,
  request: { userId: string; key: string | undefined; lines: readonly Line[] },
  call: Call,
): Promise<Placement> {
  const { orders } = dependencies
  const { userId, key } = request
  const lines = mergeLines(request.lines)
  const linesHash = hashLines(lines)
  const refusal = dependencies.refusal()
  if (refusal) return replaySettled(orders, { userId, key, linesHash }, refusal, call)
  const orderId = orders.newId()
  const order = { orderId, userId, key, lines, linesHash, leaseUntil: call.deadline }
  const inserted = await withOrderId(orderId, call, () => orders.insert(order, call), 'overloaded')
  if (inserted) return withOrderId(orderId, call, () => settle(dependencies, inserted, call))

  // The user already has an order with this key. The order may lose the key, by an undo, before it is read here.
  const earlier = await orders.findLatestByKey(userId, key ?? '', hasFinalAnswer, call)
  if (!earlier) throw requestInProgress(1)
  if (earlier.linesHash !== linesHash) throw keyReused()
  return answerRetry(dependencies, earlier, call)
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
  const earlier = await orders.findByKey(userId, key, call)
  if (!earlier || !hasFinalAnswer(earlier)) throw refusal
  if (earlier.linesHash !== linesHash) throw keyReused()
  return { ...answerFrom(earlier), replayed: true }
}

/** @param earlier is the order that an earlier request with the same key and the same lines placed */
async function answerRetry(
  dependencies: PlacingDependencies,
  earlier: Order,
  call: Call,
): Promise<Placement> {
  // The order is being cancelled. Whether it keeps its key is certain only once it is `cancelled`.
  if (earlier.status === 'cancelling' && !earlier.confirmation) throw requestInProgress(1)
  if (earlier.status !== 'pending') return { ...answerFrom(earlier), replayed: true }
  const leaseLeftMs = earlier.leaseUntil - Date.now()
  if (leaseLeftMs > 0) throw requestInProgress(Math.ceil(leaseLeftMs / 1000))
  if (Date.now() - earlier.createdAt.getTime() > takeOverWithinMs) throw requestInProgress(1)
  return withOrderId(earlier.orderId, call, async () => {
    const takenOver = await dependencies.orders.takeOver(earlier, call.deadline, call)
    if (!takenOver) throw requestInProgress(1)
    return settle(dependencies, takenOver, call)
  })
}

/** Steps 2 and 3, for an order whose lease this request holds. */
async function settle(dependencies: PlacingDependencies, order: Order, call: Call): Promise<Placement> {
  const { orders, product } = dependencies
  const lines = order.lines.map(({ productId, quantity }) => ({ productId, quantity }))
  const reserving = product.reserve({ orderId: order.orderId, lines }, call)
  const reservation = await waitUntilDeadline(call, 'product', reserving)
  const settled = await recordReservation(dependencies, order, reservation, call)
  if (settled) return { ...answerFrom(settled), replayed: false }
  // The order has changed meanwhile: a client cancelled it, a retry took it over, or the sweeper undoes it.
  const latest = await orders.findLatest(order, hasFinalAnswer, call)
  if (!latest) throw new DomainError('internal_error', `order ${order.orderId} no longer exists`)
  return { ...answerFrom(latest), replayed: false }
}

/** @returns undefined if the order has changed meanwhile */
async function recordReservation(
  { orders, currency }: PlacingDependencies,
  order: Order,
  reservation: Reservation,
  call: Call,
): Promise<Order | undefined> {
  if (reservation.state === 'held') return orders.confirm(order, reservation.lines, currency, call)
  if (reservation.state === 'rejected') return orders.reject(order, reservation.rejection, call)
  // A cancellation has released the reservation.
  return undefined
}

/**
 * Adds the order's id to errors that leave the outcome open, so that the client can look the order up or cancel it.
 * @param certain the code of errors that leave no outcome open
 */
async function withOrderId<T>(
  orderId: string,
  call: Call,
  work: () => Promise<T>,
  certain?: ErrorCode,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isDomainError(error, 'dependency_unavailable', 'overloaded') || error.code === certain) throw error
    const message = `the outcome of order ${orderId} is not known yet; retry with the same Idempotency-Key`
    // A retry has to wait for the end of the lease: until then this request counts as working on the order.
    const retryAfter = Math.max(1, Math.ceil(remainingMs(call) / 1000))
    throw new DomainError(error.code, message, { orderId, retryAfter }, { cause: error })
  }
}

/**
 * Whether every request with this order's key gets the same answer from now on. An order that is undone, or may still be
 * undone, has no such answer, because an undo frees the key.
 */
const hasFinalAnswer = ({ status, confirmation, isUndone }: Order): boolean =>
  confirmation !== undefined || status === 'rejected' || (status === 'cancelled' && !isUndone)

/** The answer of a settled order to the request that placed it, and to every retry. */
function answerFrom(order: Order): Omit<Placement, 'replayed'> {
  const confirmed = orderAtConfirmation(order)
  if (confirmed) return { order: confirmed }
  if (order.rejection) return { refusal: refusalFor(order.rejection) }
  // The sweeper undoes the order. After a backup was restored, the order may also be `pending` although its reservation was
  // released. A later request with the same key learns the outcome.
  if (order.status === 'pending' || order.isUndone) throw requestInProgress(1)
  return {
    refusal: new DomainError('invalid_transition', 'the order was cancelled before it was confirmed', {
      // The answer is `cancelled` while the order is still `cancelling` too: no other status can follow.
      from: 'cancelled',
      to: 'confirmed',
      allowed: [],
    }),
  }
}

function refusalFor(rejection: Rejection): DomainError {
  if (rejection.code === 'unknown_product') {
    const { productIds } = rejection
    return new DomainError('unknown_product', `productList: there is no product ${productIds.join(', ')}`, {
      productIds,
    })
  }
  const { items } = rejection
  const short = items.map((item) => `${item.requested} of ${item.productId} (available: ${item.available})`)
  return new DomainError('insufficient_stock', `productList: not enough in stock for ${short.join(', ')}`, {
    items,
  })
}

const keyReused = () =>
  new DomainError(
    'idempotency_key_reused',
    'Idempotency-Key: was used for an order of other products; repeat that order with this key, or use a new key',
  )

const requestInProgress = (retryAfterSeconds: number) =>
  new DomainError(
    'request_in_progress',
    'Idempotency-Key: the first request with this key is still in progress; repeat this request shortly',
    { retryAfter: retryAfterSeconds },
  )
