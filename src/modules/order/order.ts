import { hash } from 'node:crypto'
import { toDecimal } from '#kernel/money.ts'
import type { HeldLine, Line, Rejection } from '../product/contract.ts'
import type { OrderStatus } from './order-status.ts'

/** `name` and `price` (minor units) are the product's at the time of its reservation, and null on an unconfirmed order. */
export interface OrderLine extends Line {
  name: string | null
  price: number | null
}

/** An order inside the module. */
export interface Order {
  orderId: string
  userId: string
  /** The idempotency key of the request that placed the order. Undoing an abandoned order unsets the key. */
  key: string | undefined
  linesHash: string
  lines: OrderLine[]
  /** Minor units. */
  totalAmount: number | null
  /** ISO 4217. Undefined until the order is confirmed, and if a version that did not store it confirmed the order. */
  currency: string | undefined
  status: OrderStatus
  /** Grows with every change that clients can see. */
  version: number
  /**
   * Epoch milliseconds. The sweeper leaves an unfinished order alone until then: a request may still be working on it. It means nothing
   * for other orders.
   */
  leaseUntil: number
  /** The sweeper cancels, or has cancelled, the order because no request finished it while it was `pending`. */
  isUndone: boolean
  /** When the order was confirmed, and as which version. A replayed 201 is rebuilt from it. */
  confirmation: { at: Date; version: number } | undefined
  rejection: Rejection | undefined
  createdAt: Date
  updatedAt: Date
}

/** What a request says about the order that it places. */
export interface NewOrder extends Pick<Order, 'orderId' | 'userId' | 'key' | 'linesHash' | 'leaseUntil'> {
  lines: readonly Line[]
  /** When the request began. */
  createdAt: Date
}

/** The order before its stock is known to be reserved. */
export const pendingOrder = ({ lines, ...request }: NewOrder): Order => ({
  ...request,
  lines: lines.map(({ productId, quantity }) => ({ productId, quantity, name: null, price: null })),
  totalAmount: null,
  currency: undefined,
  status: 'pending',
  version: 1,
  isUndone: false,
  confirmation: undefined,
  rejection: undefined,
  updatedAt: request.createdAt,
})

/** The next version of an order. */
export function nextVersion(order: Order, changes: Partial<Order>): Order {
  const now = new Date()
  // The clock of another replica may be ahead of this one.
  const updatedAt = order.updatedAt > now ? order.updatedAt : now
  return { ...order, ...changes, version: order.version + 1, updatedAt }
}

/** The confirmed order, with the names and prices of its hold. */
export function confirmedOrder(order: Order, held: readonly HeldLine[], currency: string): Order {
  const next = nextVersion(order, {
    status: 'confirmed',
    lines: [...held],
    currency,
    totalAmount: held.reduce((sum, { price, quantity }) => sum + price * quantity, 0),
  })
  return { ...next, confirmation: { at: next.updatedAt, version: next.version } }
}

export const rejectedOrder = (order: Order, rejection: Rejection): Order =>
  nextVersion(order, { status: 'rejected', rejection })

/** The order while the sweeper undoes it. */
export const undoneOrder = (order: Order, leaseUntil: number): Order =>
  nextVersion(order, { status: 'cancelling', leaseUntil, isUndone: true })

/** A status of an order, with its time and with the user or the part of the program that caused it. */
export interface StatusChange {
  status: OrderStatus
  at: Date
  /**
   * The id of the user whose request led to the status, or the name of the part of the program that acted by itself: `sweeper`
   * or `audit`. Null if an earlier version of the program did not store it.
   */
  by: string | null
}

export const statusChangeResponse = ({ status, at, by }: StatusChange) => ({
  status,
  at: at.toISOString(),
  by,
})

/** The order as clients see it. `currency` is that of the shop, for an order that has none. */
export const orderResponse = (order: Order, currency: string) => ({
  orderId: order.orderId,
  userId: order.userId,
  productList: order.lines.map(({ productId, name, price, quantity }) => ({
    productId,
    name,
    price: price === null ? null : toDecimal(price),
    quantity,
  })),
  totalAmount: order.totalAmount === null ? null : toDecimal(order.totalAmount),
  currency: order.currency ?? currency,
  status: order.status,
  version: order.version,
  createdAt: order.createdAt.toISOString(),
  updatedAt: order.updatedAt.toISOString(),
})

/** The order as it was when it was confirmed. Later changes leave its lines and its total alone. */
export const orderAtConfirmation = (order: Order): Order | undefined =>
  order.confirmation && {
    ...order,
    status: 'confirmed',
    version: order.confirmation.version,
    updatedAt: order.confirmation.at,
  }

/** Adds the lines of one product together and sorts by product, so that equal baskets give equal lines. */
export function mergeLines(lines: readonly Line[]): Line[] {
  const quantities = new Map<string, number>()
  for (const { productId, quantity } of lines) {
    quantities.set(productId, (quantities.get(productId) ?? 0) + quantity)
  }
  return [...quantities]
    .map(([productId, quantity]) => ({ productId, quantity }))
    .sort((a, b) => (a.productId < b.productId ? -1 : 1))
}

export const hashLines = (lines: readonly Line[]): string =>
  hash('sha256', JSON.stringify(lines.map(({ productId, quantity }) => [productId, quantity])))
