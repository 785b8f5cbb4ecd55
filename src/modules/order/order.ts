import { hash } from 'node:crypto'
import { toDecimal } from '#kernel/money.ts'
import type { Line, Rejection } from '../product/contract.ts'
import type { OrderStatus } from './order-status.ts'

/** `name` and `price` (minor units) are the product's when its stock was secured; null until then, or for ever. */
export interface OrderLine extends Line {
  name: string | null
  price: number | null
}

/** An order as the module holds it. */
export interface Order {
  orderId: string
  userId: string
  /** The idempotency key that it was placed with; unset when an unfinished order is undone. */
  key: string | undefined
  linesHash: string
  lines: OrderLine[]
  /** Minor units. */
  totalAmount: number | null
  status: OrderStatus
  /** Grows with every change of the representation. */
  version: number
  /** Until then somebody is at work on it, if it is unfinished. Epoch milliseconds. */
  leaseUntil: number
  /** Nobody finished it while it was `pending`: it is being cancelled, or was, and frees its key by that. */
  undo: boolean
  /** When and as which version it was confirmed: what a replayed 201 is rebuilt from. */
  confirmation: { at: Date; version: number } | undefined
  rejection: Rejection | undefined
  createdAt: Date
  updatedAt: Date
}

/** An order as clients see it. */
export const representation = (order: Order) => ({
  orderId: order.orderId,
  userId: order.userId,
  productList: order.lines.map(({ productId, name, price, quantity }) => ({
    productId,
    name,
    price: price === null ? null : toDecimal(price),
    quantity,
  })),
  totalAmount: order.totalAmount === null ? null : toDecimal(order.totalAmount),
  status: order.status,
  version: order.version,
  createdAt: order.createdAt.toISOString(),
  updatedAt: order.updatedAt.toISOString(),
})

/** The order as it was when it was confirmed: lines and total never change afterwards. */
export const asConfirmed = (order: Order): Order | undefined =>
  order.confirmation && {
    ...order,
    status: 'confirmed',
    version: order.confirmation.version,
    updatedAt: order.confirmation.at,
  }

/** Lines of one product are added together; sorted by product, so that equal baskets look the same. */
export function mergedLines(lines: readonly Line[]): Line[] {
  const quantities = new Map<string, number>()
  for (const { productId, quantity } of lines) {
    quantities.set(productId, (quantities.get(productId) ?? 0) + quantity)
  }
  return [...quantities]
    .map(([productId, quantity]) => ({ productId, quantity }))
    .sort((a, b) => (a.productId < b.productId ? -1 : 1))
}

export const hashOf = (lines: readonly Line[]): string =>
  hash('sha256', JSON.stringify(lines.map(({ productId, quantity }) => [productId, quantity])))

/** The sort key of the last row of a page, and whether none that was shown before it is of the same time. */
export interface Position {
  createdAt: Date
  orderId: string
  isAlone: boolean
}

export function positionOf({ createdAt, orderId }: Order, page: readonly Order[]): Position {
  const before = page.at(-2)?.createdAt
  return { createdAt, orderId, isAlone: before !== undefined && before.getTime() !== createdAt.getTime() }
}
