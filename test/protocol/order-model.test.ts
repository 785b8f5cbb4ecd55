import { describe, expect, it } from 'vitest'
import type { Configuration, ReserveFirstSafeguard, Safeguards } from './configuration.ts'
import { at, explore, once, ordersIn } from './explore.ts'
import type { Situation } from './model-checker.ts'
import type { Order, Shop } from './order-state.ts'

// Together these configurations use every feature of the model. The checker explores each of them completely.
const lastUnit: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: true,
  maxCorrectedStock: 2,
  deletion: true,
  expiry: 'never',
}
const keyUsedAgain: Configuration = {
  customers: { ada: 2, bob: 1 },
  shipping: false,
  maxCorrectedStock: 1,
  deletion: false,
  expiry: 'never',
}
const expiry: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: false,
  maxCorrectedStock: 1,
  deletion: false,
  expiry: 'careless',
}
const expiryAndKeyUsedAgain: Configuration = {
  customers: { ada: 2 },
  shipping: true,
  maxCorrectedStock: 2,
  deletion: true,
  expiry: 'careless',
}
// This configuration is large enough for most counterexamples, and it is quick to explore completely. A counterexample about
// recovery is only known after the whole exploration.
const small: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: true,
  maxCorrectedStock: 0,
  deletion: true,
  expiry: 'never',
}

function lastUnitSituations(): Situation<Shop>[] {
  const when = at(ordersIn('ada', 'bob'))
  const state = once(ordersIn('ada', 'bob'))
  const stages: [Order['status'], Order['reservation']][] = [
    ['pending', 'absent'],
    ['pending', 'held'],
    ['pending', 'rejected'],
    ['cancelling', 'absent'],
    ['cancelling', 'held'],
    ['cancelling', 'rejected'],
    ['cancelling', 'released'],
  ]
  return [
    state(
      'the unit is held for one customer, and the other customer is rejected',
      ({ ada, bob }) =>
        ada.status === 'pending' &&
        ada.reservation === 'held' &&
        bob.status === 'pending' &&
        bob.reservation === 'rejected',
    ),
    state(
      'the other customer buys the unit after a cancellation',
      ({ ada, bob }) => ada.status === 'cancelled' && ada.wasConfirmed && bob.status === 'confirmed',
    ),
    state('an order is delivered', ({ ada }) => ada.status === 'delivered'),
    ...stages.flatMap(([status, reservation]) =>
      [false, true].map((isUndone) =>
        state(
          `a crash can leave an order ${status}${isUndone ? ' by an undo' : ''}, with its reservation ${reservation}`,
          ({ ada }) =>
            ada.status === status &&
            ada.reservation === reservation &&
            (ada.isUndone === isUndone || status === 'pending'),
        ),
      ),
    ),

    when(
      'a retry takes over while an earlier request has the answer to its reserve',
      'retry takes over',
      ({ ada }) => ada.answeredHeld,
    ),
    when(
      'a request and a retry both try to confirm',
      'request loses its compare-and-set on',
      ({ ada }) => ada.answeredHeld && ada.leaseHasEnded && ada.status === 'confirmed',
    ),
    when(
      'a reserve arrives again after its order was delivered',
      'product repeats its answer for',
      ({ ada }) => ada.status === 'delivered',
    ),
    when(
      'a rejected reserve arrives again when there is stock',
      'product repeats its answer for',
      ({ ada }, { stock }) => ada.reservation === 'rejected' && stock > 0,
    ),
    when(
      'a reserve arrives for the first time after its release',
      'product repeats its answer for',
      ({ ada }) =>
        ada.status === 'cancelled' && !ada.answeredHeld && !ada.answeredRejected && !ada.answeredReleased,
    ),
    when('a reserve arrives while its order is being cancelled', 'product holds stock for', ({ ada }) => {
      return ada.status === 'cancelling' && ada.releaseSent
    }),
    when(
      'a release arrives before its reserve',
      'product releases',
      ({ ada }) => ada.reservation === 'absent',
    ),
    when(
      'a release arrives after the reserve was rejected',
      'product releases',
      ({ ada }) => ada.reservation === 'rejected',
    ),
    when(
      'a release arrives again after its order was cancelled and the unit was sold',
      'product releases',
      ({ ada, bob }) => ada.status === 'cancelled' && bob.status === 'confirmed',
    ),

    when(
      'a sweeper undoes an order that a retry has taken over',
      'sweeper begins to undo',
      ({ ada }) => ada.leaseRuns && ada.answeredHeld,
    ),
    when(
      'a second sweeper tries to undo an order that the first one is undoing',
      'sweeper loses its compare-and-set on',
      ({ ada }) => ada.status === 'cancelling' && ada.isUndone,
    ),
    when(
      'a sweeper tries to undo an order that was confirmed meanwhile',
      'sweeper loses its compare-and-set on',
      ({ ada }) => ada.status === 'confirmed',
    ),
    when(
      'a second sweeper resumes an undo that the first one has begun',
      'sweeper resumes the cancellation of',
      ({ ada }) => ada.isUndone && ada.releaseAnswered,
    ),
    when(
      'a second sweeper tries to complete an undo that the first one has completed',
      'canceller or sweeper finds already completed',
      ({ ada }) => ada.isUndone,
    ),
    when(
      'a sweeper resumes a cancellation by the owner',
      'sweeper resumes the cancellation of',
      ({ ada }) => !ada.isUndone,
    ),
    when(
      'a request tries to confirm an order that is being undone',
      'request loses its compare-and-set on',
      ({ ada }) => ada.status === 'cancelling' && ada.isUndone && ada.answeredHeld,
    ),
    when(
      'the owner tries to cancel an order that is being undone',
      'owner can no longer cancel',
      ({ ada }) => ada.status === 'cancelling' && ada.isUndone,
    ),

    when(
      'the owner cancels an order that holds stock and is not confirmed yet',
      'owner begins to cancel',
      ({ ada }) => ada.status === 'pending' && ada.reservation === 'held',
    ),
    when(
      'the owner cancels a confirmed order',
      'owner begins to cancel',
      ({ ada }) => ada.status === 'confirmed',
    ),
    when(
      'the first request finds its order cancelled by the owner',
      'request loses its compare-and-set on',
      ({ ada }) => ada.status === 'cancelling' && !ada.isUndone && !ada.wasConfirmed,
    ),
    when(
      'a retry finds its order cancelled by the owner',
      'retry reads',
      ({ ada }) => ada.status === 'cancelled' && !ada.wasConfirmed,
    ),
    when(
      'a retry is answered 201 after the confirmed order was cancelled',
      'retry reads',
      ({ ada }) => ada.status === 'cancelled' && ada.wasConfirmed,
    ),
    when(
      'a retry repeats the rejection when there is stock again',
      'retry reads',
      ({ ada }, { stock }) => ada.status === 'rejected' && stock > 0,
    ),
    when(
      'an order is shipped before its owner cancels',
      'owner can no longer cancel',
      ({ ada }) => ada.status === 'shipped',
    ),
    when(
      'an order is cancelled before an admin ships it',
      'admin can no longer ship',
      ({ ada }) => ada.status === 'cancelling',
    ),

    state(
      'an admin removes the unit before a pending order reserves it',
      ({ ada }, { stocked }) => stocked === 0 && ada.status === 'pending' && ada.reservation === 'absent',
    ),
    state('an admin adds a unit, and both customers buy one', ({ ada, bob }) => {
      return ada.status === 'confirmed' && bob.status === 'confirmed'
    }),
    when(
      'an order is rejected because its product was deleted',
      'product rejects as unknown',
      (_, { stock }) => stock > 0,
    ),
    when(
      'stock returns to a deleted product',
      'product releases',
      ({ ada }, { deleted }) => deleted && ada.reservation === 'held',
    ),
    when(
      'an order is confirmed after its product was deleted',
      'request confirms',
      (_, { deleted }) => deleted,
    ),
  ]
}

function keyUsedAgainSituations(): Situation<Shop>[] {
  const when = at(ordersIn('ada', 'again', 'bob'))
  const state = once(ordersIn('ada', 'again', 'bob'))
  return [
    state(
      'a retry after an undo places a new order, which is confirmed',
      ({ ada, again }) => ada.isUndone && again.status === 'confirmed',
    ),
    state(
      'the new order is rejected because the other customer has bought',
      ({ ada, again, bob }) => ada.isUndone && again.status === 'rejected' && bob.status === 'confirmed',
    ),
    state(
      'the new order is cancelled by its owner',
      ({ ada, again }) => ada.isUndone && again.status === 'cancelled' && !again.isUndone,
    ),
    state('both orders of one key are undone', ({ ada, again }) => {
      return ada.status === 'cancelled' && again.isUndone && again.status === 'cancelled'
    }),
    when(
      'the reserve of the undone order arrives for the first time while the new order is pending',
      'product repeats its answer for',
      ({ ada, again }) =>
        !ada.answeredHeld && !ada.answeredRejected && !ada.answeredReleased && again.status === 'pending',
    ),
    when(
      'the request of the undone order tries to confirm after the new order was confirmed',
      'request loses its compare-and-set on',
      ({ ada, again }) => ada.answeredHeld && again.status === 'confirmed',
    ),
    when(
      'a second sweeper releases the undone order while the new order holds the unit',
      'product releases',
      ({ again }) => again.reservation === 'held',
    ),
  ]
}

function expirySituations(): Situation<Shop>[] {
  const when = at(ordersIn('ada', 'bob'))
  return [
    when(
      'the tombstone of a cancelled order expires',
      'reservation expires of',
      ({ ada }) => ada.status === 'cancelled' && !ada.wasConfirmed && !ada.answeredHeld,
    ),
    when(
      'a rejection expires while its order is pending',
      'reservation expires of',
      ({ ada }) => ada.status === 'pending',
    ),
    when('a rejected order expires', 'rejected order expires:', () => true),
    when(
      'a release arrives after its reservation expired and the unit was sold',
      'product releases',
      ({ ada, bob }) =>
        ada.status === 'cancelled' && ada.reservation === 'absent' && bob.status === 'confirmed',
    ),
    when(
      'an old order is undone',
      'sweeper begins to undo',
      ({ ada }) => ada.isOld && ada.reservation === 'held',
    ),
    when(
      'a request confirms with an answer that is a week old',
      'request confirms',
      ({ ada }) => ada.isOld && ada.reservation === 'held',
    ),
  ]
}

function expiryAndKeyUsedAgainSituations(): Situation<Shop>[] {
  const state = once(ordersIn('ada', 'again'))
  return [
    state(
      'a retry after the expiry of its rejected order places a new order, which is confirmed',
      ({ ada, again }) => ada.status === 'expired' && again.status === 'confirmed',
    ),
    state(
      'a retry after an undo, whose reservation has expired, places a new order, which is delivered',
      ({ ada, again }) => ada.isUndone && ada.reservation === 'absent' && again.status === 'delivered',
    ),
  ]
}

const configurations: [string, Configuration, Situation<Shop>[]][] = [
  ['two customers and one unit', lastUnit, lastUnitSituations()],
  ['two customers and one unit, with a key that is used again', keyUsedAgain, keyUsedAgainSituations()],
  ['two customers and one unit, with expiry', expiry, expirySituations()],
  ['a key that is used again, with expiry', expiryAndKeyUsedAgain, expiryAndKeyUsedAgainSituations()],
]

describe('the order protocol', () => {
  it.each(configurations)(
    'the order protocol keeps its invariants for %s',
    (title, configuration, situations) => {
      const verdict = explore(title, configuration, { situations })
      expect(verdict.counterexample).toBeUndefined()
      // Every situation and every step must occur. Otherwise the invariants might hold only because the model lacks behaviours.
      expect(verdict.missed).toEqual([])
      expect([...verdict.taken].filter(([, times]) => times === 0)).toEqual([])
    },
  )

  // Leases only avoid duplicate work, so the invariants also hold for processes that ignore them.
  it.each(configurations)(
    'the order protocol keeps its invariants without leases for %s',
    (title, configuration) => {
      const verdict = explore(`without leases, ${title}`, configuration, { without: ['lease'] })
      expect(verdict.counterexample).toBeUndefined()
    },
  )
})

const stuck = 'the sweeper settles the state that a crash leaves'
const wrongHold = 'each hold belongs to an order that may still need it'
const wrongStatusChange = 'an order changes its status only as the protocol allows'

/** For each safeguard: the smallest configuration that needs it, and the first invariant that breaks without it. */
const brokenWithout: Record<
  Exclude<keyof Safeguards, ReserveFirstSafeguard | 'lease'>,
  [Configuration, broken: string]
> = {
  orderBeforeReservation: [small, wrongHold],
  uniqueKey: [keyUsedAgain, 'a key has one final answer'],
  conditionalDecrement: [small, 'stock is never below zero'],
  recordedRejection: [small, wrongHold],
  tombstone: [small, wrongHold],
  compareOnRelease: [small, 'stock plus held units equal the units put in'],
  releaseIsNeverRefused: [small, stuck],
  compareOnConfirm: [small, wrongStatusChange],
  compareOnReject: [small, wrongStatusChange],
  compareOnCancel: [small, wrongStatusChange],
  compareOnUndo: [small, 'a customer that was answered 201 has an order that was confirmed'],
  compareOnShip: [small, wrongStatusChange],
  releaseBeforeCancelled: [small, wrongHold],
  loserAnswersFromOrder: [small, 'a customer that was answered 201 has an order that was confirmed'],
  undoGivesNoFinalAnswer: [
    small,
    'a customer that was told of a cancellation cancelled the order before it was confirmed',
  ],
  undoFreesKey: [small, stuck],
  onlyUndoFreesKey: [small, 'an order that its owner cancelled keeps its key'],
  sweeperUndoesPending: [small, stuck],
  sweeperCompletesCancelling: [small, stuck],
  // These two safeguards are needed even if expiry is careful.
  deadlineInTransaction: [{ ...expiry, expiry: 'careful' }, wrongHold],
  neverTakesOverOldOrders: [{ ...expiry, expiry: 'careful' }, wrongHold],
}

describe('the safeguards of the order protocol', () => {
  it.each(Object.entries(brokenWithout))(
    'the order protocol breaks an invariant without the safeguard %s',
    (safeguard, [configuration, broken]) => {
      const verdict = explore(`without ${safeguard}`, configuration, {
        without: [safeguard as keyof Safeguards],
      })
      expect(verdict.counterexample?.broken).toBe(broken)
    },
  )
})
