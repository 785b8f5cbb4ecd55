import type { Configuration, Safeguards } from './configuration.ts'
import type { Transition } from './model-checker.ts'
import { changed, type Order, orderAt, type Shop } from './order-state.ts'

/** One order id, and the means to describe the steps that processes take for it. */
export interface Slot {
  at: number
  /** The positions of all ids that the same key may lead to, in the order of the attempts. */
  siblings: readonly number[]
  /** Whether a rejected order with this id, and a reservation under it, expire. */
  expires: boolean
  configuration: Configuration
  safeguards: Safeguards
  /** `next` returns the changed fields: an empty object if the step has no effect, undefined if the step is not enabled. */
  step(label: string, next: (order: Order, shop: Shop) => Partial<Order> | undefined): Transition<Shop>
  /** Describes one transaction of the product module, which changes the stock and the reservation together. */
  transaction(
    label: string,
    next: (order: Order, shop: Shop) => { order: Partial<Order>; stock?: number } | undefined,
  ): Transition<Shop>
}

export interface SlotOptions extends Omit<Slot, 'step' | 'transaction'> {
  name: string
}

export function createSlot({ name, ...options }: SlotOptions): Slot {
  const { at } = options
  return {
    ...options,
    step: (label, next) => ({
      label: `${label} ${name}`,
      next(shop) {
        const change = next(orderAt(shop, at), shop)
        return change && changed(shop, at, change)
      },
    }),
    transaction: (label, next) => ({
      label: `${label} ${name}`,
      next(shop) {
        const outcome = next(orderAt(shop, at), shop)
        if (!outcome) return undefined
        const { order, stock = 0 } = outcome
        return changed(shop, at, order, stock === 0 ? {} : { stock: shop.stock + stock })
      },
    }),
  }
}
