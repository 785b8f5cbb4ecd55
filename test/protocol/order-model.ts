// A finite model of the order protocol: orders, reservations, a product with one unit of stock, and everything that processes
// and the network can do to them. The protocol is explained in src/modules/order/place-order.ts and
// src/modules/product/stock/reservations.ts. A request reserves stock in the product module, and then confirms or rejects its
// order. A cancellation by the owner, or an undo by the sweeper, releases the stock. model-checker.ts explores the model.
//
// The model simplifies the program as follows:
//
// - Atomicity. One transition is one update of one document, or one transaction. A process may stop for ever between any two
//   transitions, because no transition is ever forced. A crash therefore needs no transition of its own. `recovery` alone
//   crashes everything, to ask whether the stored state can still be settled.
// - No processes. The model stores which messages were sent and which facts a process may have read, instead of the processes.
//   A message stays deliverable after it is sent: it may arrive never, late, or many times. An answer may likewise reach any
//   number of processes. A process may act on any status that the order ever had. So `wasConfirmed` also means that some
//   process may have read the order as confirmed, and `leaseHasEnded` that some sweeper may be about to undo the order. This
//   covers any number of concurrent requests, retries, owners, admins and sweepers, each at any step.
// - Versions. An order enters each status at most once (invariant: `an order changes its status only as the protocol allows`), so the
//   status also stands for the version.
// - Answers. A final answer counts as given as soon as a step allows it. A program that gives the answer later, or loses it,
//   makes fewer promises.
// - Time. The protocol does not rely on clocks that are right to the second: a request may act after its deadline, and a lease
//   may end at any moment. It relies on clocks that are right to the week. The transition `a week passes` makes one order old.
//   By then the deadlines of its requests are over, and so are the transactions that began before them. The reservation of an
//   old order may expire. One transition is enough, because an order can be taken over for a day at most, and a reservation is
//   kept for longer. Each order ages independently, because orders are placed at different times.
// - Data. Each order has one line, for one unit of the one product. Prices, several lines, and other bodies under the same key
//   do not influence the protocol: one transaction takes all lines or none. An order without a key is an order without retries.

import type { Invariant, Model, StepInvariant, Transition } from './model-checker.ts'

/** The safeguards of the protocol. The tests show that an invariant breaks without each of them, except `lease`. */
export interface Safeguards {
  /** An order is inserted before anything is reserved for it. */
  orderBeforeReservation: boolean
  /** A unique index admits at most one order per user and key. */
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
  releaseIsNeverRefused: boolean
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
  /** A request that loses its compare-and-set reads the order, and does not repeat the product module's answer to the client. */
  loserAnswersFromOrder: boolean
  /** A request whose order is undone, or is being undone, gets no final answer: the client is told to retry. */
  undoGivesNoFinalAnswer: boolean
  /** An undo unsets the idempotency key. */
  undoFreesKey: boolean
  /** Only an undo unsets the idempotency key. */
  onlyUndoFreesKey: boolean
  /** The sweeper undoes abandoned `pending` orders. */
  sweeperUndoesPending: boolean
  /** The sweeper completes abandoned cancellations. */
  sweeperCompletesCancelling: boolean
  /** No reserve takes effect after its deadline plus the lifetime of a transaction. */
  deadlineInTransaction: boolean
  /**
   * Retries do not take over an old order: only the sweeper settles it. Otherwise its reservation could expire between the
   * answer to the retry's reserve and a second delivery of that reserve.
   */
  neverTakesOverOldOrders: boolean
  /** While the lease of an order runs, no retry takes it over, and no sweeper undoes it. A lease only avoids duplicate work. */
  lease: boolean
}

const allSafeguards: Safeguards = {
  orderBeforeReservation: true,
  uniqueKey: true,
  conditionalDecrement: true,
  recordedRejection: true,
  tombstone: true,
  compareOnRelease: true,
  releaseIsNeverRefused: true,
  compareOnConfirm: true,
  compareOnReject: true,
  compareOnCancel: true,
  compareOnUndo: true,
  compareOnShip: true,
  releaseBeforeCancelled: true,
  loserAnswersFromOrder: true,
  undoGivesNoFinalAnswer: true,
  undoFreesKey: true,
  onlyUndoFreesKey: true,
  sweeperUndoesPending: true,
  sweeperCompletesCancelling: true,
  deadlineInTransaction: true,
  neverTakesOverOldOrders: true,
  lease: true,
}

export interface Configuration {
  /** The customers, by name. Each buys under one key. The number is how many orders the key may lead to, one after the other. */
  customers: Record<string, number>
  /** Whether admins ship and deliver. */
  shipping: boolean
  /** An admin corrects the stock while `stocked` stays at or below this number. 0 means no corrections. */
  maxCorrectedStock: number
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
  readonly hasKey: boolean
  /** The sweeper cancels, or has cancelled, the order, because no request finished it. */
  readonly isUndone: boolean
  /** The order was confirmed once. Its status may have changed since. */
  readonly wasConfirmed: boolean
  readonly leaseRuns: boolean
  readonly leaseHasEnded: boolean
  /** The order was placed more than a week ago. */
  readonly isOld: boolean
  readonly reservation: Reservation
  /** The reservation may expire. */
  readonly reservationMayExpire: boolean
  // Messages that may be delivered at any time: requests to the product module (`...Sent`), and its answers: `held`, `rejected`
  // or `released` to a reserve (`answered...`), and the one answer to a release (`releaseAnswered`).
  readonly reserveSent: boolean
  readonly answeredHeld: boolean
  readonly answeredRejected: boolean
  readonly answeredReleased: boolean
  readonly releaseSent: boolean
  readonly releaseAnswered: boolean
  // Final answers that the customer got. Confirmed: 201. Rejected: 409 insufficient_stock or 422 unknown_product. Cancelled:
  // 409 invalid_transition.
  readonly toldConfirmed: boolean
  readonly toldRejected: boolean
  readonly toldCancelled: boolean
}

export interface Shop {
  readonly stock: number
  /** The quantity that was ever put in. */
  readonly stocked: number
  readonly deleted: boolean
  readonly orders: readonly Order[]
}

const unplaced: Order = {
  status: 'unplaced',
  hasKey: false,
  isUndone: false,
  wasConfirmed: false,
  leaseRuns: false,
  leaseHasEnded: false,
  isOld: false,
  reservation: 'absent',
  reservationMayExpire: false,
  reserveSent: false,
  answeredHeld: false,
  answeredRejected: false,
  answeredReleased: false,
  releaseSent: false,
  releaseAnswered: false,
  toldConfirmed: false,
  toldRejected: false,
  toldCancelled: false,
}

const noMessages: Partial<Order> = {
  reserveSent: false,
  answeredHeld: false,
  answeredRejected: false,
  answeredReleased: false,
  releaseSent: false,
  releaseAnswered: false,
}

const exists = ({ status }: Order) => status !== 'unplaced' && status !== 'expired'
/** Whether some request has an answer to its reserve. */
const hasReservationAnswer = ({ answeredHeld, answeredRejected, answeredReleased }: Order) =>
  answeredHeld || answeredRejected || answeredReleased

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
      crash: { label: 'all processes crash, and all messages are lost', next: afterCrash },
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

  const keyIsFree = (shop: Shop) => siblings.every((other) => !orderAt(shop, other).hasKey)
  const inserted: Partial<Order> = {
    status: 'pending',
    hasKey: true,
    leaseRuns: safeguards.lease,
    leaseHasEnded: !safeguards.lease,
    reserveSent: true,
  }

  const placing = [
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
      if (safeguards.loserAnswersFromOrder || order.answeredReleased) return answerOf(order)
      return order.answeredHeld ? { toldConfirmed: true } : { toldRejected: true }
    }),
    step('retry reads', (order) => {
      if (!order.hasKey || order.status === 'pending') return undefined
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

  const ageing = [
    step('a week passes for', (order) => {
      if (!exists(order) && order.reservation === 'absent') return undefined
      return {
        isOld: true,
        leaseRuns: false,
        leaseHasEnded: order.leaseHasEnded || order.leaseRuns,
        reservationMayExpire: order.reservation !== 'absent',
        ...(safeguards.deadlineInTransaction && { reserveSent: false }),
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
    step('rejected order expires:', (order) =>
      order.status === 'rejected' && order.isOld
        ? { status: 'expired', hasKey: false, toldRejected: false }
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

function stepsOfAdmin({ maxCorrectedStock: correctedUpTo, deletion }: Configuration): Transition<Shop>[] {
  const move = (label: string, change: 1 | -1): Transition<Shop> => ({
    label,
    next(shop) {
      const stock = shop.stock + change
      const stocked = shop.stocked + change
      if (shop.deleted || stock < 0 || stocked > correctedUpTo) return undefined
      return { ...shop, stock, stocked }
    },
  })
  const corrections = [move('admin adds a unit', 1), move('admin removes a unit', -1)]
  const deletes: Transition<Shop> = {
    label: 'admin deletes the product',
    next: (shop) => (shop.deleted ? undefined : { ...shop, deleted: true }),
  }
  return [...(correctedUpTo > 0 ? corrections : []), ...(deletion ? [deletes] : [])]
}

/** Removes all messages, and keeps the stored state. */
const afterCrash = (shop: Shop): Shop => ({
  ...shop,
  orders: shop.orders.map((order) => ({
    ...order,
    ...noMessages,
    leaseHasEnded: exists(order) && !order.leaseRuns,
    toldConfirmed: false,
    toldRejected: false,
    toldCancelled: false,
  })),
})

/** Whether the order needs no further step, and its key is free or has one final answer. */
function settled({ status, hasKey, isUndone, reservation }: Order): boolean {
  if (status === 'pending' || status === 'cancelling') return false
  const sold = status === 'confirmed' || status === 'shipped' || status === 'delivered'
  return sold === (reservation === 'held') && !(hasKey && isUndone)
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
      (order.wasConfirmed && !order.isUndone && order.status !== 'pending' && order.status !== 'rejected'),
  ),
  everyOrder(
    'a customer that was told of a rejection has a rejected order',
    ({ toldRejected, status }) => !toldRejected || status === 'rejected',
  ),
  everyOrder(
    'a customer that was told of a cancellation cancelled the order before it was confirmed',
    ({ toldCancelled, status, isUndone, wasConfirmed }) =>
      !toldCancelled || ((status === 'cancelling' || status === 'cancelled') && !isUndone && !wasConfirmed),
  ),
  everyOrder(
    'an order that its owner cancelled keeps its key',
    ({ status, isUndone, hasKey }) =>
      !((status === 'cancelling' || status === 'cancelled') && !isUndone) || hasKey,
  ),
]

const invariantsOfKey = (ordersOf: (shop: Shop) => Order[]): Invariant<Shop>[] => [
  {
    name: 'a key leads to at most one confirmed order',
    holds: (shop) => ordersOf(shop).filter(({ wasConfirmed }) => wasConfirmed).length <= 1,
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

const nextStatuses: Record<Status, readonly Status[]> = {
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
    name: 'an order changes its status only as the protocol allows',
    holds: (before, after) =>
      after.orders.every((order, at) => {
        const { status } = orderAt(before, at)
        return order.status === status || nextStatuses[status].includes(order.status)
      }),
  },
]

const statuses = Object.keys(nextStatuses)
const reservations: Reservation[] = ['absent', 'held', 'rejected', 'released']

/** Packs the state into one character for the product and two characters for each order. */
function keyOf({ stock, stocked, deleted, orders }: Shop): string {
  let key = String.fromCharCode(stock + 1 + 8 * (stocked + 1) + 64 * Number(deleted))
  for (const order of orders) {
    const stored =
      statuses.indexOf(order.status) +
      16 * reservations.indexOf(order.reservation) +
      64 * Number(order.reservationMayExpire) +
      128 * Number(order.hasKey) +
      256 * Number(order.isUndone) +
      512 * Number(order.wasConfirmed) +
      1024 * Number(order.leaseRuns) +
      2048 * Number(order.leaseHasEnded) +
      4096 * Number(order.isOld)
    const messages =
      Number(order.reserveSent) +
      2 * Number(order.answeredHeld) +
      4 * Number(order.answeredRejected) +
      8 * Number(order.answeredReleased) +
      16 * Number(order.releaseSent) +
      32 * Number(order.releaseAnswered) +
      64 * Number(order.toldConfirmed) +
      128 * Number(order.toldRejected) +
      256 * Number(order.toldCancelled)
    key += String.fromCharCode(stored, messages)
  }
  return key
}
