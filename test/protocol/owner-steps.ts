import type { Transition } from './model-checker.ts'
import { exists, type Order, type Shop } from './order-state.ts'
import type { Slot } from './slot.ts'

export const beginCancelling = (isUndone: boolean): Partial<Order> => ({
  status: 'cancelling',
  isUndone,
  releaseSent: true,
})

/** Lists the steps by which the owner, or an admin, cancels the order. */
export function cancellingSteps({ safeguards, step }: Slot): Transition<Shop>[] {
  const isCancellable = ({ status }: Order) => status === 'pending' || status === 'confirmed'
  return [
    step('owner begins to cancel', (order) => {
      const wins = isCancellable(order) || (exists(order) && !safeguards.compareOnCancel)
      return wins ? beginCancelling(false) : undefined
    }),
    step('owner can no longer cancel', (order) => (exists(order) && !isCancellable(order) ? {} : undefined)),
  ]
}

/** Lists the steps of admins who ship and deliver the order. */
export function shippingSteps({ safeguards, step }: Slot): Transition<Shop>[] {
  return [
    step('admin ships', (order) => {
      const wins = order.status === 'confirmed' || !safeguards.compareOnShip
      return order.wasConfirmed && wins ? { status: 'shipped' } : undefined
    }),
    step('admin can no longer ship', (order) =>
      order.wasConfirmed && order.status !== 'confirmed' ? {} : undefined,
    ),
    step('admin delivers', (order) => (order.status === 'shipped' ? { status: 'delivered' } : undefined)),
  ]
}
