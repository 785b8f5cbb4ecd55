import type { Transition } from './model-checker.ts'
import { exists, hasReservationAnswer, type Order, orderAt, type Shop } from './order-state.ts'
import type { Slot } from './slot.ts'

const confirmed: Partial<Order> = { wasConfirmed: true, holdWasSeen: true, toldConfirmed: true }

/** Lists the steps of requests that place the order, and of their retries. */
export function requestSteps(slot: Slot): Transition<Shop>[] {
  const { safeguards, step } = slot
  return [
    step('request sends its reserve for', () => ({ reserveSent: true })),
    ...insertingSteps(slot),
    step('request confirms', (order) => {
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnConfirm)
      if (!order.answeredHeld || !wins) return undefined
      return { status: 'confirmed', ...confirmed }
    }),
    step('request rejects', (order) => {
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnReject)
      return order.answeredRejected && wins ? { status: 'rejected', toldRejected: true } : undefined
    }),
    step('request comes too late for', (order) => {
      if (!hasReservationAnswer(order) || !exists(order) || order.status === 'pending') return undefined
      if (safeguards.loserAnswersFromOrder || order.answeredReleased) return answerOf(order, slot)
      return order.answeredHeld ? { toldConfirmed: true } : { toldRejected: true }
    }),
    step('request without an answer reads', (order) => {
      if (!exists(order) || order.status === 'pending') return undefined
      return order.status === 'cancelling' && !order.wasConfirmed ? {} : answerOf(order, slot)
    }),
  ]
}

function insertingSteps({ siblings, safeguards, step }: Slot): Transition<Shop>[] {
  const insertsAs = (
    status: 'confirmed' | 'rejected' | 'pending',
    isEnabled: (order: Order) => boolean,
    told: Partial<Order>,
  ) =>
    step(`request inserts as ${status}`, (order, shop) => {
      if (!isEnabled(order) || (exists(order) && safeguards.uniqueId)) return undefined
      const keyIsTaken = siblings.some((other) => orderAt(shop, other).hasKey)
      return keyIsTaken && safeguards.uniqueKey ? undefined : { status, hasKey: true, ...told }
    })
  return [
    insertsAs('confirmed', ({ answeredHeld }) => answeredHeld, confirmed),
    insertsAs('rejected', ({ answeredRejected }) => answeredRejected, { toldRejected: true }),
    insertsAs('pending', ({ reserveSent }) => reserveSent, { leaseHasEnded: !safeguards.lease }),
  ]
}

function answerOf(order: Order, { safeguards }: Slot): Partial<Order> {
  if (order.wasConfirmed) return { toldConfirmed: true }
  if (order.status === 'rejected') return { toldRejected: true }
  const cancelled = order.status === 'cancelling' || order.status === 'cancelled'
  return cancelled && !(order.isUndone && safeguards.undoGivesNoFinalAnswer) ? { toldCancelled: true } : {}
}
