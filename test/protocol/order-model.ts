// A finite model of the order protocol: orders, reservations, a product with one unit of stock, and everything that processes
// and the network can do to them. The protocol is explained in src/modules/order/place-order.ts and
// src/modules/product/stock/reservations.ts. The model abstracts from the program as follows:
//
// - Atomicity. One transition is one update of one document, or one transaction. A process may stop for ever between any two
//   transitions, because no transition is ever forced. A crash therefore needs no transition of its own. `recovery` alone
//   crashes everything, to ask whether the stored state can still be settled.
// - No processes. The model stores what any process could know, instead of the processes. A message stays deliverable after
//   it is sent: it may arrive never, late, or many times. An answer may likewise reach any number of processes. Knowledge is
//   never forgotten: a process may act on any status that the order ever had. So `confirmation` also means that some process
//   may believe that the order is confirmed, and `leaseHasEnded` that some sweeper may be about to undo the order. This
//   covers any number of concurrent requests, retries, owners, admins and sweepers, each at any step.
// - Versions. An order enters each status at most once (invariant: `an order only takes the steps of its life`), so the
//   status also stands for the version.
// - Answers. A final answer counts as given as soon as a step allows it. A program that gives the answer later, or loses it,
//   promises less.
// - Time. The protocol trusts no clock to the second: a request may act after its deadline, and a lease may end at any moment.
//   It trusts clocks to the week. The transition `a week passes` makes one order old. By then the deadlines of its requests
//   and the transactions that began before them are over, and its reservation may expire. One transition is enough, because
//   an order is taken over for a day at most, and a reservation is kept for longer. Each order ages by itself, because orders
//   are placed at different times.
// - Data. Each order asks for one unit of the one product. Prices, several lines, and other bodies under the same key do not
//   influence the protocol: one transaction takes all lines or none. An order without a key is an order without retries.

import type { Invariant, Model, StepInvariant, Transition } from './model-checker.ts'

/** The safeguards of the protocol. The tests prove that the protocol breaks without each of them, except `lease`. */
export interface Safeguards {
  /** An order is inserted before anything is reserved for it. */
  orderBeforeReservation: boolean
  /** At most one order per user and key. */
  uniqueKey: boolean
  /** A hold takes stock only if there is enough. */
  conditionalDecrement: boolean
  /** A rejection is stored, and a repeated reserve gets the same rejection. */
  recordedRejection: boolean
  /** A release that arrives before its reserve stores a tombstone (`released`), which refuses the reserve. */
  tombstone: boolean
  /** A release returns stock only if the reservation is `held`, and ends the hold in the same transaction. */
  compareOnRelease: boolean
  /** A release is never refused, even if the product has been deleted. */
  releaseAlwaysLands: boolean
  /** The change pending → confirmed is a compare-and-set. */
  compareOnConfirm: boolean
  /** The change pending → rejected is a compare-and-set. */
  compareOnReject: boolean
  /** The change pending | confirmed → cancelling by a client is a compare-and-set. */
  compareOnCancel: boolean
  /** The change pending → cancelling by the sweeper is a compare-and-set. */
  compareOnUndo: boolean
  /** The change confirmed → shipped is a compare-and-set. */
  compareOnShip: boolean
  /** An order becomes `cancelled` only after its release was answered. */
  releaseBeforeCancelled: boolean
  /** A request that loses its compare-and-set answers from the order, not from the product module's answer. */
  loserAnswersFromOrder: boolean
  /** An undone order, or one that is being undone, gives no final answer: the client is told to come back. */
  undoIsNoAnswer: boolean
  /** An undo unsets the idempotency key. */
  undoFreesKey: boolean
  /** Only an undo unsets the idempotency key. */
  onlyUndoFreesKey: boolean
  /** The sweeper undoes abandoned `pending` orders. */
  sweepsPending: boolean
  /** The sweeper finishes abandoned cancellations. */
  sweepsCancelling: boolean
  /** No reserve takes effect after its deadline plus the lifetime of a transaction. */
  deadlineInTransaction: boolean
  /**
   * Retries do not take over an old order; only the sweeper settles it. Its reservation could expire between the answer to
   * the retry's reserve and a second delivery of that reserve.
   */
  takesOverYoungOnly: boolean
  /** No retry takes over, and no sweeper undoes, an order while its lease runs. A lease only saves work. */
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
  loserAnswersFromOrder: true,
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
  /** Each customer buys under one key. The number says how many orders that key may lead to, one after the other. */
  customers: Record<string, number>
  /** Whether admins ship and deliver. */
  shipping: boolean
  /** An admin corrects the stock while `stocked` stays at or below this number; 0 means no corrections. */
  correctedUpTo: number
  /** Whether an admin deletes the product. */
  deletion: boolean
  /**
   * Whether old reservations and rejected orders expire. `careful`: a reservation expires a week after its last change, and
   * no request acts on an answer that is a week old. `careless`: a reservation expires a week after it was made, and
   * a request may act on an answer that is a week old.
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
  /** The sweeper cancels, or has cancelled, the order, because no request finished it. */
  readonly undo: boolean
  /** The order was confirmed at some time, and its status may have changed since. */
  readonly confirmation: boolean
  readonly leaseRuns: boolean
  readonly leaseHasEnded: boolean
  /** The order was placed more than a week ago. */
  readonly old: boolean
  readonly reservation: Reservation
  /** The reservation may expire. */
  readonly reservationOld: boolean
  // Messages that may be delivered at any time: requests to the product module (`Sent`), and its answers (`said`, `Answered`).
  readonly reserveSent: boolean
  readonly saidHeld: boolean
  readonly saidRejected: boolean
  readonly saidReleased: boolean
  readonly releaseSent: boolean
  readonly releaseAnswered: boolean
  // Final answers that the customer got: 201; 409 insufficient_stock or 422; 409 invalid_transition from cancelled.
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

/** Returns the state with the changed order and product, or the same object if nothing differs. */
function changed(shop: Shop, at: number, change: Partial<Order>, product: Partial<Shop> = {}): Shop {
  const order = orderAt(shop, at)
  const differs = (Object.keys(change) as (keyof Order)[]).some((field) => change[field] !== order[field])
  if (!differs && Object.keys(product).length === 0) return shop
  return { ...shop, ...product, orders: shop.orders.with(at, { ...order, ...change }) }
}

const orderAt = ({ orders }: Shop, at: number): Order => orders[at] ?? unplaced

/** Builds the model of a configuration, with all safeguards except those in `without`. */
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
      name: 'the sweeper settles the state that a crash leaves',
      crash: { label: 'all processes crash, and all messages are lost', next: crashed },
      transitions: perOrder.flatMap(({ recovery }) => recovery),
      settled: (shop) => shop.orders.every(settled),
    },
  }
}

interface Slot {
  at: number
  name: string
  /** The positions of all orders that the same key may lead to, in the order in which they are placed. */
  siblings: readonly number[]
}

function stepsOfOrder(
  { at, name, siblings }: Slot,
  { shipping, deletion, expiry }: Configuration,
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
      if (safeguards.loserAnswersFromOrder || order.saidReleased) return answerOf(order)
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
  // The model does not compare the lease, so the sweeper may also undo an order whose lease was renewed. That allows more
  // behaviours than the program has.
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

/** Removes all messages and all that processes knew, and keeps the stored state. */
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

/** Whether the order needs no further step, and its key is free or has a final answer. */
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
    name: 'stock plus held units equal the units put in',
    holds: ({ stock, stocked, orders }) =>
      stock + orders.filter(({ reservation }) => reservation === 'held').length === stocked,
  },
  everyOrder(
    'each confirmed, shipped or delivered order holds its unit',
    ({ status, reservation }) =>
      !(status === 'confirmed' || status === 'shipped' || status === 'delivered') || reservation === 'held',
  ),
  everyOrder(
    'each hold belongs to an order that may still need it',
    ({ status, reservation }) =>
      reservation !== 'held' ||
      (status !== 'unplaced' && status !== 'cancelled' && status !== 'rejected' && status !== 'expired'),
  ),
  everyOrder(
    'a customer that was answered 201 has an order that was confirmed',
    (order) =>
      !order.toldConfirmed ||
      (order.confirmation && !order.undo && order.status !== 'pending' && order.status !== 'rejected'),
  ),
  everyOrder(
    'a customer that was told of a rejection has a rejected order',
    ({ toldRejected, status }) => !toldRejected || status === 'rejected',
  ),
  everyOrder(
    'a customer that was told of a cancellation cancelled the order before it was confirmed',
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
    name: 'a key leads to at most one confirmed order',
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
    name: 'an order only takes the steps of its life',
    holds: (before, after) =>
      after.orders.every((order, at) => {
        const { status } = orderAt(before, at)
        return order.status === status || life[status].includes(order.status)
      }),
  },
]

const statuses = Object.keys(life)
const reservations: Reservation[] = ['absent', 'held', 'rejected', 'released']

/** Packs the state into one character for the product and two characters for each order. */
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
