// A finite model of the order protocol. It contains orders, reservations, a product with one unit of stock, and everything that
// processes and the network can do to them. The protocol is explained in src/modules/order/place-order.ts and
// src/modules/product/stock/reservations.ts:
//
// - A request reserves the stock in the product module. Then it inserts its order once, as `confirmed` or `rejected`.
// - Requests with one key derive their order id from the key and the number of the attempt, so that they share reservations.
//   Only one order has the key at a time, so that only one of the ids gets an order that is not undone.
// - A request without an answer to its reserve inserts its order as `pending`. The next request with the key confirms or
//   rejects that order.
// - The sweeper undoes a `pending` order. It also undoes a hold that has no order: it first inserts an order for it. A request
//   that may not insert its order undoes its hold by the same steps.
// - The owner may cancel an order. A cancellation or an undo releases the stock.
//
// model-checker.ts explores the model. These files contain its parts:
//
// - configuration.ts: what varies between models
// - order-state.ts: the state. slot.ts: one order id in it
// - order-steps.ts: the transitions of one order. request-steps.ts, product-steps.ts, owner-steps.ts and sweeper-steps.ts list
//   them for each kind of process.
// - invariants.ts: the invariants
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
// - Attempts. A request may use any id of its key at any time. In the program it uses the next id only if the earlier one is used
//   up. The protocol does not rely on that.
// - Ids. A transition belongs to one id, under which there is at most one order and at most one reservation. An order enters
//   each status at most once before it expires (invariant: `an order changes its status only as the protocol allows`), so the
//   status also stands for the version.
// - Answers. A final answer counts as given as soon as a step allows it. A program that gives the answer later, or loses it,
//   makes fewer promises. A customer forgets a rejection when the rejected order expires, because the key is new from then on.
// - Time. The protocol does not rely on clocks that are right to the second: a request may act after its deadline, and a lease
//   may end at any moment. It relies on clocks that are right to the week. The transition `a week passes` makes old what is
//   stored under one id. By then the deadlines of releases are over, and so are the processes that got an answer earlier. An
//   old order may expire if it is rejected, and so may an old reservation that is not `held`. A reserve has a deadline in the
//   program. In the model it may arrive at any time, because the protocol does not rely on that deadline. Each id ages
//   independently, because orders are placed at different times.
// - Holds. The sweeper may find a hold at any time. It looks at each hold until the hold is gone or its order is confirmed.
// - Data. Each order has one line, for one unit of the one product. Prices and several lines do not influence the protocol: one
//   transaction takes all lines or none. An order without a key is an order without retries. The model does not contain two
//   requests that use one key for different lines. The program compares the lines before it acts on an order.

import { allSafeguards, type Configuration, type Safeguards } from './configuration.ts'
import { invariantsOf, invariantsOfKey, stepInvariants } from './invariants.ts'
import type { Model, Transition } from './model-checker.ts'
import { keyOf, noMessages, type Order, type Shop, unplaced } from './order-state.ts'
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
    const expires = configuration.expiry.includes(name)
    return stepsOfOrder({ at, name, siblings, expires, configuration, safeguards })
  })
  return {
    initial: { stock: 1, stocked: 1, deleted: false, orders: slots.map(() => unplaced) },
    transitions: [...perOrder.flatMap(({ steps }) => steps), ...stepsOfAdmin(configuration)],
    keyOf,
    invariants: [
      ...invariantsOf(configuration),
      ...keys.flatMap(({ ordersOf }) => invariantsOfKey(ordersOf)),
    ],
    stepInvariants,
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
    leaseHasEnded: order.leaseHasEnded && order.status === 'pending',
    isBeingDeleted: false,
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
