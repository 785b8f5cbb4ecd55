import { describe, expect, it } from 'vitest'
import { check, type Situation, type Verdict } from './model-checker.ts'
import { type Configuration, type Order, protocol, type Safeguards, type Shop } from './order-model.ts'

// Together these configurations use every feature of the model. Each is explored completely.
const lastUnit: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: true,
  correctedUpTo: 2,
  deletion: true,
  expiry: 'never',
}
const keyUsedAgain: Configuration = {
  customers: { ada: 2, bob: 1 },
  shipping: false,
  correctedUpTo: 1,
  deletion: false,
  expiry: 'never',
}
const expiry: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: false,
  correctedUpTo: 1,
  deletion: false,
  expiry: 'careless',
}
const expiryAndKeyUsedAgain: Configuration = {
  customers: { ada: 2 },
  shipping: true,
  correctedUpTo: 2,
  deletion: true,
  expiry: 'careless',
}
// This configuration is large enough for most counterexamples. It is quick to explore completely, which a proof that a state
// is stuck requires.
const small: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: true,
  correctedUpTo: 0,
  deletion: true,
  expiry: 'never',
}

function explore(
  title: string,
  configuration: Configuration,
  { without = [], situations = [] }: { without?: (keyof Safeguards)[]; situations?: Situation<Shop>[] } = {},
): Verdict {
  const started = performance.now()
  const verdict = check(protocol(configuration, { without }), situations)
  const { states, transitions, depth, counterexample } = verdict
  const ms = Math.round(performance.now() - started)
  const lines = [`${title}: ${states} states, ${transitions} transitions, depth ${depth}, ${ms} ms`]
  if (counterexample) {
    lines.push(`  broken in ${counterexample.trace.length} steps: ${counterexample.broken}`)
    lines.push(...counterexample.trace.map((label, at) => `  ${at + 1}. ${label}`))
  }
  console.log(lines.join('\n'))
  return verdict
}

type OrdersOf = (shop: Shop) => { ada: Order; again: Order; bob: Order }

/** A situation in which a step of ada's first order is taken from a state that `holds` accepts. */
const at =
  (ordersOf: OrdersOf) =>
  (name: string, label: string, holds: (orders: ReturnType<OrdersOf>, shop: Shop) => boolean) => ({
    name,
    reached: (before: Shop, taken: string) => taken === `${label} ada#1` && holds(ordersOf(before), before),
  })

/** A situation in which a step leads to a state that `holds` accepts. */
const once =
  (ordersOf: OrdersOf) => (name: string, holds: (orders: ReturnType<OrdersOf>, shop: Shop) => boolean) => ({
    name,
    reached: (_: Shop, __: string, after: Shop) => holds(ordersOf(after), after),
  })

const ordersIn =
  (...names: ('ada' | 'again' | 'bob')[]): OrdersOf =>
  ({ orders }) =>
    Object.fromEntries(names.map((name, position) => [name, orders[position]])) as ReturnType<OrdersOf>

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
      'the unit is held for one while the other is refused it',
      ({ ada, bob }) =>
        ada.status === 'pending' &&
        ada.reservation === 'held' &&
        bob.status === 'pending' &&
        bob.reservation === 'rejected',
    ),
    state(
      'the unit is sold to the other after a cancellation',
      ({ ada, bob }) => ada.status === 'cancelled' && ada.confirmation && bob.status === 'confirmed',
    ),
    state('an order is delivered', ({ ada }) => ada.status === 'delivered'),
    ...stages.flatMap(([status, reservation]) =>
      [false, true].map((undo) =>
        state(
          `a crash can leave an order ${status}${undo ? ' for an undo' : ''}, its stock ${reservation}`,
          ({ ada }) =>
            ada.status === status &&
            ada.reservation === reservation &&
            (ada.undo === undo || status === 'pending'),
        ),
      ),
    ),

    when(
      'a retry takes over from a request that has its answer',
      'retry takes over',
      ({ ada }) => ada.saidHeld,
    ),
    when(
      'a request and a retry both come to confirm',
      'request comes too late to settle',
      ({ ada }) => ada.saidHeld && ada.leaseHasEnded && ada.status === 'confirmed',
    ),
    when(
      'a reserve is delivered once more when its order is delivered',
      'product repeats its answer for',
      ({ ada }) => ada.status === 'delivered',
    ),
    when(
      'a rejected reserve is delivered once more when there is stock',
      'product repeats its answer for',
      ({ ada }, { stock }) => ada.reservation === 'rejected' && stock > 0,
    ),
    when(
      'a reserve arrives for the first time after the release',
      'product repeats its answer for',
      ({ ada }) => ada.status === 'cancelled' && !ada.saidHeld && !ada.saidRejected && !ada.saidReleased,
    ),
    when('a reserve arrives while its order is being cancelled', 'product holds', ({ ada }) => {
      return ada.status === 'cancelling' && ada.releaseSent
    }),
    when('a release comes before the reserve', 'product releases', ({ ada }) => ada.reservation === 'absent'),
    when('a release meets a rejection', 'product releases', ({ ada }) => ada.reservation === 'rejected'),
    when(
      'a release arrives once more when its order is cancelled and its unit sold',
      'product releases',
      ({ ada, bob }) => ada.status === 'cancelled' && bob.status === 'confirmed',
    ),

    when(
      'a sweeper undoes an order that a retry has taken over',
      'sweeper begins to undo',
      ({ ada }) => ada.leaseRuns && ada.saidHeld,
    ),
    when(
      'a second sweeper comes to undo what the first one is undoing',
      'sweeper comes too late to undo',
      ({ ada }) => ada.status === 'cancelling' && ada.undo,
    ),
    when(
      'a sweeper comes to undo what was confirmed meanwhile',
      'sweeper comes too late to undo',
      ({ ada }) => ada.status === 'confirmed',
    ),
    when(
      'a second sweeper takes up what the first one is undoing',
      'sweeper takes up the cancelling of',
      ({ ada }) => ada.undo && ada.releaseAnswered,
    ),
    when(
      'a second sweeper comes to finish what the first one has undone',
      'canceller or sweeper finds finished',
      ({ ada }) => ada.undo,
    ),
    when(
      "a sweeper takes up its owner's cancellation",
      'sweeper takes up the cancelling of',
      ({ ada }) => !ada.undo,
    ),
    when(
      'a request comes to confirm what is being undone',
      'request comes too late to settle',
      ({ ada }) => ada.status === 'cancelling' && ada.undo && ada.saidHeld,
    ),
    when(
      'the owner comes to cancel what is being undone',
      'owner comes too late to cancel',
      ({ ada }) => ada.status === 'cancelling' && ada.undo,
    ),

    when(
      'the owner cancels while the stock is held and not yet confirmed',
      'owner begins to cancel',
      ({ ada }) => ada.status === 'pending' && ada.reservation === 'held',
    ),
    when(
      'the owner cancels what is confirmed',
      'owner begins to cancel',
      ({ ada }) => ada.status === 'confirmed',
    ),
    when(
      'the create finds its order cancelled by the owner',
      'request comes too late to settle',
      ({ ada }) => ada.status === 'cancelling' && !ada.undo && !ada.confirmation,
    ),
    when(
      'a retry finds its order cancelled by the owner',
      'retry is answered by',
      ({ ada }) => ada.status === 'cancelled' && !ada.confirmation,
    ),
    when(
      'a retry is answered 201 when the order is cancelled',
      'retry is answered by',
      ({ ada }) => ada.status === 'cancelled' && ada.confirmation,
    ),
    when(
      'a retry is answered what was rejected before',
      'retry is answered by',
      ({ ada }, { stock }) => ada.status === 'rejected' && stock > 0,
    ),
    when(
      'shipping wins over cancelling',
      'owner comes too late to cancel',
      ({ ada }) => ada.status === 'shipped',
    ),
    when(
      'cancelling wins over shipping',
      'admin comes too late to ship',
      ({ ada }) => ada.status === 'cancelling',
    ),

    state(
      'a correction takes the unit that a pending order is to reserve',
      ({ ada }, { stocked }) => stocked === 0 && ada.status === 'pending' && ada.reservation === 'absent',
    ),
    state('a correction adds a unit for both', ({ ada, bob }) => {
      return ada.status === 'confirmed' && bob.status === 'confirmed'
    }),
    when('a deleted product is unknown', 'product rejects as unknown', (_, { stock }) => stock > 0),
    when(
      'a deleted product gets back what was held',
      'product releases',
      ({ ada }, { deleted }) => deleted && ada.reservation === 'held',
    ),
    when('what is held of a deleted product is confirmed', 'request confirms', (_, { deleted }) => deleted),
  ]
}

function keyUsedAgainSituations(): Situation<Shop>[] {
  const when = at(ordersIn('ada', 'again', 'bob'))
  const state = once(ordersIn('ada', 'again', 'bob'))
  return [
    state(
      'a retry after an undo becomes a new order, which is confirmed',
      ({ ada, again }) => ada.undo && again.status === 'confirmed',
    ),
    state(
      'the new order is rejected because the other customer has bought',
      ({ ada, again, bob }) => ada.undo && again.status === 'rejected' && bob.status === 'confirmed',
    ),
    state(
      'the new order is cancelled by its owner',
      ({ ada, again }) => ada.undo && again.status === 'cancelled' && !again.undo,
    ),
    state('both orders of a key are undone', ({ ada, again }) => {
      return ada.status === 'cancelled' && again.undo && again.status === 'cancelled'
    }),
    when(
      'the reserve of the undone order arrives first when the new one is at work',
      'product repeats its answer for',
      ({ ada, again }) =>
        !ada.saidHeld && !ada.saidRejected && !ada.saidReleased && again.status === 'pending',
    ),
    when(
      'the request of the undone order comes to confirm when the new one is confirmed',
      'request comes too late to settle',
      ({ ada, again }) => ada.saidHeld && again.status === 'confirmed',
    ),
    when(
      'a second sweeper releases the undone order when the new one holds the unit',
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
      'time expires the reservation of',
      ({ ada }) => ada.status === 'cancelled' && !ada.confirmation && !ada.saidHeld,
    ),
    when(
      'a rejection expires that its order has not heard of',
      'time expires the reservation of',
      ({ ada }) => ada.status === 'pending',
    ),
    when('a rejected order expires', 'time expires the rejected', () => true),
    when(
      'a release arrives when the reservation is gone and the unit is sold',
      'product releases',
      ({ ada, bob }) =>
        ada.status === 'cancelled' && ada.reservation === 'absent' && bob.status === 'confirmed',
    ),
    when(
      'an old order is undone',
      'sweeper begins to undo',
      ({ ada }) => ada.old && ada.reservation === 'held',
    ),
    when(
      'a request confirms with an answer a week old',
      'request confirms',
      ({ ada }) => ada.old && ada.reservation === 'held',
    ),
  ]
}

function expiryAndKeyUsedAgainSituations(): Situation<Shop>[] {
  const state = once(ordersIn('ada', 'again'))
  return [
    state(
      'a retry after its rejection has expired becomes a new order, which is confirmed',
      ({ ada, again }) => ada.status === 'expired' && again.status === 'confirmed',
    ),
    state(
      'so does one after an undo whose reservation has expired',
      ({ ada, again }) => ada.undo && ada.reservation === 'absent' && again.status === 'delivered',
    ),
  ]
}

const configurations: [string, Configuration, Situation<Shop>[]][] = [
  ['two customers and one unit', lastUnit, lastUnitSituations()],
  ['two customers and one unit, a key used again', keyUsedAgain, keyUsedAgainSituations()],
  ['two customers and one unit, with what is old expiring', expiry, expirySituations()],
  ['a key used again, with what is old expiring', expiryAndKeyUsedAgain, expiryAndKeyUsedAgainSituations()],
]

describe('the order protocol', () => {
  it.each(configurations)('holds for %s', (title, configuration, situations) => {
    const verdict = explore(title, configuration, { situations })
    expect(verdict.counterexample).toBeUndefined()
    // Every situation and every step must occur. Otherwise the invariants might hold only because the model does too little.
    expect(verdict.missed).toEqual([])
    expect([...verdict.taken].filter(([, times]) => times === 0)).toEqual([])
  })

  // Leases only save work, so the invariants also hold for processes that ignore them.
  it.each(configurations)('holds without leases for %s', (title, configuration) => {
    const verdict = explore(`without leases, ${title}`, configuration, { without: ['lease'] })
    expect(verdict.counterexample).toBeUndefined()
  })
})

const stuck = 'the sweeper settles the state that a crash leaves'
const wronglyHeld = 'each hold belongs to an order that may still need it'
const notItsLife = 'an order only takes the steps of its life'

/** For each safeguard: the smallest configuration that needs it, and the first invariant that breaks without it. */
const lacks: Record<Exclude<keyof Safeguards, 'lease'>, [Configuration, broken: string]> = {
  orderBeforeReservation: [small, wronglyHeld],
  uniqueKey: [keyUsedAgain, 'a key has one final answer'],
  conditionalDecrement: [small, 'stock is never below zero'],
  recordedRejection: [small, wronglyHeld],
  tombstone: [small, wronglyHeld],
  compareOnRelease: [small, 'stock plus held units equal the units put in'],
  releaseAlwaysLands: [small, stuck],
  compareOnConfirm: [small, notItsLife],
  compareOnReject: [small, notItsLife],
  compareOnCancel: [small, notItsLife],
  compareOnUndo: [small, 'a customer that was answered 201 has an order that was confirmed'],
  compareOnShip: [small, notItsLife],
  releaseBeforeCancelled: [small, wronglyHeld],
  loserAnswersFromOrder: [small, 'a customer that was answered 201 has an order that was confirmed'],
  undoIsNoAnswer: [
    small,
    'a customer that was told of a cancellation cancelled the order before it was confirmed',
  ],
  undoFreesKey: [small, stuck],
  onlyUndoFreesKey: [small, 'an order that its owner cancelled keeps its key'],
  sweepsPending: [small, stuck],
  sweepsCancelling: [small, stuck],
  // These two safeguards are needed even if everything else expires carefully.
  deadlineInTransaction: [{ ...expiry, expiry: 'careful' }, wronglyHeld],
  takesOverYoungOnly: [{ ...expiry, expiry: 'careful' }, wronglyHeld],
}

describe('each safeguard of the order protocol', () => {
  it.each(Object.entries(lacks))('%s is needed', (safeguard, [configuration, broken]) => {
    const verdict = explore(`without ${safeguard}`, configuration, {
      without: [safeguard as keyof Safeguards],
    })
    expect(verdict.counterexample?.broken).toBe(broken)
  })
})
