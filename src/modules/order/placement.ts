import { DomainError } from '#kernel/errors.ts'
import type { Rejection } from '../product/contract.ts'
import { type Order, orderAtConfirmation } from './order.ts'

/** The answer to a request that places an order. */
export interface Placement {
  /** The order as it was confirmed. */
  order?: Order
  /** The answer to this request if the order is not confirmed. */
  refusal?: DomainError
  /** An earlier request with the same key settled the order, and this request repeats its answer. */
  replayed: boolean
}

/** @throws DomainError `idempotency_key_reused` if the order has other lines */
export function replay(earlier: Order, linesHash: string): Placement {
  if (earlier.linesHash !== linesHash) throw keyReused()
  return { ...answerFrom(earlier), replayed: earlier.key !== undefined }
}

/**
 * Whether every request with this order's key gets the same answer from now on. An order that is undone, or may still be
 * undone, has no such answer, because an undo frees the key.
 */
export const hasFinalAnswer = ({ status, confirmation, isUndone }: Order): boolean =>
  confirmation !== undefined || status === 'rejected' || (status === 'cancelled' && !isUndone)

/** The answer of a settled order to the request that placed it, and to every retry. */
export function answerFrom(order: Order): Omit<Placement, 'replayed'> {
  const confirmed = orderAtConfirmation(order)
  if (confirmed) return { order: confirmed }
  if (order.rejection) return { refusal: refusalFor(order.rejection) }
  // The sweeper undoes the order. After a backup was restored, the order may also be `pending` although its reservation was
  // released. A later request with the same key learns the outcome.
  if (order.status === 'pending' || order.isUndone) return requestInProgress()
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

export const keyReused = () =>
  new DomainError(
    'idempotency_key_reused',
    'Idempotency-Key: was used for an order of other products; repeat that order with this key, or use a new key',
  )

/** @throws DomainError `request_in_progress` */
export function requestInProgress(): never {
  throw new DomainError(
    'request_in_progress',
    'Idempotency-Key: an earlier request with this key is not settled yet; repeat this request shortly',
    { retryAfter: 1 },
  )
}
