import type { Configuration, Safeguards } from './configuration.ts'
import { check, type Situation, type Verdict } from './model-checker.ts'
import { protocol } from './order-model.ts'
import type { Order, Shop } from './order-state.ts'

/** Explores a model, and prints its size and the shortest counterexample. */
export function explore(
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

export type OrdersOf = (shop: Shop) => { ada: Order; again: Order; bob: Order }

/** A situation in which a step of ada's first order is taken from a state that `holds` accepts. */
export const at =
  (ordersOf: OrdersOf) =>
  (name: string, label: string, holds: (orders: ReturnType<OrdersOf>, shop: Shop) => boolean) => ({
    name,
    reached: (before: Shop, taken: string) => taken === `${label} ada#1` && holds(ordersOf(before), before),
  })

/** A situation in which a step leads to a state that `holds` accepts. */
export const once =
  (ordersOf: OrdersOf) => (name: string, holds: (orders: ReturnType<OrdersOf>, shop: Shop) => boolean) => ({
    name,
    reached: (_: Shop, __: string, after: Shop) => holds(ordersOf(after), after),
  })

export const ordersIn =
  (...names: ('ada' | 'again' | 'bob')[]): OrdersOf =>
  ({ orders }) =>
    Object.fromEntries(names.map((name, position) => [name, orders[position]])) as ReturnType<OrdersOf>
