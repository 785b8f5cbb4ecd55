import type { Configuration } from './configuration.ts'
import type { Invariant, StepInvariant } from './model-checker.ts'
import { type Order, orderAt, type Shop, type Status } from './order-state.ts'

const everyOrder = (name: string, holds: (order: Order) => boolean): Invariant<Shop> => ({
  name,
  holds: ({ orders }) => orders.every(holds),
})

export const invariantsOf = ({ expiry }: Configuration): Invariant<Shop>[] => [
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
    'a cancelled or rejected order holds nothing',
    // Once its reservation has expired, a reserve may hold stock for such an order. The sweeper finds the hold.
    ({ status, reservation }) =>
      expiry.length > 0 || !(status === 'cancelled' || status === 'rejected') || reservation !== 'held',
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

export const invariantsOfKey = (ordersOf: (shop: Shop) => Order[]): Invariant<Shop>[] => [
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

const firstStatuses: readonly Status[] = ['confirmed', 'rejected', 'pending', 'cancelling']

const nextStatuses: Record<Status, readonly Status[]> = {
  unplaced: firstStatuses,
  pending: ['confirmed', 'rejected', 'cancelling'],
  confirmed: ['shipped', 'cancelling'],
  shipped: ['delivered'],
  delivered: [],
  cancelling: ['cancelled'],
  cancelled: [],
  rejected: ['expired'],
  expired: firstStatuses,
}

export const stepInvariants: StepInvariant<Shop>[] = [
  {
    name: 'an order changes its status only as the protocol allows',
    holds: (before, after) =>
      after.orders.every((order, at) => {
        const { status } = orderAt(before, at)
        return order.status === status || nextStatuses[status].includes(order.status)
      }),
  },
]
