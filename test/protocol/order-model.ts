// A finite model of the order protocol: orders, reservations, a product with one unit of stock, and everything that processes
// and the network can do to them. The protocol is explained in src/modules/order/place-order.ts and
// src/modules/product/stock/reservations.ts. A request reserves stock in the product module, and then confirms or rejects its
// order. A cancellation by the owner, or an undo by the sweeper, releases the stock. model-checker.ts explores the model. Its
// parts are in files of their own: what varies between models (configuration.ts), the state (order-state.ts), the transitions
// (order-steps.ts) and the invariants (invariants.ts). reserve-first.test.ts explores the protocol that replaces this one
// (docs/decisions/0021-reserve-first.md): the configuration `reservesFirst` chooses it.
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

import { allSafeguards, type Configuration, type Safeguards } from './configuration.ts'
import { invariantsOf, invariantsOfKey, stepInvariantsOf } from './invariants.ts'
import type { Model, Transition } from './model-checker.ts'
import { exists, keyOf, noMessages, type Order, type Shop, unplaced } from './order-state.ts'
import { stepsOfOrder } from './order-steps.ts'

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
    invariants: [
      ...invariantsOf(configuration),
      ...keys.flatMap(({ ordersOf }) => invariantsOfKey(ordersOf)),
    ],
    stepInvariants: stepInvariantsOf(configuration),
    recovery: {
      name: 'the sweeper settles the state that a crash leaves',
      crash: { label: 'all processes crash, and all messages are lost', next: afterCrash },
      transitions: perOrder.flatMap(({ recovery }) => recovery),
      settled: (shop) => shop.orders.every(settled),
    },
  }
}

function stepsOfAdmin({ maxCorrectedStock, deletion }: Configuration): Transition<Shop>[] {
  const move = (label: string, change: 1 | -1): Transition<Shop> => ({
    label,
    next(shop) {
      const stock = shop.stock + change
      const stocked = shop.stocked + change
      if (shop.deleted || stock < 0 || stocked > maxCorrectedStock) return undefined
      return { ...shop, stock, stocked }
    },
  })
  const corrections = [move('admin adds a unit', 1), move('admin removes a unit', -1)]
  const deletes: Transition<Shop> = {
    label: 'admin deletes the product',
    next: (shop) => (shop.deleted ? undefined : { ...shop, deleted: true }),
  }
  return [...(maxCorrectedStock > 0 ? corrections : []), ...(deletion ? [deletes] : [])]
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
