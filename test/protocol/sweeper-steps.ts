import type { Transition } from './model-checker.ts'
import { exists, type Order, type Shop } from './order-state.ts'
import { beginCancelling } from './owner-steps.ts'
import type { Slot } from './slot.ts'

/** Lists the steps of the sweeper, and those of time, which it waits for. */
export function sweeperSteps(slot: Slot): Transition<Shop>[] {
  const { expires, safeguards, step } = slot
  return [
    step('lease ends of', (order) =>
      order.status === 'pending' && !order.leaseHasEnded ? { leaseHasEnded: true } : undefined,
    ),
    step('sweeper begins to undo', (order) => {
      if (!safeguards.sweeperUndoesPending || !order.leaseHasEnded) return undefined
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnUndo)
      return wins ? beginCancelling(true) : undefined
    }),
    step('sweeper loses its compare-and-set on', (order) =>
      order.leaseHasEnded && exists(order) && order.status !== 'pending' ? {} : undefined,
    ),
    step('sweeper resumes the cancellation of', (order) =>
      order.status === 'cancelling' && safeguards.sweeperCompletesCancelling
        ? { releaseSent: true }
        : undefined,
    ),
    ...(expires ? deletingSteps(slot) : []),
  ]
}

/**
 * Lists the steps of the sweeper for a hold.
 * @param isFound whether the sweeper still finds the hold
 */
export function holdSteps(
  { safeguards, step }: Slot,
  isFound: (order: Order) => boolean,
): Transition<Shop>[] {
  const mayBeReleased = ({ status, isOld }: Order) => {
    if (status === 'rejected') return !(isOld && safeguards.sweeperWaitsForExpiry)
    if (status === 'pending') return !safeguards.undoBeforeRelease
    return status === 'cancelled' || status === 'unplaced' || status === 'expired'
  }
  const seesUnneeded = step('sweeper finds the unneeded hold of', (order) => {
    if (!safeguards.sweeperFindsHolds || order.reservation !== 'held' || !isFound(order)) return undefined
    if (!exists(order) && safeguards.orderBeforeUndo) return beginCancelling(true)
    return mayBeReleased(order) ? { releaseSent: true } : undefined
  })
  const seesNeeded = step('sweeper leaves alone the hold of', ({ status, reservation }) =>
    reservation === 'held' && (status === 'pending' || status === 'cancelling')
      ? { holdWasSeen: true }
      : undefined,
  )
  return safeguards.looksAgain ? [seesUnneeded] : [seesUnneeded, seesNeeded]
}

/** Lists the steps by which a rejected order ends. The database deletes it when it expires, or the sweeper deletes it shortly before. */
function deletingSteps({ safeguards, step }: Slot): Transition<Shop>[] {
  const isOldAndRejected = ({ status, isOld }: Order) => status === 'rejected' && isOld
  const deletes = step('rejected order expires:', (order) => {
    if (order.status !== 'rejected' || !(order.isOld || order.isBeingDeleted)) return undefined
    const toldRejected = order.toldRejected && !order.isOld
    return { status: 'expired', hasKey: false, leaseHasEnded: false, toldRejected }
  })
  const finds = step('sweeper is about to delete', (order) =>
    isOldAndRejected(order) ? { isBeingDeleted: true } : undefined,
  )
  return safeguards.compareOnDelete ? [deletes] : [finds, deletes]
}
