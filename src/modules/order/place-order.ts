import { type Call, remaining, withinDeadline } from '#kernel/call.ts'
import { DomainError, isDomainError } from '#kernel/errors.ts'
import type { Line, ProductPort, Rejection, Reservation } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import { hashLines, mergeLines, type Order, orderAtConfirmation } from './order.ts'

export interface Placement {
  /** The order as it was confirmed, or the refusal that is this request's answer. */
  order?: Order
  refusal?: DomainError
  /** Whether an earlier request of the same key was answered like this. */
  replayed: boolean
}

// An older one is the sweeper's alone. A retry may be answered from a reservation that is about to expire (RETENTION, two
// days at least); delivered again once it has, that same reserve would take stock for an order that is done.
const takenOverWithin = 86_400_000

/**
 * Places an order so that a crash at any point leaves something that a retry or a sweeper settles:
 *
 * 1. Insert it `pending`, unique on (user, key). Nothing is called before this is durable.
 * 2. Reserve under the order's id. However often it is repeated, the product module answers what it first decided.
 * 3. Compare-and-set `pending` → `confirmed` or `rejected`. Whoever loses answers what the order says.
 *
 * The lease only saves work: until it ends, a request with the same key is told to come back; afterwards it takes
 * the order over and goes on from step 2.
 *
 * @throws DomainError `request_in_progress`; `idempotency_key_reused`; `dependency_unavailable` with `orderId` when
 * the outcome is not known in time
 */
export async function placeOrder(
  { orders, product }: { orders: OrderRepository; product: ProductPort },
  request: { userId: string; key: string | undefined; lines: readonly Line[] },
  call: Call,
): Promise<Placement> {
  const { userId, key } = request
  const lines = mergeLines(request.lines)
  const linesHash = hashLines(lines)
  const orderId = orders.newId()
  const order = { orderId, userId, key, lines, linesHash, leaseUntil: call.deadline }
  const inserted = await knownAs(orderId, call, () => orders.insert(order, call))
  if (inserted) return knownAs(orderId, call, () => settle(inserted))

  // Only a key can be in the way. Its order may be undone, and so lose the key, before it is read.
  const earlier = await orders.findLatestByKey(userId, key ?? '', isAnswered, call)
  if (!earlier) throw inProgress(1)
  if (earlier.linesHash !== linesHash) {
    throw new DomainError(
      'idempotency_key_reused',
      'Idempotency-Key: was used for an order of other products; repeat that one unchanged, or use a new key',
    )
  }
  // On its way back: whether it will keep its key, or be undone and free it, shows when it is cancelled.
  if (earlier.status === 'cancelling' && !earlier.confirmation) throw inProgress(1)
  if (earlier.status !== 'pending') return { ...answerOf(earlier), replayed: true }
  const leaseLeft = earlier.leaseUntil - Date.now()
  if (leaseLeft > 0) throw inProgress(Math.ceil(leaseLeft / 1000))
  if (Date.now() - earlier.createdAt.getTime() > takenOverWithin) throw inProgress(1)
  const taken = await knownAs(earlier.orderId, call, () => orders.takeOver(earlier, call.deadline, call))
  if (!taken) throw inProgress(1)
  return knownAs(taken.orderId, call, () => settle(taken))

  async function settle(order: Order): Promise<Placement> {
    const reserving = product.reserve({ orderId: order.orderId, lines }, call)
    const reservation = await withinDeadline(call, 'product', reserving)
    const settled = await record(order, reservation)
    if (settled) return { ...answerOf(settled), replayed: false }
    // Somebody else moved it on: an owner who cancelled, or a retry that took over.
    const latest = await orders.findLatest(order, isAnswered, call)
    if (!latest) throw new DomainError('internal_error', `order ${order.orderId} vanished`)
    return { ...answerOf(latest), replayed: false }
  }

  async function record(order: Order, reservation: Reservation): Promise<Order | undefined> {
    if (reservation.state === 'held') return orders.confirm(order, reservation.lines, call)
    if (reservation.state === 'rejected') return orders.reject(order, reservation.rejection, call)
    return undefined
  }
}

/** An outcome that is not known is an order's: the caller learns which, to look it up or to cancel it. */
async function knownAs<T>(orderId: string, call: Call, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isDomainError(error, 'dependency_unavailable', 'overloaded')) throw error
    const message = `the outcome of order ${orderId} is not known yet; retry with the same Idempotency-Key`
    // Not before the lease is over: until then this request counts as being at work.
    const retryAfter = Math.max(1, Math.ceil(remaining(call) / 1000))
    throw new DomainError(error.code, message, { orderId, retryAfter }, { cause: error })
  }
}

/**
 * Whether every request with this order's key is answered the same from now on. One that was undone, or may yet be, has
 * given its key away, or will.
 */
const isAnswered = ({ status, confirmation, isUndone }: Order): boolean =>
  confirmation !== undefined || status === 'rejected' || (status === 'cancelled' && !isUndone)

/** What an order that is past `pending` answers to the request that placed it, and to every retry. */
function answerOf(order: Order): Omit<Placement, 'replayed'> {
  const confirmed = orderAtConfirmation(order)
  if (confirmed) return { order: confirmed }
  if (order.rejection) return { refusal: refusalOf(order.rejection) }
  // Lost to a retry that took it over, or undone because all this took too long: a retry starts afresh then.
  if (order.status === 'pending' || order.isUndone) throw inProgress(1)
  return {
    refusal: new DomainError('invalid_transition', `the order was cancelled before it was confirmed`, {
      // Also while the stock is on its way back: nothing but `cancelled` can follow.
      from: 'cancelled',
      to: 'confirmed',
      allowed: [],
    }),
  }
}

function refusalOf(rejection: Rejection): DomainError {
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

const inProgress = (retryAfter: number) =>
  new DomainError(
    'request_in_progress',
    'Idempotency-Key: the first request with this key is still at work; repeat it shortly',
    { retryAfter },
  )
