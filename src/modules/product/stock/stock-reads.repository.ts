import type { ClientSession } from 'mongoose'
import { findProducts, isWellFormed, toProduct } from '../product-document.repository.ts'
import type { Found, KeyedAnswer, ReservationRecord, StoredProduct } from './stock.ts'
import {
  isWellFormedAnswer,
  isWellFormedReservation,
  type StockModels,
  toKeyedAnswer,
  toReservationRecord,
} from './stock-documents.repository.ts'

/** Reads of stock documents by their ids. An id without a document is left out. */
export type StockReads = ReturnType<typeof createStockReads>

interface ReadOptions {
  session?: ClientSession
  maxTimeMS: number
}

/**
 * Creates the reads, inside or outside a transaction.
 * @param run calls a read with its options
 */
export function createStockReads(
  models: StockModels,
  run: <Documents>(read: (options: ReadOptions) => Promise<Documents>) => Promise<Documents>,
) {
  return {
    async reservations(orderIds: readonly string[]): Promise<Found<ReservationRecord>> {
      const documents = await run((options) =>
        models.reservations.find({ _id: { $in: [...orderIds] } }, null, options).lean(),
      )
      return separateCorrupt(documents, isWellFormedReservation, toReservationRecord)
    },

    async products(productIds: readonly string[]): Promise<Found<StoredProduct>> {
      const readAtMs = performance.now()
      const documents = await run((options) => findProducts(models.products.db, productIds, options))
      return separateCorrupt(documents, isWellFormed, (document) => ({
        ...toProduct(document),
        deleted: document.deleted,
        readAtMs,
      }))
    },

    async keyedAnswers(ids: readonly string[]): Promise<Found<KeyedAnswer & { id: string }>> {
      const documents = await run((options) =>
        models.answers.find({ _id: { $in: [...ids] } }, null, options).lean(),
      )
      return separateCorrupt(documents, isWellFormedAnswer, toKeyedAnswer)
    },
  }
}

function separateCorrupt<Document extends { _id: unknown }, Kind>(
  documents: readonly Document[],
  isValid: (document: Document) => boolean,
  convert: (document: Document) => Kind,
): Found<Kind> {
  const corruptIds = documents.filter((document) => !isValid(document)).map(({ _id }) => String(_id))
  return { valid: documents.filter(isValid).map(convert), corruptIds }
}
