import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { idFormat } from '#kernel/schemas.ts'
import type { Order } from './order.ts'
import { isWellFormed, type OrderDocument, orderCollection, toOrder } from './order-document.repository.ts'
import { type OrderStatus, orderStatuses } from './order-status.ts'

/** Whether this version of the program can read the document as an order. */
const isReadable = (document: OrderDocument): boolean =>
  isWellFormed(document) && orderStatuses.includes(document.status)

/** Unfinished orders are read this many times at most, each time without the malformed ones found before. */
const maxReads = 5

export const isId = (value: string): boolean => idFormat.test(value)

/** Orders, and the ids of documents that cannot be read as orders. */
export interface Scan {
  orders: Order[]
  malformed: string[]
}

export type OrderScans = ReturnType<typeof createOrderScans>

/** Reads the orders of all users, for the sweeper and the audit. On a sharded cluster these reads may visit every shard. */
export function createOrderScans(database: Database) {
  const collection = orderCollection(database)

  /** Reads with the driver, because a query through the schema would not find malformed documents. */
  const scan = async (ids: object, limit: number, call: Call): Promise<Scan> => {
    const documents = await database.run('orders.scan', call, (maxTimeMS) =>
      collection.find(ids, { sort: { _id: 1 }, limit, maxTimeMS }).toArray(),
    )
    const malformed = documents.filter((document) => !isReadable(document))
    return {
      orders: documents.filter(isReadable).map(toOrder),
      malformed: malformed.map(({ _id }) => String(_id)),
    }
  }

  return {
    /** Ids without a stored order are left out. */
    findMany(orderIds: readonly string[], call: Call): Promise<Scan> {
      // An operator's edit may have stored an id as a string.
      const ids = orderIds.flatMap((id) => (isId(id) ? [new Types.ObjectId(id), id] : [id]))
      return scan({ _id: { $in: ids } }, ids.length, call)
    },

    /** A page of all orders in the order of their ids, after the id `after`. */
    byId: (after: string | undefined, limit: number, call: Call) =>
      scan(after === undefined ? {} : { _id: { $gt: new Types.ObjectId(after) } }, limit, call),

    /**
     * The time of the last change of the unfinished order whose lease ends first, whether it has ended or not. Such an order is one
     * of the oldest, because each attempt to finish an order renews its lease.
     */
    async oldestUnfinishedSince(call: Call): Promise<Date | undefined> {
      const filter = { status: { $in: ['pending', 'cancelling'] satisfies OrderStatus[] } }
      const document = await database.run('orders.oldest', call, (maxTimeMS) =>
        collection.findOne(filter, { sort: { leaseUntil: 1 }, projection: { updatedAt: 1 }, maxTimeMS }),
      )
      return document?.updatedAt
    },

    /**
     * Unfinished orders whose lease has ended, those with the earliest end first.
     * @param pendingSince `pending` orders count if their lease ended before this time (epoch milliseconds)
     * @param cancellingSince the same for `cancelling` orders
     */
    async unfinished(
      {
        pendingSince,
        cancellingSince,
        limit,
      }: { pendingSince: number; cancellingSince: number; limit: number },
      call: Call,
    ): Promise<Order[]> {
      const filter: mongoose.mongo.Filter<OrderDocument> = {
        $or: [
          { status: 'pending', leaseUntil: { $lt: new Date(pendingSince) } },
          { status: 'cancelling', leaseUntil: { $lt: new Date(cancellingSince) } },
        ],
      }
      // Malformed orders could fill the whole page. They are left to the audit, and the page is read again without them.
      const without: OrderDocument['_id'][] = []
      for (let read = 1; ; read++) {
        const documents = await database.run('orders.sweep', call, (maxTimeMS) =>
          collection
            .find(without.length > 0 ? { ...filter, _id: { $nin: without } } : filter, {
              sort: { leaseUntil: 1 },
              limit,
              maxTimeMS,
            })
            .toArray(),
        )
        const known = documents.filter(isReadable)
        if (known.length === documents.length || documents.length < limit || read === maxReads) {
          return known.map(toOrder)
        }
        without.push(...documents.filter((document) => !isReadable(document)).map(({ _id }) => _id))
      }
    },
  }
}
