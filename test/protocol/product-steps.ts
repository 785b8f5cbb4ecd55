import type { Transition } from './model-checker.ts'
import { exists, noAnswers, type Order, type Shop } from './order-state.ts'
import type { Slot } from './slot.ts'

/** Lists the steps of the product module that decide a reserve. */
export function reservingSteps({ configuration, safeguards, step, transaction }: Slot): Transition<Shop>[] {
  const isNew = ({ reserveSent, reservation }: Order) => reserveSent && reservation === 'absent'
  const rejected: Partial<Order> = {
    reservation: safeguards.recordedRejection ? 'rejected' : 'absent',
    answeredRejected: true,
  }
  const rejectsAsUnknown = step('product rejects as unknown', (order, { deleted }) =>
    isNew(order) && deleted ? rejected : undefined,
  )
  return [
    transaction('product holds stock for', (order, { stock, deleted }) => {
      if (!isNew(order) || deleted || (stock < 1 && safeguards.conditionalDecrement)) return undefined
      return { order: { reservation: 'held', answeredHeld: true }, stock: -1 }
    }),
    step('product rejects as out of stock', (order, { stock, deleted }) =>
      isNew(order) && !deleted && stock < 1 ? rejected : undefined,
    ),
    ...(configuration.deletion ? [rejectsAsUnknown] : []),
    step('product repeats its answer for', ({ reserveSent, reservation }) => {
      if (!reserveSent) return undefined
      if (reservation === 'held') return { answeredHeld: true }
      if (reservation === 'rejected') return { answeredRejected: true }
      return reservation === 'released' ? { answeredReleased: true } : undefined
    }),
  ]
}

/** Lists the steps that release the stock of an order, and complete its cancellation. */
export function releasingSteps({ safeguards, step, transaction }: Slot): Transition<Shop>[] {
  return [
    transaction('product releases', (order, { deleted }) => {
      const { reservation } = order
      const refused = deleted && reservation === 'held' && !safeguards.releaseIsNeverRefused
      if (!order.releaseSent || refused) return undefined
      const knownAsHeld = order.answeredHeld && reservation === 'released' && !safeguards.compareOnRelease
      const after: Partial<Order> = {
        reservation: reservation === 'absent' && !safeguards.tombstone ? 'absent' : 'released',
        reservationIsOld: order.reservationIsOld && reservation === 'released',
        holdWasSeen: false,
        releaseAnswered: true,
      }
      return { order: after, stock: reservation === 'held' || knownAsHeld ? 1 : 0 }
    }),
    step('canceller or sweeper completes', (order) => {
      const answered = order.releaseAnswered || (order.releaseSent && !safeguards.releaseBeforeCancelled)
      if (!answered || order.status !== 'cancelling') return undefined
      const frees = order.isUndone ? safeguards.undoFreesKey : !safeguards.onlyUndoFreesKey
      return { status: 'cancelled', hasKey: order.hasKey && !frees }
    }),
    step('canceller or sweeper finds already completed', (order) =>
      order.releaseAnswered && order.status === 'cancelled' ? {} : undefined,
    ),
  ]
}

/** Lists the steps by which what is stored grows old, and reservations expire. sweeper-steps.ts has the expiry of orders. */
export function expirySteps({ safeguards, step }: Slot): Transition<Shop>[] {
  return [
    step('a week passes for', (order) => {
      if (!exists(order) && order.reservation === 'absent') return undefined
      return {
        isOld: exists(order),
        leaseHasEnded: order.leaseHasEnded || order.status === 'pending',
        reservationIsOld: order.reservation !== 'absent',
        ...(safeguards.deadlineOfRelease && { releaseSent: false }),
        ...(safeguards.answersAreRecent && noAnswers),
      }
    }),
    step('reservation expires of', (order) =>
      order.reservationIsOld && (order.reservation === 'released' || order.reservation === 'rejected')
        ? { reservation: 'absent', reservationIsOld: false }
        : undefined,
    ),
  ]
}
