import type { HeldLine, Line, Rejection } from '../contract.ts'
import type { Product, ProductResponse } from '../product.ts'

/**
 * A reservation as it is stored, under the id of its order. A reservation without lines is a tombstone: the order was
 * released before it was reserved.
 */
export interface ReservationRecord {
  orderId: string
  /** The user of the order. Undefined if the reserve named none, and if the order was released before it was reserved. */
  userId?: string | undefined
  state: 'held' | 'rejected' | 'released'
  requested: Line[]
  held?: HeldLine[] | undefined
  rejection?: Rejection | undefined
  /** Undefined until the reservation is stored. */
  createdAt?: Date | undefined
}

/** A product as it was read. It may be deleted. */
export interface StoredProduct extends Product {
  deleted: boolean
  /** The time at which the read started, by `performance.now()`. */
  readAtMs: number
}

/** One entry of the stock ledger: a change of the quantity that was put in, by whom, and why. */
export interface LedgerEntry {
  productId: string
  change: number
  /** The stock after the change. */
  stock: number
  /** A user id, or the name of a program. */
  by: string
  reason: string
}

/** An entry of the ledger as it is stored. */
export interface StockChangeRecord extends LedgerEntry {
  id: string
  at: Date
}

/** A change of the stock as admins see it. */
export const stockChangeResponse = ({ change, stock, by, reason, at }: StockChangeRecord) => ({
  change,
  stock,
  by,
  reason,
  at: at.toISOString(),
})
export type StockChangeResponse = ReturnType<typeof stockChangeResponse>

/** The change of one product by a batch, and what its write requires of the stored product. */
export interface ProductChange {
  before: Product
  after: Product
  /** The change of the quantity that was ever put into stock. */
  stockedChange: number
  /** The stock that must be there, so that the stock is never negative between two operations of the batch. */
  requiredStock: number
  /** A reservation took stock: the stored product must still have this name and price, and not be deleted. */
  requiresContent: boolean
  /** A decision depends on exact figures: the stored product must still have this version. */
  requiresVersion: boolean
}

/** The first answer to a request with an idempotency key. `hash` identifies the operation and the content of the request. */
export interface KeyedAnswer {
  hash: string
  product?: (Omit<ProductResponse, 'currency'> & Partial<Pick<ProductResponse, 'currency'>>) | undefined
  rejection?: { message: string; members: Record<string, unknown> } | undefined
}

/** The id under which the answer to a user's idempotency key is stored. */
export const answerIdOf = (userId: string, key: string): string => `${userId}:${key}`

/** The documents that a read found: the well-formed ones, and the ids of the corrupt ones. */
export interface Found<Kind> {
  valid: Kind[]
  corruptIds: string[]
}

/** The changes that a batch stores in one transaction. */
export interface BatchChanges {
  at: Date
  products: readonly ProductChange[]
  newProducts: readonly Product[]
  newReservations: readonly ReservationRecord[]
  /** Orders whose stored reservation is released now. */
  releasedOrderIds: readonly string[]
  ledgerEntries: readonly LedgerEntry[]
  newAnswers: readonly (KeyedAnswer & { id: string })[]
}

/**
 * The books of one product: three independent records of the quantity that was ever put into stock. They are `stock` + `held`,
 * `stocked` and `ledger`. The books balance if all three are equal. The product may be deleted.
 */
export interface ProductBooks {
  productId: string
  isWellFormed: boolean
  version: number
  stock: number
  stocked: number
  /** The quantity that a release of all holds would return. */
  held: number
  /** The quantity that the holds were answered with. It equals `held` unless a reservation contradicts itself. */
  answered: number
  /** The sum of all changes in the ledger. */
  ledger: number
  /** Whether the stored `inStock` is what `stock` says. Lists filter by it. It does not matter for a deleted product. */
  hasRightMark: boolean
}
