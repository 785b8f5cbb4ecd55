import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { HeldLine, Rejection } from '../product/contract.ts'
import { confirmedOrder, nextVersion, type Order, rejectedOrder, undoneOrder } from './order.ts'
import type { CompareAndSet, OrderChange } from './order-changes.repository.ts'
import type { OrderDocument } from './order-document.repository.ts'
import type { OrderStatus } from './order-status.ts'
import type { CountTransition } from './transition-count.ts'

export const newId = (): string => new Types.ObjectId().toHexString()

/**
 * Creates the changes of an order. Each is a compare-and-set on the order as the caller read it, and returns undefined if another
 * process changed the order first.
 */
export function createTransitions(compareAndSet: CompareAndSet, count: CountTransition) {
  const step = async (
    order: Order,
    expected: OrderChange['expected'],
    next: Order,
    by: string,
    call: Call,
  ) => {
    const changed = await compareAndSet({ stepId: newId(), statusChangedBy: by, expected, next }, call)
    if (changed) count(order.status, next.status)
    return changed
  }

  return {
    /** Renews the lease of an unfinished order. Of several processes that read the same lease, one succeeds. */
    takeOver: (order: Order, leaseUntil: number, call: Call) =>
      compareAndSet(
        {
          stepId: newId(),
          statusChangedBy: undefined,
          expected: matchesLease(order),
          next: { ...order, leaseUntil },
        },
        call,
      ),

    /** Only requests of the owner confirm and reject an order. */
    confirm: (order: Order, held: readonly HeldLine[], currency: string, call: Call) =>
      step(
        order,
        matchesVersion(order, 'pending'),
        confirmedOrder(order, held, currency),
        order.userId,
        call,
      ),

    reject: (order: Order, rejection: Rejection, call: Call) =>
      step(order, matchesVersion(order, 'pending'), rejectedOrder(order, rejection), order.userId, call),

    beginCancelling: (order: Order, leaseUntil: number, by: string, call: Call) =>
      step(
        order,
        matchesVersion(order, 'pending', 'confirmed'),
        nextVersion(order, { status: 'cancelling', leaseUntil }),
        by,
        call,
      ),

    /** Begins to cancel an abandoned `pending` order. Unlike a client's cancellation, an undo frees the key in the end. */
    beginUndo: (order: Order, leaseUntil: number, by: string, call: Call) =>
      step(order, matchesLease(order), undoneOrder(order, leaseUntil), by, call),

    finishCancelling: (order: Order, by: string, call: Call) =>
      step(
        order,
        matchesVersion(order, 'cancelling'),
        nextVersion(order, { status: 'cancelled', ...(order.isUndone && { key: undefined }) }),
        by,
        call,
      ),

    advance: (order: Order, to: 'shipped' | 'delivered', by: string, call: Call) =>
      step(order, matchesVersion(order, order.status), nextVersion(order, { status: to }), by, call),
  }
}

const matchesVersion = (
  { version }: Order,
  ...statuses: OrderStatus[]
): mongoose.mongo.Filter<OrderDocument> => ({
  status: { $in: statuses },
  version,
})

const matchesLease = ({ status, leaseUntil }: Order): mongoose.mongo.Filter<OrderDocument> => ({
  status,
  leaseUntil: new Date(leaseUntil),
})
