import type { HeldLine, Line, Rejection } from '../contract.ts'
import type { Product, ProductRepresentation } from '../product.ts'

/** A reservation as stored, under the id of its order. A tombstone (released before reserved) has no lines. */
export interface ReservationRecord {
  orderId: string
  state: 'held' | 'rejected' | 'released'
  requested: Line[]
  held?: HeldLine[] | undefined
  rejection?: Rejection | undefined
}

/** A product that exists, deleted ones too. */
export interface StoredProduct extends Product {
  deleted: boolean
  /** When it was asked for, as `performance.now`. */
  readAt: number
}

/** One entry of the stock ledger: who changed what was put in, by how much, when and why. */
export interface LedgerEntry {
  productId: string
  change: number
  stock: number
  by: string
  reason: string
}

/** A product as it was read and as it is to be, what that rests on, and by how much what was put in changes. */
export interface ProductChange {
  base: Product
  now: Product
  stocked: number
  /** The least that its stock changed by on the way, zero or negative: that much must be left. */
  lowest: number
  /** For somebody, by its name and at its price: it must still have them, and not be deleted. */
  isTaken: boolean
  /** Every figure of it counted: nobody else may have changed it. */
  isExact: boolean
}

/** The first answer to a keyed stock change. `hash` tells whether a repetition asks for the same. */
export interface KeyedAnswer {
  hash: string
  product?: ProductRepresentation | undefined
  rejection?: { message: string; members: Record<string, unknown> } | undefined
}

/** Under what the answer to a user's key is stored. */
export const answerIdOf = (userId: string, key: string): string => `${userId}:${key}`

/** Of what is there, what can be read, and the ids of what is spoilt. */
export interface Found<Kind> {
  whole: Kind[]
  spoilt: string[]
}

/** What a batch of stock changes stores in one transaction. */
export interface StockChanges {
  /** The time of each change. */
  at: Date
  products: readonly ProductChange[]
  newProducts: readonly Product[]
  newReservations: readonly ReservationRecord[]
  /** Orders whose reservation was held, and is now released. */
  releasedOrderIds: readonly string[]
  entries: readonly LedgerEntry[]
  newAnswers: readonly (KeyedAnswer & { id: string })[]
}
