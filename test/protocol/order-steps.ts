import type { Configuration, Safeguards } from './configuration.ts'
import type { Transition } from './model-checker.ts'
import { changed, exists, type Order, orderAt, type Shop } from './order-state.ts'

interface Slot {
  at: number
  name: string
  /** The positions of all orders that the same key may lead to, in the order in which they are placed. */
  siblings: readonly number[]
}

/** The steps that processes can take for one order, and those of them that the sweeper takes after a crash. */
export function stepsOfOrder(
  { at, name, siblings }: Slot,
  { shipping, deletion, expiry, reservesFirst = false }: Configuration,
  safeguards: Safeguards,
): { steps: Transition<Shop>[]; recovery: Transition<Shop>[] } {
  /** `next` returns the changed fields: an empty object if the step has no effect, undefined if the step is not enabled. */
  const step = (
    label: string,
    next: (order: Order, shop: Shop) => Partial<Order> | undefined,
  ): Transition<Shop> => ({
    label: `${label} ${name}`,
    next(shop) {
      const change = next(orderAt(shop, at), shop)
      return change && changed(shop, at, change)
    },
  })
  /** One transaction of the product module, which changes the stock and the reservation together. */
  const transaction = (
    label: string,
    next: (order: Order, shop: Shop) => { order: Partial<Order>; stock?: number } | undefined,
  ): Transition<Shop> => ({
    label: `${label} ${name}`,
    next(shop) {
      const outcome = next(orderAt(shop, at), shop)
      if (!outcome) return undefined
      const { order, stock = 0 } = outcome
      return changed(shop, at, order, stock === 0 ? {} : { stock: shop.stock + stock })
    },
  })

  const keyIsFree = (shop: Shop) => siblings.every((other) => !orderAt(shop, other).hasKey)
  const inserted: Partial<Order> = {
    status: 'pending',
    hasKey: true,
    leaseRuns: safeguards.lease,
    leaseHasEnded: !safeguards.lease,
    reserveSent: true,
  }

  const comesNext = (shop: Shop) =>
    siblings
      .slice(0, siblings.indexOf(at))
      .every((other) => orderAt(shop, other).isUndone && orderAt(shop, other).status === 'cancelled')
  const insertsAs = (status: 'confirmed' | 'rejected', isAnswered: (order: Order) => boolean) =>
    step(`request inserts as ${status}`, (order, shop) => {
      if (!isAnswered(order) || (exists(order) && safeguards.uniqueId)) return undefined
      if (safeguards.uniqueKey && !keyIsFree(shop)) return undefined
      return status === 'confirmed'
        ? { status, hasKey: true, isOld: false, wasConfirmed: true, toldConfirmed: true }
        : { status, hasKey: true, isOld: false, toldRejected: true }
    })
  const placingAfterReserve = [
    step('request sends its reserve before the insert of', (order, shop) =>
      !exists(order) && (comesNext(shop) || !safeguards.sameIdForKey) ? { reserveSent: true } : undefined,
    ),
    insertsAs('confirmed', ({ answeredHeld }) => answeredHeld),
    insertsAs('rejected', ({ answeredRejected }) => answeredRejected),
    step('request without an answer inserts as pending', (order, shop) => {
      if (exists(order) || !order.reserveSent || (safeguards.uniqueKey && !keyIsFree(shop))) return undefined
      return { ...inserted, isOld: false }
    }),
  ]
  const findsHold = step('sweeper finds the unneeded hold of', (order) => {
    if (!safeguards.sweeperFindsHolds || order.reservation !== 'held') return undefined
    const mayExpireSoon = order.isOld && safeguards.sweeperWaitsForExpiry
    if (order.status === 'cancelled') return { releaseSent: true }
    if (order.status === 'rejected') return mayExpireSoon ? undefined : { releaseSent: true }
    if (exists(order)) return undefined
    return safeguards.orderBeforeUndo ? { ...beginCancelling(true), isOld: false } : { releaseSent: true }
  })

  const placingBeforeReserve = [
    step('request inserts', (order, shop) => {
      if (order.status !== 'unplaced' || (safeguards.uniqueKey && !keyIsFree(shop))) return undefined
      if (siblings.find((other) => orderAt(shop, other).status === 'unplaced') !== at) return undefined
      return safeguards.orderBeforeReservation || order.reserveSent ? inserted : undefined
    }),
    ...(safeguards.orderBeforeReservation
      ? []
      : [
          step('request sends its reserve before the insert of', (order) =>
            order.status === 'unplaced' ? { reserveSent: true } : undefined,
          ),
        ]),
  ]

  const placing = [
    ...(reservesFirst ? placingAfterReserve : placingBeforeReserve),
    step('retry takes over', (order) => {
      if (order.status !== 'pending' || !order.hasKey || order.leaseRuns) return undefined
      if (order.isOld && safeguards.neverTakesOverOldOrders) return undefined
      return { leaseRuns: safeguards.lease, reserveSent: true }
    }),
    step('request confirms', (order) => {
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnConfirm)
      if (!order.answeredHeld || !wins) return undefined
      return { status: 'confirmed', wasConfirmed: true, leaseRuns: false, toldConfirmed: true }
    }),
    step('request rejects', (order) => {
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnReject)
      if (!order.answeredRejected || !wins) return undefined
      return { status: 'rejected', leaseRuns: false, toldRejected: true }
    }),
    step('request loses its compare-and-set on', (order) => {
      if (!hasReservationAnswer(order) || order.status === 'pending') return undefined
      if (reservesFirst && !exists(order)) return undefined
      if (safeguards.loserAnswersFromOrder || order.answeredReleased) return answerOf(order)
      return order.answeredHeld ? { toldConfirmed: true } : { toldRejected: true }
    }),
    step('retry reads', (order) => {
      const isFound = reservesFirst ? exists(order) : order.hasKey
      if (!isFound || order.status === 'pending') return undefined
      return order.status === 'cancelling' && !order.wasConfirmed ? {} : answerOf(order)
    }),
  ]

  function answerOf(order: Order): Partial<Order> {
    if (order.wasConfirmed) return { toldConfirmed: true }
    if (order.status === 'rejected') return { toldRejected: true }
    const cancelled = order.status === 'cancelling' || order.status === 'cancelled'
    return cancelled && !(order.isUndone && safeguards.undoGivesNoFinalAnswer) ? { toldCancelled: true } : {}
  }

  const rejected: Partial<Order> = {
    reservation: safeguards.recordedRejection ? 'rejected' : 'absent',
    answeredRejected: true,
  }
  const reserving = [
    transaction('product holds stock for', (order, { stock, deleted }) => {
      if (!order.reserveSent || order.reservation !== 'absent' || deleted) return undefined
      if (stock < 1 && safeguards.conditionalDecrement) return undefined
      return { order: { reservation: 'held', answeredHeld: true }, stock: -1 }
    }),
    step('product rejects as out of stock', (order, { stock, deleted }) => {
      if (!order.reserveSent || order.reservation !== 'absent') return undefined
      return deleted || stock > 0 ? undefined : rejected
    }),
    ...(deletion
      ? [
          step('product rejects as unknown', (order, { deleted }) => {
            if (!order.reserveSent || order.reservation !== 'absent') return undefined
            return deleted ? rejected : undefined
          }),
        ]
      : []),
    step('product repeats its answer for', (order) => {
      if (!order.reserveSent) return undefined
      if (order.reservation === 'held') return { answeredHeld: true }
      if (order.reservation === 'rejected') return { answeredRejected: true }
      return order.reservation === 'released' ? { answeredReleased: true } : undefined
    }),
  ]

  const releasing = [
    transaction('product releases', (order, { deleted }) => {
      const { reservation } = order
      const refused = deleted && reservation === 'held' && !safeguards.releaseIsNeverRefused
      if (!order.releaseSent || refused) return undefined
      const knownAsHeld = order.answeredHeld && reservation === 'released' && !safeguards.compareOnRelease
      const after: Partial<Order> = {
        reservation: reservation === 'absent' && !safeguards.tombstone ? 'absent' : 'released',
        reservationMayExpire:
          order.reservationMayExpire && (reservation === 'released' || expiry === 'careless'),
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

  const beginCancelling = (isUndone: boolean): Partial<Order> => ({
    status: 'cancelling',
    isUndone,
    leaseRuns: false,
    releaseSent: true,
  })
  const cancelling = [
    step('owner begins to cancel', (order) => {
      const wins = order.status === 'pending' || order.status === 'confirmed'
      return wins || (exists(order) && !safeguards.compareOnCancel) ? beginCancelling(false) : undefined
    }),
    step('owner can no longer cancel', (order) =>
      exists(order) && order.status !== 'pending' && order.status !== 'confirmed' ? {} : undefined,
    ),
    ...(shipping
      ? [
          step('admin ships', (order) => {
            const wins = order.status === 'confirmed' || !safeguards.compareOnShip
            return order.wasConfirmed && wins ? { status: 'shipped' } : undefined
          }),
          step('admin can no longer ship', (order) =>
            order.wasConfirmed && order.status !== 'confirmed' ? {} : undefined,
          ),
          step('admin delivers', (order) =>
            order.status === 'shipped' ? { status: 'delivered' } : undefined,
          ),
        ]
      : []),
  ]

  const leaseEnds = step('lease ends of', (order) =>
    order.leaseRuns ? { leaseRuns: false, leaseHasEnded: true } : undefined,
  )
  // The model does not compare the lease, so the sweeper may also undo an order whose lease was renewed. So the model has more
  // behaviours than the program.
  const undo = step('sweeper begins to undo', (order) => {
    if (!safeguards.sweeperUndoesPending || !order.leaseHasEnded) return undefined
    const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnUndo)
    return wins ? beginCancelling(true) : undefined
  })
  const undoesTooLate = step('sweeper loses its compare-and-set on', (order) =>
    order.leaseHasEnded && exists(order) && order.status !== 'pending' ? {} : undefined,
  )
  const resume = step('sweeper resumes the cancellation of', (order) =>
    order.status === 'cancelling' && safeguards.sweeperCompletesCancelling
      ? { releaseSent: true }
      : undefined,
  )

  const rejectedOrderExpires = step('rejected order expires:', (order) =>
    order.status === 'rejected' && order.isOld
      ? { status: 'expired', hasKey: false, toldRejected: false }
      : undefined,
  )
  const ageing = [
    step('a week passes for', (order) => {
      if (!exists(order) && order.reservation === 'absent') return undefined
      return {
        isOld: true,
        leaseRuns: false,
        leaseHasEnded: order.leaseHasEnded || order.leaseRuns,
        reservationMayExpire: order.reservation !== 'absent',
        ...(safeguards.deadlineInTransaction && { reserveSent: false }),
        // The id of an order that has expired is used again.
        ...(safeguards.deadlineOfRelease && reservesFirst && { releaseSent: false }),
        ...(expiry === 'careful' && {
          answeredHeld: false,
          answeredRejected: false,
          answeredReleased: false,
        }),
      }
    }),
    step('reservation expires of', (order) =>
      order.reservationMayExpire && (order.reservation === 'released' || order.reservation === 'rejected')
        ? { reservation: 'absent', reservationMayExpire: false }
        : undefined,
    ),
    rejectedOrderExpires,
  ]

  return {
    steps: [
      ...placing,
      ...reserving,
      ...releasing,
      ...cancelling,
      leaseEnds,
      ...(reservesFirst ? [findsHold] : []),
      undo,
      undoesTooLate,
      resume,
      ...(expiry === 'never' ? [] : ageing),
    ],
    recovery: [
      leaseEnds,
      ...(reservesFirst ? [findsHold, rejectedOrderExpires] : []),
      undo,
      resume,
      ...releasing,
    ],
  }
}

/** Whether some request has an answer to its reserve. */
const hasReservationAnswer = ({ answeredHeld, answeredRejected, answeredReleased }: Order) =>
  answeredHeld || answeredRejected || answeredReleased
