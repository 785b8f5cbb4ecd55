import { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import { definePort } from '#kernel/ports/port.ts'
import { id } from '#kernel/schemas.ts'

/** A quantity of a product. The lines of an order have each product once, and are sorted by `productId`. */
export const line = z.object({
  productId: id,
  quantity: z.int().min(1).max(100_000),
})
export type Line = z.infer<typeof line>

/** A line with the product's name and unit price (minor units), as read in the transaction that took the stock. */
const heldLine = line.extend({ name: z.string(), price: z.int().min(0) })
export type HeldLine = z.infer<typeof heldLine>

/** A product whose stock is less than the requested quantity. */
const shortItem = z.object({ productId: id, requested: z.int(), available: z.int() }).openapi('StockShortage')
export type ShortItem = z.infer<typeof shortItem>

/** The problem of a request that needs more stock than there is. It is public because modules that reserve stock have it too. */
export const insufficientStock = {
  status: 409,
  title: 'Not enough in stock',
  meaning:
    'The stock is less than the request needs. `items` names each line that falls short. No stock was taken.',
  members: { items: z.array(shortItem) },
  example: { items: [{ productId: '66f2a1b0c3d4e5f60718293a', requested: 3, available: 1 }] },
  advice: 'Reduce the quantities. `items` has the available quantity of each product.',
} as const

export const rejection = z.discriminatedUnion('code', [
  z.object({ code: z.literal('insufficient_stock'), items: z.array(shortItem) }),
  z.object({ code: z.literal('unknown_product'), productIds: z.array(z.string()) }),
])
/** Why no stock was taken: each product with too little stock, or each product that does not exist. */
export type Rejection = z.infer<typeof rejection>

export const reservation = z.discriminatedUnion('state', [
  z.object({ state: z.literal('held'), lines: z.array(heldLine) }),
  z.object({ state: z.literal('rejected'), rejection }),
  z.object({ state: z.literal('released') }),
])
/** The state of an order's stock. It is `released` also if the release arrived before the reserve. */
export type Reservation = z.infer<typeof reservation>

const holdPosition = z.object({ orderId: id, heldAt: z.int().min(0) })
/** The order of a hold, and the time at which the hold was made, in epoch milliseconds. */
export type HoldPosition = z.infer<typeof holdPosition>

const storedReservation = z.object({
  orderId: id,
  reservation,
  userId: id.optional(),
  reservedAt: z.int().min(0).optional(),
})
/**
 * A reservation with the user of its order, if the reserve named one, and with the time at which it was stored, in epoch
 * milliseconds. Replicas of earlier versions leave out both.
 */
export type StoredReservation = z.infer<typeof storedReservation>

/** The operations of the product module for other modules. Each may be delivered twice, late, or both. */
export interface ProductPort {
  /**
   * Takes the stock of every line, or of none. The answer is stored under `orderId`, and a repeated reserve gets it again. After
   * a release, every reserve is answered with `released`. `userId` is the user that the order is for; it is stored, and does
   * not influence the answer.
   * @throws DomainError `idempotency_key_reused` if the order is stored with other lines; `overloaded`;
   * `dependency_unavailable` if the outcome is not known in time
   */
  reserve(
    request: { orderId: string; userId?: string | undefined; lines: Line[] },
    call: Call,
  ): Promise<Reservation>
  /**
   * Returns the stock that the order holds, if any. Every later reserve of the order is refused.
   * @throws DomainError `overloaded`; `dependency_unavailable` if the outcome is not known in time
   */
  release(request: { orderId: string }, call: Call): Promise<{ state: 'released' }>
  /** Reads the reservations of 1–500 orders, in no order. Unknown orders are left out. */
  reservations(request: { orderIds: string[] }, call: Call): Promise<{ reservations: StoredReservation[] }>
  /**
   * Lists holds by the time at which they were made: in ascending order, after the hold `after` or from the beginning, before the
   * time `until`, at most `limit` (1–500). A reserve that is still in progress may add a hold with an earlier time later on.
   */
  holdsByTime(
    request: { after?: HoldPosition | undefined; until: number; limit: number },
    call: Call,
  ): Promise<{ holds: HoldPosition[] }>
  /** Lists ids of orders that hold stock for an audit: in ascending order, after `after`, at most `limit` (1–500). */
  holds(request: { after?: string | undefined; limit: number }, call: Call): Promise<{ orderIds: string[] }>
}

export const productPort = definePort<ProductPort>('product', {
  reserve: {
    request: z.object({ orderId: id, userId: id.optional(), lines: z.array(line).min(1).max(100) }),
    result: reservation,
  },
  release: { request: z.object({ orderId: id }), result: z.object({ state: z.literal('released') }) },
  reservations: {
    request: z.object({ orderIds: z.array(id).min(1).max(500) }),
    result: z.object({ reservations: z.array(storedReservation) }),
  },
  holdsByTime: {
    request: z.object({
      after: holdPosition.optional(),
      until: z.int().min(0),
      limit: z.int().min(1).max(500),
    }),
    result: z.object({ holds: z.array(holdPosition) }),
  },
  holds: {
    request: z.object({ after: id.optional(), limit: z.int().min(1).max(500) }),
    result: z.object({ orderIds: z.array(id) }),
  },
})
