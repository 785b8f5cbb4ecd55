import { describe, expect, it } from 'vitest'
import type { Configuration, Safeguards } from './configuration.ts'
import { at, explore, once, ordersIn } from './explore.ts'
import type { Situation } from './model-checker.ts'
import type { Order, Shop } from './order-state.ts'

// Together these configurations use every feature of the model. The checker explores each of them completely.
const lastUnit: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: true,
  maxCorrectedStock: 2,
  deletion: true,
  expiry: [],
}
const keyUsedAgain: Configuration = {
  customers: { ada: 2, bob: 1 },
  shipping: false,
  maxCorrectedStock: 0,
  deletion: false,
  expiry: [],
}
const expiry: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: false,
  maxCorrectedStock: 1,
  deletion: false,
  expiry: ['ada#1'],
}
const expiryAndKeyUsedAgain: Configuration = {
  customers: { ada: 2 },
  shipping: true,
  maxCorrectedStock: 1,
  deletion: true,
  expiry: ['ada#1'],
}
// These configurations are large enough for the counterexamples, and they are quick to explore completely. A counterexample
// about recovery is only known after the whole exploration.
const small: Configuration = { ...lastUnit, customers: { ada: 1 }, maxCorrectedStock: 1 }
const smallWithExpiry: Configuration = { ...small, expiry: ['ada#1'] }
const smallWithKeyUsedAgain: Configuration = { ...small, customers: { ada: 2 } }

const when = at(ordersIn('ada', 'again', 'bob'))
const state = once(ordersIn('ada', 'again', 'bob'))
/** The same for configurations in which bob's order follows ada's only order. */
const whenTwo = at(ordersIn('ada', 'bob'))
const stateTwo = once(ordersIn('ada', 'bob'))

const isUnanswered = ({ answeredHeld, answeredRejected, answeredReleased }: Order) =>
  !answeredHeld && !answeredRejected && !answeredReleased

const stages: [Order['status'], Order['reservation']][] = [
  ['pending', 'absent'],
  ['pending', 'held'],
  ['pending', 'rejected'],
  ['cancelling', 'absent'],
  ['cancelling', 'held'],
  ['cancelling', 'rejected'],
  ['cancelling', 'released'],
]
const crashSituations: Situation<Shop>[] = [
  stateTwo(
    'a crash can leave a hold without an order',
    ({ ada }) => ada.status === 'unplaced' && ada.reservation === 'held',
  ),
  stateTwo(
    'a crash can leave a rejection without an order',
    ({ ada }) => ada.status === 'unplaced' && ada.reservation === 'rejected',
  ),
  ...stages.flatMap(([status, reservation]) =>
    [false, true].map((isUndone) =>
      stateTwo(
        `a crash can leave an order ${status}${isUndone ? ' by an undo' : ''}, with its reservation ${reservation}`,
        ({ ada }) =>
          ada.status === status &&
          ada.reservation === reservation &&
          (ada.isUndone === isUndone || status === 'pending'),
      ),
    ),
  ),
]

const requestSituations: Situation<Shop>[] = [
  whenTwo(
    'a retry reserves while the first request is about to insert the order',
    'request sends its reserve for',
    ({ ada }) => ada.status === 'unplaced' && ada.answeredHeld,
  ),
  whenTwo(
    'a retry reserves while an earlier request is about to confirm the pending order',
    'request sends its reserve for',
    ({ ada }) => ada.status === 'pending' && ada.answeredHeld,
  ),
  whenTwo(
    'a retry reserves although the order is shipped',
    'request sends its reserve for',
    ({ ada }) => ada.status === 'shipped',
  ),
  whenTwo(
    'a second request finds the confirmed order that the first one has inserted',
    'request comes too late for',
    ({ ada }) => ada.answeredHeld && ada.status === 'confirmed' && !ada.leaseHasEnded,
  ),
  whenTwo(
    'a request and a retry both try to confirm a pending order',
    'request comes too late for',
    ({ ada }) => ada.answeredHeld && ada.leaseHasEnded && ada.status === 'confirmed',
  ),
  whenTwo(
    'a request inserts its order as pending while a retry has an answer',
    'request inserts as pending',
    ({ ada }) => ada.answeredHeld,
  ),
  whenTwo(
    'a request inserts its order as pending after its reserve was rejected',
    'request inserts as pending',
    ({ ada }) => ada.reservation === 'rejected',
  ),
  whenTwo(
    'a request confirms an order that was pending, before its lease ends',
    'request confirms',
    ({ ada }) => !ada.leaseHasEnded,
  ),
  whenTwo(
    'a request confirms an order that was pending, after its lease ended',
    'request confirms',
    ({ ada }) => ada.leaseHasEnded,
  ),
  whenTwo(
    'a request rejects an order that was pending, after its lease ended',
    'request rejects',
    ({ ada }) => ada.leaseHasEnded,
  ),
  whenTwo(
    'a retry repeats the rejection when there is stock again',
    'request without an answer reads',
    ({ ada }, { stock }) => ada.status === 'rejected' && stock > 0,
  ),
]

const messageSituations: Situation<Shop>[] = [
  whenTwo(
    'a reserve arrives again after its order was delivered',
    'product repeats its answer for',
    ({ ada }) => ada.status === 'delivered',
  ),
  whenTwo(
    'a rejected reserve arrives again when there is stock',
    'product repeats its answer for',
    ({ ada }, { stock }) => ada.reservation === 'rejected' && stock > 0,
  ),
  whenTwo(
    'a reserve arrives for the first time after its release',
    'product repeats its answer for',
    ({ ada }) => ada.status === 'cancelled' && isUnanswered(ada),
  ),
  whenTwo(
    'a reserve arrives after the sweeper has undone its order',
    'product repeats its answer for',
    ({ ada }) => ada.isUndone && ada.status === 'cancelled',
  ),
  whenTwo(
    'a reserve arrives while its order is being cancelled',
    'product holds stock for',
    ({ ada }) => ada.status === 'cancelling' && ada.releaseSent,
  ),
  whenTwo(
    'a release arrives before its reserve',
    'product releases',
    ({ ada }) => ada.reservation === 'absent',
  ),
  whenTwo(
    'a release arrives after the reserve was rejected',
    'product releases',
    ({ ada }) => ada.reservation === 'rejected',
  ),
  whenTwo(
    'a release arrives again after its order was cancelled and the unit was sold',
    'product releases',
    ({ ada, bob }) => ada.status === 'cancelled' && bob.status === 'confirmed',
  ),
]

const sweeperSituations: Situation<Shop>[] = [
  whenTwo(
    'a sweeper finds a hold without an order while a request is about to insert the order',
    'sweeper finds the unneeded hold of',
    ({ ada }) => ada.status === 'unplaced' && ada.answeredHeld,
  ),
  stateTwo(
    'the order that a sweeper inserts for a hold has no key',
    ({ ada }) => ada.status === 'cancelling' && ada.isUndone && !ada.hasKey,
  ),
  whenTwo(
    'a sweeper undoes an order that a retry is about to confirm',
    'sweeper begins to undo',
    ({ ada }) => ada.answeredHeld,
  ),
  whenTwo(
    'a second sweeper tries to undo an order that the first one is undoing',
    'sweeper loses its compare-and-set on',
    ({ ada }) => ada.status === 'cancelling' && ada.isUndone,
  ),
  whenTwo(
    'a sweeper tries to undo an order that was confirmed meanwhile',
    'sweeper loses its compare-and-set on',
    ({ ada }) => ada.status === 'confirmed',
  ),
  whenTwo(
    'a second sweeper resumes an undo that the first one has begun',
    'sweeper resumes the cancellation of',
    ({ ada }) => ada.isUndone && ada.releaseAnswered,
  ),
  whenTwo(
    'a second sweeper tries to complete an undo that the first one has completed',
    'canceller or sweeper finds already completed',
    ({ ada }) => ada.isUndone,
  ),
  whenTwo(
    'a sweeper resumes a cancellation by the owner',
    'sweeper resumes the cancellation of',
    ({ ada }) => !ada.isUndone,
  ),
  whenTwo(
    'a request that holds stock finds its order being undone',
    'request comes too late for',
    ({ ada }) => ada.status === 'cancelling' && ada.isUndone && ada.answeredHeld,
  ),
  whenTwo(
    'the owner tries to cancel an order that is being undone',
    'owner can no longer cancel',
    ({ ada }) => ada.status === 'cancelling' && ada.isUndone,
  ),
]

const ownerSituations: Situation<Shop>[] = [
  stateTwo(
    'the other customer buys the unit after a cancellation',
    ({ ada, bob }) => ada.status === 'cancelled' && ada.wasConfirmed && bob.status === 'confirmed',
  ),
  whenTwo(
    'the owner cancels an order that holds stock and is not confirmed yet',
    'owner begins to cancel',
    ({ ada }) => ada.status === 'pending' && ada.reservation === 'held',
  ),
  whenTwo(
    'the owner cancels a confirmed order',
    'owner begins to cancel',
    ({ ada }) => ada.status === 'confirmed',
  ),
  whenTwo(
    'the first request finds its order cancelled by the owner',
    'request comes too late for',
    ({ ada }) => ada.status === 'cancelling' && !ada.isUndone && !ada.wasConfirmed,
  ),
  whenTwo(
    'a retry finds its order cancelled by the owner',
    'request without an answer reads',
    ({ ada }) => ada.status === 'cancelled' && !ada.isUndone && !ada.wasConfirmed,
  ),
  whenTwo(
    'a retry is answered 201 after the confirmed order was cancelled',
    'request without an answer reads',
    ({ ada }) => ada.status === 'cancelled' && ada.wasConfirmed,
  ),
  whenTwo(
    'an order is shipped before its owner cancels',
    'owner can no longer cancel',
    ({ ada }) => ada.status === 'shipped',
  ),
  whenTwo(
    'an order is cancelled before an admin ships it',
    'admin can no longer ship',
    ({ ada }) => ada.status === 'cancelling',
  ),
  stateTwo('an order is delivered', ({ ada }) => ada.status === 'delivered'),
]

const productSituations: Situation<Shop>[] = [
  stateTwo(
    'the unit is held for one customer, and the other customer is rejected',
    ({ ada, bob }) =>
      ada.status === 'pending' &&
      ada.reservation === 'held' &&
      bob.status === 'pending' &&
      bob.reservation === 'rejected',
  ),
  stateTwo(
    'an admin removes the unit before a pending order reserves it',
    ({ ada }, { stocked }) => stocked === 0 && ada.status === 'pending' && ada.reservation === 'absent',
  ),
  stateTwo(
    'an admin adds a unit, and both customers buy one',
    ({ ada, bob }) => ada.status === 'confirmed' && bob.status === 'confirmed',
  ),
  whenTwo(
    'an order is rejected because its product was deleted',
    'product rejects as unknown',
    (_, { stock }) => stock > 0,
  ),
  whenTwo(
    'stock returns to a deleted product',
    'product releases',
    ({ ada }, { deleted }) => deleted && ada.reservation === 'held',
  ),
  whenTwo(
    'an order is inserted as confirmed after its product was deleted',
    'request inserts as confirmed',
    (_, { deleted }) => deleted,
  ),
  whenTwo(
    'a pending order is confirmed after its product was deleted',
    'request confirms',
    (_, { deleted }) => deleted,
  ),
]

const keyUsedAgainSituations: Situation<Shop>[] = [
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
  state(
    'both orders of one key are undone',
    ({ ada, again }) => ada.status === 'cancelled' && again.isUndone && again.status === 'cancelled',
  ),
  when(
    'the reserve of the undone order arrives for the first time while the new order is pending',
    'product repeats its answer for',
    ({ ada, again }) => isUnanswered(ada) && again.status === 'pending',
  ),
  when(
    'a retry reserves under the id of the undone order after the new order was confirmed',
    'request sends its reserve for',
    ({ again }) => again.status === 'confirmed',
  ),
  when(
    'the request of the undone order tries to insert it after the new order was confirmed',
    'request comes too late for',
    ({ ada, again }) => ada.answeredHeld && again.status === 'confirmed',
  ),
  when(
    'a second sweeper releases the undone order while the new order holds the unit',
    'product releases',
    ({ again }) => again.reservation === 'held',
  ),
]

const expirySituations: Situation<Shop>[] = [
  whenTwo(
    'the tombstone of a cancelled order expires',
    'reservation expires of',
    ({ ada }) => ada.status === 'cancelled' && !ada.wasConfirmed && !ada.answeredHeld,
  ),
  whenTwo(
    'a rejection expires while its order is pending',
    'reservation expires of',
    ({ ada }) => ada.status === 'pending',
  ),
  whenTwo('a rejected order expires', 'rejected order expires:', () => true),
  whenTwo(
    'a rejected order expires that has a hold',
    'rejected order expires:',
    ({ ada }) => ada.reservation === 'held',
  ),
  whenTwo(
    'a release arrives after its reservation expired and the unit was sold',
    'product releases',
    ({ ada, bob }) =>
      ada.status === 'cancelled' && ada.reservation === 'absent' && bob.status === 'confirmed',
  ),
  whenTwo(
    'an old order is undone',
    'sweeper begins to undo',
    ({ ada }) => ada.isOld && ada.reservation === 'held',
  ),
  whenTwo('a request confirms an old order', 'request confirms', ({ ada }) => ada.isOld),
  whenTwo('a request rejects an old order', 'request rejects', ({ ada }) => ada.isOld),
  whenTwo(
    'a sweeper finds a hold that is a week old',
    'sweeper finds the unneeded hold of',
    ({ ada }) => ada.reservationIsOld,
  ),
  whenTwo(
    'a sweeper releases the hold of a rejected order',
    'sweeper finds the unneeded hold of',
    ({ ada }) => ada.status === 'rejected',
  ),
  whenTwo(
    'a sweeper releases the hold of a cancelled order',
    'sweeper finds the unneeded hold of',
    ({ ada }) => ada.status === 'cancelled',
  ),
  whenTwo(
    'a retry reserves under the id of a rejected order that has expired',
    'product holds stock for',
    ({ ada }) => ada.status === 'expired',
  ),
  whenTwo(
    'a retry finds a released reservation under the id of a rejected order that has expired',
    'product repeats its answer for',
    ({ ada }) => ada.status === 'expired' && ada.reservation === 'released',
  ),
]

const expiryAndKeyUsedAgainSituations: Situation<Shop>[] = [
  when(
    'a retry after the expiry of its rejected order places a new order, which is confirmed',
    'request inserts as confirmed',
    ({ ada }) => ada.status === 'expired',
  ),
  state(
    'a retry after an undo, whose reservation has expired, places a new order, which is delivered',
    ({ ada, again }) => ada.isUndone && ada.reservation === 'absent' && again.status === 'delivered',
  ),
]

const lastUnitSituations = [
  ...crashSituations,
  ...requestSituations,
  ...messageSituations,
  ...sweeperSituations,
  ...ownerSituations,
  ...productSituations,
]
const configurations: [string, Configuration, Situation<Shop>[]][] = [
  ['two customers and one unit', lastUnit, lastUnitSituations],
  ['two customers and one unit, with a key that is used again', keyUsedAgain, keyUsedAgainSituations],
  ['two customers and one unit, with expiry', expiry, expirySituations],
  ['a key that is used again, with expiry', expiryAndKeyUsedAgain, expiryAndKeyUsedAgainSituations],
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
const soldWithoutHold = 'each confirmed, shipped or delivered order holds its unit'
const uselessHold = 'a cancelled or rejected order holds nothing'
const wrongStatusChange = 'an order changes its status only as the protocol allows'
const wrongConfirmation = 'a customer that was answered 201 has an order that was confirmed'
const wrongCancellation =
  'a customer that was told of a cancellation cancelled the order before it was confirmed'
const keyLost = 'an order that its owner cancelled keeps its key'

/** For each safeguard: the smallest configuration that needs it, and the first invariant that breaks without it. */
const brokenWithout: Record<Exclude<keyof Safeguards, 'lease'>, [Configuration, broken: string]> = {
  uniqueKey: [smallWithKeyUsedAgain, 'a key has one final answer'],
  uniqueId: [small, wrongStatusChange],
  conditionalDecrement: [small, 'stock is never below zero'],
  // Without these two safeguards the sweeper would find the hold later.
  recordedRejection: [small, uselessHold],
  tombstone: [small, uselessHold],
  compareOnRelease: [small, 'stock plus held units equal the units put in'],
  releaseIsNeverRefused: [small, stuck],
  compareOnConfirm: [small, wrongStatusChange],
  compareOnReject: [small, wrongStatusChange],
  compareOnCancel: [small, keyLost],
  compareOnUndo: [small, wrongConfirmation],
  compareOnShip: [small, wrongStatusChange],
  compareOnDelete: [smallWithExpiry, 'a customer that was told of a rejection has a rejected order'],
  releaseBeforeCancelled: [smallWithExpiry, stuck],
  loserAnswersFromOrder: [small, wrongConfirmation],
  undoGivesNoFinalAnswer: [small, wrongCancellation],
  undoFreesKey: [small, stuck],
  onlyUndoFreesKey: [small, keyLost],
  sweeperUndoesPending: [small, stuck],
  sweeperCompletesCancelling: [small, stuck],
  sweeperFindsHolds: [small, stuck],
  looksAgain: [smallWithExpiry, stuck],
  undoBeforeRelease: [small, soldWithoutHold],
  orderBeforeUndo: [small, soldWithoutHold],
  sweeperWaitsForExpiry: [smallWithExpiry, soldWithoutHold],
  deadlineOfRelease: [smallWithExpiry, soldWithoutHold],
  answersAreRecent: [smallWithExpiry, soldWithoutHold],
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
