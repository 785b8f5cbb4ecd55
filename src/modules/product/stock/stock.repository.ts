import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import type { HoldPosition } from '../contract.ts'
import { stockModels } from './stock-documents.repository.ts'
import { createStockReads, type StockReads } from './stock-reads.repository.ts'
import { createStockTransaction, type StockTransaction } from './stock-writes.repository.ts'

/** The index of the holds in the order in which they were made. */
export const holdsByTime = { createdAt: 1, _id: 1 } as const

export interface StockRepository {
  newId(): string
  /** Reads outside a transaction. */
  reads(call: Call): StockReads
  /** @see Database.transaction */
  transaction<T>(
    call: Call,
    work: (transaction: StockTransaction) => Promise<T>,
    startCommitWithinMs?: number,
  ): Promise<T>
  /** @see ProductPort.holdsByTime */
  listHoldsByTime(
    request: { after: HoldPosition | undefined; until: number; limit: number },
    call: Call,
  ): Promise<HoldPosition[]>
  /** Lists the ids of orders that hold stock, in ascending order, from the first one after `after`. */
  listHolds(after: string | undefined, limit: number, call: Call): Promise<string[]>
}

/** Stores stock, reservations, the ledger and the answers to keyed stock changes. Every write is part of a transaction. */
export function createStockRepository(database: Database): StockRepository {
  const models = stockModels(database)
  return {
    newId: () => new Types.ObjectId().toHexString(),

    reads: (call) =>
      createStockReads(models, (read) =>
        database.run('stock.find', call, (maxTimeMS) => read({ maxTimeMS })),
      ),

    transaction: (call, work, startCommitWithinMs) =>
      database.transaction(
        'stock.transaction',
        call,
        (session, maxTimeMS) => work(createStockTransaction(models, { session, maxTimeMS })),
        startCommitWithinMs,
      ),

    async listHoldsByTime({ after, until, limit }, call) {
      const from = new Date(after?.heldAt ?? 0)
      const filter = {
        state: 'held' as const,
        createdAt: { $gte: from, $lt: new Date(until) },
        // A corrupt reservation may have an id of another type.
        _id: { $type: 'objectId' as const },
        ...(after && { $or: [{ createdAt: { $gt: from } }, { _id: { $gt: after.orderId } }] }),
      }
      const documents = await database.run('reservations.byTime', call, (maxTimeMS) =>
        models.reservations
          .find(filter, { createdAt: 1 })
          .sort(holdsByTime)
          .limit(limit)
          .maxTimeMS(maxTimeMS)
          .lean(),
      )
      return documents.map(({ _id, createdAt }) => ({
        orderId: _id.toHexString(),
        heldAt: createdAt.getTime(),
      }))
    },

    async listHolds(after, limit, call) {
      // A corrupt reservation may have an id of another type.
      const _id = { $type: 'objectId' as const, ...(after !== undefined && { $gt: after }) }
      const documents = await database.run('reservations.list', call, (maxTimeMS) =>
        models.reservations
          .find({ state: 'held' as const, _id }, { _id: 1 })
          .sort({ _id: 1 })
          .limit(limit)
          .maxTimeMS(maxTimeMS)
          .lean(),
      )
      return documents.map(({ _id }) => _id.toHexString())
    },
  }
}
