import { describe, expect, it } from 'vitest'
import type { Configuration, Safeguards } from './configuration.ts'
import { at, explore, once, ordersIn } from './explore.ts'
import type { Situation } from './model-checker.ts'
import type { Shop } from './order-state.ts'

// The protocol in which a request reserves first, and then inserts its order in its final status. The decision in
// docs/decisions/0021-reserve-first.md describes it.

const lastUnit: Configuration = {
  customers: { ada: 1, bob: 1 },
  shipping: true,
  maxCorrectedStock: 1,
  deletion: true,
  expiry: 'never',
  reservesFirst: true,
}
const keyUsedAgain: Configuration = { ...lastUnit, customers: { ada: 2 } }
const expiry: Configuration = { ...keyUsedAgain, expiry: 'careful' }
const twoCustomers: Configuration = { ...lastUnit, maxCorrectedStock: 0, deletion: false }
const small: Configuration = { ...twoCustomers, customers: { ada: 1 } }

const when = at(ordersIn('ada', 'again'))
const state = once(ordersIn('ada', 'again'))

const lastUnitSituations: Situation<Shop>[] = [
  state(
    'a crash can leave a hold without an order',
    ({ ada }) => ada.status === 'unplaced' && ada.reservation === 'held',
  ),
  when(
    'a retry reserves while the first request is about to insert the order',
    'request sends its reserve before the insert of',
    ({ ada }) => ada.answeredHeld,
  ),
  when(
    'a second request finds the order that the first one has inserted',
    'request loses its compare-and-set on',
    ({ ada }) => ada.answeredHeld && ada.status === 'confirmed',
  ),
  when(
    'a request that holds stock finds its order undone',
    'request loses its compare-and-set on',
    ({ ada }) => ada.answeredHeld && ada.isUndone,
  ),
  when(
    'a request inserts its order as pending while a retry has an answer',
    'request without an answer inserts as pending',
    ({ ada }) => ada.answeredHeld,
  ),
  when('a request confirms an order that was pending', 'request confirms', ({ ada }) => ada.leaseHasEnded),
  when(
    'a reserve arrives after the sweeper has undone its order',
    'product repeats its answer for',
    ({ ada }) => ada.isUndone && ada.status === 'cancelled',
  ),
]
const keyUsedAgainSituations: Situation<Shop>[] = [
  state(
    'a retry after an undo places a new order, which is confirmed',
    ({ ada, again }) => ada.isUndone && again.status === 'confirmed',
  ),
  when(
    'the request of the undone order finds it after the new order was confirmed',
    'request loses its compare-and-set on',
    ({ ada, again }) => ada.answeredHeld && again.status === 'confirmed',
  ),
]
const expirySituations: Situation<Shop>[] = [
  when(
    'a retry reserves under the id of a rejected order that has expired',
    'product holds stock for',
    ({ ada }) => ada.status === 'expired',
  ),
  when(
    'the sweeper finds a hold that is a week old',
    'sweeper finds the unneeded hold of',
    ({ ada }) => ada.isOld,
  ),
]

const configurations: [string, Configuration, Situation<Shop>[]][] = [
  ['two customers and one unit', lastUnit, lastUnitSituations],
  ['a key that is used again', keyUsedAgain, keyUsedAgainSituations],
  ['a key that is used again, with expiry', expiry, expirySituations],
]

describe('the order protocol that reserves first', () => {
  it.each(configurations)(
    'the order protocol that reserves first keeps its invariants for %s',
    (title, configuration, situations) => {
      const verdict = explore(`reserving first, ${title}`, configuration, { situations })
      expect(verdict.counterexample).toBeUndefined()
      expect(verdict.missed).toEqual([])
      expect([...verdict.taken].filter(([, times]) => times === 0)).toEqual([])
    },
  )

  // A lease only avoids duplicate work, and requests with one key use one id.
  it.each<[keyof Safeguards]>([['lease'], ['uniqueKey']])(
    'the order protocol that reserves first keeps its invariants without %s',
    (safeguard) => {
      const verdict = explore(`reserving first, without ${safeguard}`, expiry, { without: [safeguard] })
      expect(verdict.counterexample).toBeUndefined()
    },
  )

  const stuck = 'the sweeper settles the state that a crash leaves'
  const soldWithoutHold = 'each confirmed, shipped or delivered order holds its unit'
  it.each<[(keyof Safeguards)[], Configuration, broken: string]>([
    [['sameIdForKey', 'uniqueKey'], keyUsedAgain, 'a key has one final answer'],
    [['uniqueId'], small, 'an order changes its status only as the protocol allows'],
    [['sweeperFindsHolds'], small, stuck],
    [['orderBeforeUndo'], small, soldWithoutHold],
    [['deadlineOfRelease'], expiry, soldWithoutHold],
    [['sweeperWaitsForExpiry'], expiry, soldWithoutHold],
    // A request acts on an answer that is a week old.
    [[], { ...expiry, expiry: 'careless' }, soldWithoutHold],
  ])(
    'the order protocol that reserves first breaks an invariant without %j',
    (without, configuration, broken) => {
      const verdict = explore(`reserving first, without ${without}`, configuration, { without })
      expect(verdict.counterexample?.broken).toBe(broken)
    },
  )
})
