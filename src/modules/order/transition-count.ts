import type { Metrics } from '#kernel/metrics.ts'
import type { OrderStatus } from './order-status.ts'

/** `new` stands for an order that does not exist yet. */
type From = OrderStatus | 'new'

const transitions = {
  name: 'trivet_order_transitions_total',
  help: 'Changes of the status of orders that this process made',
}

const possible: readonly [From, OrderStatus][] = [
  ['new', 'confirmed'],
  ['new', 'rejected'],
  ['new', 'pending'],
  ['new', 'cancelling'],
  ['pending', 'confirmed'],
  ['pending', 'rejected'],
  ['pending', 'cancelling'],
  ['confirmed', 'cancelling'],
  ['confirmed', 'shipped'],
  ['shipped', 'delivered'],
  ['cancelling', 'cancelled'],
]

export type CountTransition = (from: From, to: OrderStatus) => void

/** Creates the function that counts the changes of status. */
export function createTransitionCount(metrics: Metrics): CountTransition {
  const counter = (from: From, to: OrderStatus) => metrics.counter(transitions, { from, to })
  for (const [from, to] of possible) counter(from, to)
  return (from, to) => counter(from, to).add()
}
