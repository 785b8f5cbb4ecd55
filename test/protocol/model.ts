// The order protocol as a finite model: orders, reservations, a product with one unit of stock, and all that processes
// and the network may do to them. What it stands for is written in src/modules/order/place-order.ts and
// src/modules/product/stock/reservations.ts. What is left out, and why nothing is lost by it:
//
// - One transition is what one document's update or one transaction does at once. Between any two of them any process
//   may stop for ever: nobody is ever obliged to take the next step. So a crash needs no transition of its own, except
//   to ask what becomes of the rest (`recovery`: every message and every memory is gone).
// - There are no processes, only what any of them could have in hand. A message that was sent stays deliverable: it may
//   arrive never, late, or any number of times; so may an answer, each time to another process that asked. What was
//   read stays read: whoever acts on an order acts on any status that it ever had, so `confirmation` also says that
//   somebody may believe the order confirmed, and `leaseHasEnded` that some sweeper is about to undo it. This stands
//   for any number of requests, retries, owners, admins and sweepers at once, each at any step.
// - A status stands for the version too: an order enters each of them once at most (`the steps of its life`).
// - A final answer counts as given with the first step that allows it. To give it later, or to lose it, promises less.
// - Clocks are trusted for nothing that takes seconds: a request may go on after its deadline, and a lease may end at
//   any moment. They are trusted for a week: a `week` makes an order old; until then its requests' deadlines and the
//   transactions begun before them are over, and its reservation may expire from then on. That is one step because no
//   reserve is sent between the age up to which orders are taken over (a day or less) and the retention (a week), and
//   it is each order's own, since orders are placed at different times.
// - Every order asks for one unit of the one product. Prices, several lines and other bodies under the same key decide
//   nothing here: lines are taken all or none in one transaction. An order without a key is one that nobody retries.

import type { Invariant, Model, StepInvariant, Transition } from './checker.ts'

/** What the protocol rests on. To leave one out must break something. */
export interface Safeguards {
  /** An order is inserted before anything is reserved for it. */
  orderBeforeReservation: boolean
  /** At most one order per user and key. */
  uniqueKey: boolean
  /** Stock is taken only if it is there. */
  conditionalDecrement: boolean
  /** A rejection is stored, and repeated as it was. */
  recordedRejection: boolean
  /** A release that comes before the reserve leaves a mark that refuses it. */
  tombstone: boolean
  /** Only what is held is given back, and then is not held. */
  compareOnRelease: boolean
  /** A release is never refused, whatever became of the product. */
  releaseAlwaysLands: boolean
  /** pending → confirmed */
  compareOnConfirm: boolean
  /** pending → rejected */
  compareOnReject: boolean
  /** pending | confirmed → cancelling, as read */
  compareOnCancel: boolean
  /** pending → cancelling, by the sweeper */
  compareOnUndo: boolean
  /** confirmed → shipped */
  compareOnShip: boolean
  /** An order is cancelled only when its release was answered. */
  releaseBeforeCancelled: boolean
  /** A request that loses its compare-and-set answers what the order says, not what the product module said. */
  loserAsksTheOrder: boolean
  /** An order that was undone, or is being undone, is no answer: come back. */
  undoIsNoAnswer: boolean
  /** An undo unsets the key. */
  undoFreesKey: boolean
  /** Nothing but an undo unsets it. */
  onlyUndoFreesKey: boolean
  /** Pending orders are undone. */
  sweepsPending: boolean
  /** Cancellations are finished. */
  sweepsCancelling: boolean
  /** No reserve takes effect after its deadline, plus the time that a transaction may take. */
  deadlineInTransaction: boolean
  /**
   * An order long pending is undone, and not taken over any more: its reservation might expire between the answer that
   * the retry gets and a second delivery of its reserve.
   */
  takesOverYoungOnly: boolean
  /** No retry takes over, and no sweeper undoes, an order whose request is still at work. It only saves work. */
  lease: boolean
}

const allSafeguards: Safeguards = {
  orderBeforeReservation: true,
  uniqueKey: true,
  conditionalDecrement: true,
  recordedRejection: true,
  tombstone: true,
  compareOnRelease: true,
  releaseAlwaysLands: true,
  compareOnConfirm: true,
  compareOnReject: true,
  compareOnCancel: true,
  compareOnUndo: true,
  compareOnShip: true,
  releaseBeforeCancelled: true,
  loserAsksTheOrder: true,
  undoIsNoAnswer: true,
  undoFreesKey: true,
  onlyUndoFreesKey: true,
  sweepsPending: true,
  sweepsCancelling: true,
  deadlineInTransaction: true,
  takesOverYoungOnly: true,
  lease: true,
}

export interface Configuration {
  /** Who buys under one key each, and how many orders that key may come to. */
  customers: Record<string, number>
  /** Admins ship and deliver. */
  shipping: boolean
  /** An admin corrects the stock, up to so much in all; 0: never. */
  correctedUpTo: number
  /** An admin deletes the product. */
  deletion: boolean
  /**
   * Old reservations and rejected orders expire. `careful`: a reservation a week after its last change, and no request
   * acts on an answer that it got a week ago. `careless`: a week after it was made, and a request may.
   */
  expiry: 'never' | 'careful' | 'careless'
}

type Status =
  | 'unplaced'
  | 'pending'
  | 'confirmed'
  | 'shipped'
  | 'delivered'
  | 'cancelling'
  | 'cancelled'
  | 'rejected'
  | 'expired'
type Reservation = 'absent' | 'held' | 'rejected' | 'released'

export interface Order {
  readonly status: Status
  readonly keyed: boolean
  /** Being cancelled, or cancelled, by a sweeper because nobody finished it. */
  readonly undo: boolean
  /** It was confirmed once. */
  readonly confirmation: boolean
  readonly leaseRuns: boolean
  readonly leaseHasEnded: boolean
  /** Placed more than a week ago. */
  readonly old: boolean
  readonly reservation: Reservation
  /** The reservation may expire. */
  readonly reservationOld: boolean
  // Messages: sent to the product module, and said by it.
  readonly reserveSent: boolean
  readonly saidHeld: boolean
  readonly saidRejected: boolean
  readonly saidReleased: boolean
  readonly releaseSent: boolean
  readonly releaseAnswered: boolean
  // Final answers to the customer: 201, 409 insufficient_stock or 422, 409 invalid_transition from cancelled.
  readonly toldConfirmed: boolean
  readonly toldRejected: boolean
  readonly toldCancelled: boolean
}

export interface Shop {
  readonly stock: number
  readonly stocked: number
  readonly deleted: boolean
  readonly orders: readonly Order[]
}

const unplaced: Order = {
  status: 'unplaced',
  keyed: false,
  undo: false,
  confirmation: false,
  leaseRuns: false,
  leaseHasEnded: false,
  old: false,
  reservation: 'absent',
  reservationOld: false,
  reserveSent: false,
  saidHeld: false,
  saidRejected: false,
  saidReleased: false,
  releaseSent: false,
  releaseAnswered: false,
  toldConfirmed: false,
  toldRejected: false,
  toldCancelled: false,
}

const lost: Partial<Order> = {
  reserveSent: false,
  saidHeld: false,
  saidRejected: false,
  saidReleased: false,
  releaseSent: false,
  releaseAnswered: false,
}

const exists = ({ status }: Order) => status !== 'unplaced' && status !== 'expired'
const atWork = ({ saidHeld, saidRejected, saidReleased }: Order) => saidHeld || saidRejected || saidReleased

/** The state with one order changed, and the product along with it; the same object if nothing differs. */
function changed(shop: Shop, at: number, change: Partial<Order>, product: Partial<Shop> = {}): Shop {
  const order = orderAt(shop, at)
  const differs = (Object.keys(change) as (keyof Order)[]).some((field) => change[field] !== order[field])
  if (!differs && Object.keys(product).length === 0) return shop
  return { ...shop, ...product, orders: shop.orders.with(at, { ...order, ...change }) }
}

const orderAt = ({ orders }: Shop, at: number): Order => orders[at] ?? unplaced

/** The model of a configuration with all safeguards, but for those that are named. */
export function protocol(
  configuration: Configuration,
  { without = [] }: { without?: readonly (keyof Safeguards)[] } = {},
): Model<Shop> {
  const safeguards = { ...allSafeguards }
  for (const safeguard of without) safeguards[safeguard] = false

  const slots = Object.entries(configuration.customers).flatMap(([customer, count]) =>
    Array.from({ length: count }, (_, nth) => ({ customer, name: `${customer}#${nth + 1}` })),
  )
  const keys = Object.keys(configuration.customers).map((customer) => ({
    customer,
    ordersOf: ({ orders }: Shop) => orders.filter((_, at) => slots[at]?.customer === customer),
  }))
  const perOrder = slots.map(({ customer, name }, at) => {
    const siblings = slots.flatMap((slot, other) => (slot.customer === customer ? [other] : []))
    return stepsOfOrder({ at, name, siblings }, configuration, safeguards)
  })
  return {
    initial: { stock: 1, stocked: 1, deleted: false, orders: slots.map(() => unplaced) },
    transitions: [...perOrder.flatMap(({ steps }) => steps), ...stepsOfAdmin(configuration)],
    keyOf,
    invariants: [...invariants, ...keys.flatMap(({ ordersOf }) => invariantsOfKey(ordersOf))],
    stepInvariants,
    recovery: {
      name: 'what a crash leaves is settled by the sweeper',
      crash: { label: 'everything crashes, every message is lost', next: crashed },
      transitions: perOrder.flatMap(({ recovery }) => recovery),
      settled: (shop) => shop.orders.every(settled),
    },
  }
}

interface Slot {
  at: number
  name: string
  /** All the orders that the same key may come to, in this order. */
  siblings: readonly number[]
}

function stepsOfOrder(
  { at, name, siblings }: Slot,
  { shipping, deletion, expiry }: Configuration,
  safeguards: Safeguards,
): { steps: Transition<Shop>[]; recovery: Transition<Shop>[] } {
  /** Returns what changes: nothing where the step is taken in vain, undefined where it cannot be taken. */
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
  /** A transaction of the product module: moves stock and reservation together. */
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

  const free = (shop: Shop) => siblings.every((other) => !orderAt(shop, other).keyed)
  const inserted: Partial<Order> = {
    status: 'pending',
    keyed: true,
    leaseRuns: safeguards.lease,
    leaseHasEnded: !safeguards.lease,
    reserveSent: true,
  }

  const placing = [
    step('request inserts', (order, shop) => {
      if (order.status !== 'unplaced' || (safeguards.uniqueKey && !free(shop))) return undefined
      if (siblings.find((other) => orderAt(shop, other).status === 'unplaced') !== at) return undefined
      return safeguards.orderBeforeReservation || order.reserveSent ? inserted : undefined
    }),
    ...(safeguards.orderBeforeReservation
      ? []
      : [
          step('request reserves, before it is inserted, for', (order) =>
            order.status === 'unplaced' ? { reserveSent: true } : undefined,
          ),
        ]),
    step('retry takes over', (order) => {
      if (order.status !== 'pending' || !order.keyed || order.leaseRuns) return undefined
      if (order.old && safeguards.takesOverYoungOnly) return undefined
      return { leaseRuns: safeguards.lease, reserveSent: true }
    }),
    step('request confirms', (order) => {
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnConfirm)
      if (!order.saidHeld || !wins) return undefined
      return { status: 'confirmed', confirmation: true, leaseRuns: false, toldConfirmed: true }
    }),
    step('request rejects', (order) => {
      const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnReject)
      if (!order.saidRejected || !wins) return undefined
      return { status: 'rejected', leaseRuns: false, toldRejected: true }
    }),
    step('request comes too late to settle', (order) => {
      if (!atWork(order) || order.status === 'pending') return undefined
      if (safeguards.loserAsksTheOrder || order.saidReleased) return answerOf(order)
      return order.saidHeld ? { toldConfirmed: true } : { toldRejected: true }
    }),
    step('retry is answered by', (order) => {
      if (!order.keyed || order.status === 'pending') return undefined
      return order.status === 'cancelling' && !order.confirmation ? {} : answerOf(order)
    }),
  ]

  function answerOf(order: Order): Partial<Order> {
    if (order.confirmation) return { toldConfirmed: true }
    if (order.status === 'rejected') return { toldRejected: true }
    const cancelled = order.status === 'cancelling' || order.status === 'cancelled'
    return cancelled && !(order.undo && safeguards.undoIsNoAnswer) ? { toldCancelled: true } : {}
  }

  const rejected: Partial<Order> = {
    reservation: safeguards.recordedRejection ? 'rejected' : 'absent',
    saidRejected: true,
  }
  const reserving = [
    transaction('product holds', (order, { stock, deleted }) => {
      if (!order.reserveSent || order.reservation !== 'absent' || deleted) return undefined
      if (stock < 1 && safeguards.conditionalDecrement) return undefined
      return { order: { reservation: 'held', saidHeld: true }, stock: -1 }
    }),
    step('product rejects as sold out', (order, { stock, deleted }) => {
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
      if (order.reservation === 'held') return { saidHeld: true }
      if (order.reservation === 'rejected') return { saidRejected: true }
      return order.reservation === 'released' ? { saidReleased: true } : undefined
    }),
  ]

  const releasing = [
    transaction('product releases', (order, { deleted }) => {
      const { reservation } = order
      const refused = deleted && reservation === 'held' && !safeguards.releaseAlwaysLands
      if (!order.releaseSent || refused) return undefined
      const knownAsHeld = order.saidHeld && reservation === 'released' && !safeguards.compareOnRelease
      const after: Partial<Order> = {
        reservation: reservation === 'absent' && !safeguards.tombstone ? 'absent' : 'released',
        reservationOld: order.reservationOld && (reservation === 'released' || expiry === 'careless'),
        releaseAnswered: true,
      }
      return { order: after, stock: reservation === 'held' || knownAsHeld ? 1 : 0 }
    }),
    step('canceller or sweeper finishes', (order) => {
      const answered = order.releaseAnswered || (order.releaseSent && !safeguards.releaseBeforeCancelled)
      if (!answered || order.status !== 'cancelling') return undefined
      const frees = order.undo ? safeguards.undoFreesKey : !safeguards.onlyUndoFreesKey
      return { status: 'cancelled', keyed: order.keyed && !frees }
    }),
    step('canceller or sweeper finds finished', (order) =>
      order.releaseAnswered && order.status === 'cancelled' ? {} : undefined,
    ),
  ]

  const begin = (undo: boolean): Partial<Order> => ({
    status: 'cancelling',
    undo,
    leaseRuns: false,
    releaseSent: true,
  })
  const cancelling = [
    step('owner begins to cancel', (order) => {
      const wins = order.status === 'pending' || order.status === 'confirmed'
      return wins || (exists(order) && !safeguards.compareOnCancel) ? begin(false) : undefined
    }),
    step('owner comes too late to cancel', (order) =>
      exists(order) && order.status !== 'pending' && order.status !== 'confirmed' ? {} : undefined,
    ),
    ...(shipping
      ? [
          step('admin ships', (order) => {
            const wins = order.status === 'confirmed' || !safeguards.compareOnShip
            return order.confirmation && wins ? { status: 'shipped' } : undefined
          }),
          step('admin comes too late to ship', (order) =>
            order.confirmation && order.status !== 'confirmed' ? {} : undefined,
          ),
          step('admin delivers', (order) =>
            order.status === 'shipped' ? { status: 'delivered' } : undefined,
          ),
        ]
      : []),
  ]

  const leaseEnds = step('time ends the lease of', (order) =>
    order.leaseRuns ? { leaseRuns: false, leaseHasEnded: true } : undefined,
  )
  // The lease is not compared: it may have been renewed since the sweeper read it.
  const undo = step('sweeper begins to undo', (order) => {
    if (!safeguards.sweepsPending || !order.leaseHasEnded) return undefined
    const wins = order.status === 'pending' || (exists(order) && !safeguards.compareOnUndo)
    return wins ? begin(true) : undefined
  })
  const undoesTooLate = step('sweeper comes too late to undo', (order) =>
    order.leaseHasEnded && exists(order) && order.status !== 'pending' ? {} : undefined,
  )
  const resume = step('sweeper takes up the cancelling of', (order) =>
    order.status === 'cancelling' && safeguards.sweepsCancelling ? { releaseSent: true } : undefined,
  )

  const ageing = [
    step('a week passes for', (order) => {
      if (!exists(order) && order.reservation === 'absent') return undefined
      return {
        old: true,
        leaseRuns: false,
        leaseHasEnded: order.leaseHasEnded || order.leaseRuns,
        reservationOld: order.reservation !== 'absent',
        ...(safeguards.deadlineInTransaction && { reserveSent: false }),
        ...(expiry === 'careful' && { saidHeld: false, saidRejected: false, saidReleased: false }),
      }
    }),
    step('time expires the reservation of', (order) =>
      order.reservationOld && (order.reservation === 'released' || order.reservation === 'rejected')
        ? { reservation: 'absent', reservationOld: false }
        : undefined,
    ),
    step('time expires the rejected', (order) =>
      order.status === 'rejected' && order.old
        ? { status: 'expired', keyed: false, toldRejected: false }
        : undefined,
    ),
  ]

  return {
    steps: [
      ...placing,
      ...reserving,
      ...releasing,
      ...cancelling,
      leaseEnds,
      undo,
      undoesTooLate,
      resume,
      ...(expiry === 'never' ? [] : ageing),
    ],
    recovery: [leaseEnds, undo, resume, ...releasing],
  }
}

function stepsOfAdmin({ correctedUpTo, deletion }: Configuration): Transition<Shop>[] {
  const move = (label: string, change: 1 | -1): Transition<Shop> => ({
    label,
    next(shop) {
      const stock = shop.stock + change
      const stocked = shop.stocked + change
      if (shop.deleted || stock < 0 || stocked > correctedUpTo) return undefined
      return { ...shop, stock, stocked }
    },
  })
  const corrections = [move('admin puts one in', 1), move('admin takes one out', -1)]
  const deletes: Transition<Shop> = {
    label: 'admin deletes the product',
    next: (shop) => (shop.deleted ? undefined : { ...shop, deleted: true }),
  }
  return [...(correctedUpTo > 0 ? corrections : []), ...(deletion ? [deletes] : [])]
}

/** Every process is gone with all that it knew, and every message with it: what is stored is left. */
const crashed = (shop: Shop): Shop => ({
  ...shop,
  orders: shop.orders.map((order) => ({
    ...order,
    ...lost,
    leaseHasEnded: exists(order) && !order.leaseRuns,
    toldConfirmed: false,
    toldRejected: false,
    toldCancelled: false,
  })),
})

/** Nothing is left to do for it, and its key is free or has a final answer. */
function settled({ status, keyed, undo, reservation }: Order): boolean {
  if (status === 'pending' || status === 'cancelling') return false
  const sold = status === 'confirmed' || status === 'shipped' || status === 'delivered'
  return sold === (reservation === 'held') && !(keyed && undo)
}

const everyOrder = (name: string, holds: (order: Order) => boolean): Invariant<Shop> => ({
  name,
  holds: ({ orders }) => orders.every(holds),
})

const invariants: Invariant<Shop>[] = [
  { name: 'stock is never below zero', holds: ({ stock }) => stock >= 0 },
  {
    name: 'stock and all that is held are all that was put in',
    holds: ({ stock, stocked, orders }) =>
      stock + orders.filter(({ reservation }) => reservation === 'held').length === stocked,
  },
  everyOrder(
    'what is confirmed, shipped or delivered is held',
    ({ status, reservation }) =>
      !(status === 'confirmed' || status === 'shipped' || status === 'delivered') || reservation === 'held',
  ),
  everyOrder(
    'what is held belongs to an order that may still need it',
    ({ status, reservation }) =>
      reservation !== 'held' ||
      (status !== 'unplaced' && status !== 'cancelled' && status !== 'rejected' && status !== 'expired'),
  ),
  everyOrder(
    'who was told 201 has an order that was confirmed',
    (order) =>
      !order.toldConfirmed ||
      (order.confirmation && !order.undo && order.status !== 'pending' && order.status !== 'rejected'),
  ),
  everyOrder(
    'who was told of a rejection has an order that is rejected',
    ({ toldRejected, status }) => !toldRejected || status === 'rejected',
  ),
  everyOrder(
    'who was told of a cancellation has cancelled before it was confirmed',
    ({ toldCancelled, status, undo, confirmation }) =>
      !toldCancelled || ((status === 'cancelling' || status === 'cancelled') && !undo && !confirmation),
  ),
  everyOrder(
    'an order that its owner cancelled keeps its key',
    ({ status, undo, keyed }) => !((status === 'cancelling' || status === 'cancelled') && !undo) || keyed,
  ),
]

const invariantsOfKey = (ordersOf: (shop: Shop) => Order[]): Invariant<Shop>[] => [
  {
    name: 'a key confirms one order at most, ever',
    holds: (shop) => ordersOf(shop).filter(({ confirmation }) => confirmation).length <= 1,
  },
  {
    name: 'a key has one final answer',
    holds: (shop) =>
      ordersOf(shop)
        .flatMap(({ toldConfirmed, toldRejected, toldCancelled }) => [
          toldConfirmed,
          toldRejected,
          toldCancelled,
        ])
        .filter((told) => told).length <= 1,
  },
]

const life: Record<Status, readonly Status[]> = {
  unplaced: ['pending'],
  pending: ['confirmed', 'rejected', 'cancelling'],
  confirmed: ['shipped', 'cancelling'],
  shipped: ['delivered'],
  delivered: [],
  cancelling: ['cancelled'],
  cancelled: [],
  rejected: ['expired'],
  expired: [],
}

const stepInvariants: StepInvariant<Shop>[] = [
  {
    name: 'an order takes the steps of its life alone',
    holds: (before, after) =>
      after.orders.every((order, at) => {
        const { status } = orderAt(before, at)
        return order.status === status || life[status].includes(order.status)
      }),
  },
]

const statuses = Object.keys(life)
const reservations: Reservation[] = ['absent', 'held', 'rejected', 'released']

/** Two characters for each order, and one for the product. */
function keyOf({ stock, stocked, deleted, orders }: Shop): string {
  let key = String.fromCharCode(stock + 1 + 8 * (stocked + 1) + 64 * Number(deleted))
  for (const order of orders) {
    const stored =
      statuses.indexOf(order.status) +
      16 * reservations.indexOf(order.reservation) +
      64 * Number(order.reservationOld) +
      128 * Number(order.keyed) +
      256 * Number(order.undo) +
      512 * Number(order.confirmation) +
      1024 * Number(order.leaseRuns) +
      2048 * Number(order.leaseHasEnded) +
      4096 * Number(order.old)
    const said =
      Number(order.reserveSent) +
      2 * Number(order.saidHeld) +
      4 * Number(order.saidRejected) +
      8 * Number(order.saidReleased) +
      16 * Number(order.releaseSent) +
      32 * Number(order.releaseAnswered) +
      64 * Number(order.toldConfirmed) +
      128 * Number(order.toldRejected) +
      256 * Number(order.toldCancelled)
    key += String.fromCharCode(stored, said)
  }
  return key
}
