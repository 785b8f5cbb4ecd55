import { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import { definePort } from '#kernel/ports/port.ts'
import { id } from '#kernel/schemas.ts'

/** A product and how many of it. Lines of one order name each product once, sorted by `productId`. */
export const line = z.object({
  productId: id,
  quantity: z.int().min(1).max(100_000),
})
export type Line = z.infer<typeof line>

/** A line with what the product was called and cost (minor units) in the transaction that secured its stock. */
export const heldLine = line.extend({ name: z.string(), price: z.int().min(0) })
export type HeldLine = z.infer<typeof heldLine>

export const shortItem = z.object({ productId: z.string(), requested: z.int(), available: z.int() })
export type ShortItem = z.infer<typeof shortItem>

/** The problem of an order or a change that needs more stock than there is. Modules that reserve stock answer it as well. */
export const insufficientStock = {
  status: 409,
  title: 'Not enough in stock',
  members: { items: z.array(shortItem) },
  example: { items: [{ productId: '66f2a1b0c3d4e5f60718293a', requested: 3, available: 1 }] },
  advice: 'Ask for less: `items` has what is available.',
} as const

export const rejection = z.discriminatedUnion('code', [
  z.object({ code: z.literal('insufficient_stock'), items: z.array(shortItem) }),
  z.object({ code: z.literal('unknown_product'), productIds: z.array(z.string()) }),
])
/** Why no stock moved: every line that fell short, or every product that does not exist. */
export type Rejection = z.infer<typeof rejection>

export const reservation = z.discriminatedUnion('state', [
  z.object({ state: z.literal('held'), lines: z.array(heldLine) }),
  z.object({ state: z.literal('rejected'), rejection }),
  z.object({ state: z.literal('released') }),
])
/** What is stored under an order id: `released` also when the release came before the reserve. */
export type Reservation = z.infer<typeof reservation>

/** What the product module does for others. Every operation may arrive twice, late, or both. */
export interface ProductPort {
  /**
   * Takes the stock of every line, or of none. The first answer is stored under `orderId` and given again to every
   * repetition; once released, it stays released.
   * @throws DomainError `idempotency_key_reused` for a known order id with other lines; `overloaded`;
   * `dependency_unavailable` if the outcome is not known in time
   */
  reserve(request: { orderId: string; lines: Line[] }, call: Call): Promise<Reservation>
  /**
   * Gives back what the order holds, if anything, and refuses every later reserve of it.
   * @throws DomainError `overloaded`; `dependency_unavailable` if the outcome is not known in time
   */
  release(request: { orderId: string }, call: Call): Promise<{ state: 'released' }>
  /** What is stored under these order ids, 1–500: those that it knows, in no order. For audits. */
  reservations(
    request: { orderIds: string[] },
    call: Call,
  ): Promise<{ reservations: { orderId: string; reservation: Reservation }[] }>
  /** Ids of orders that hold stock, ascending, from behind `after` on, `limit` (1–500) at most. For audits. */
  holds(request: { after?: string | undefined; limit: number }, call: Call): Promise<{ orderIds: string[] }>
}

export const productPort = definePort<ProductPort>('product', {
  reserve: { request: z.object({ orderId: id, lines: z.array(line).min(1).max(100) }), result: reservation },
  release: { request: z.object({ orderId: id }), result: z.object({ state: z.literal('released') }) },
  reservations: {
    request: z.object({ orderIds: z.array(id).min(1).max(500) }),
    result: z.object({ reservations: z.array(z.object({ orderId: id, reservation })) }),
  },
  holds: {
    request: z.object({ after: id.optional(), limit: z.int().min(1).max(500) }),
    result: z.object({ orderIds: z.array(id) }),
  },
})
