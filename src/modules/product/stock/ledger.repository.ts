import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { excluding, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { indexRange, type Place } from '#kernel/mongo/index-range.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import type { StockChangeRecord } from './stock.ts'
import { isWellFormedEntry, ledgerCollection, toStockChangeRecord } from './stock-documents.repository.ts'

export interface LedgerQuery {
  productId: string
  after: Place | undefined
  limit: number
}

const index = { productId: 1, at: -1, _id: -1 } as const

export type Ledger = ReturnType<typeof createLedger>

/** Lists the entries of a product in the stock ledger, newest first. The product may be deleted. */
export function createLedger(database: Database, logger: Logger) {
  const collection = ledgerCollection(database)
  const indexed = createIndexedReads(database, logger)

  return async ({ productId, after, limit }: LedgerQuery, call: Call): Promise<StockChangeRecord[]> => {
    const range = indexRange({ index, equal: { productId: new Types.ObjectId(productId) }, after })
    if (!range) return []
    const { filter } = range
    const entries = await withoutCorrupt(
      { what: 'ledger entry', isValid: isWellFormedEntry, logger },
      (without) =>
        indexed(call, { collection: 'stockLedger', ...range }, (options) =>
          collection
            .find(excluding(filter, without), {
              ...options,
              sort: index,
              limit,
            })
            .toArray(),
        ),
    )
    return entries.map(toStockChangeRecord)
  }
}
