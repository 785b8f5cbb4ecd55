import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { idFormat } from '#kernel/schemas.ts'
import type { Order } from './order.ts'
import { isWellFormed, type OrderDocument, orderCollection, toOrder } from './order-document.repository.ts'
import { orderStatuses } from './order-status.ts'

const isKnown = (document: OrderDocument): boolean =>
  isWellFormed(document) && orderStatuses.includes(document.status)

// How often unfinished orders are read again without what is spoilt.
const mostRounds = 5

export const isId = (value: string): boolean => idFormat.test(value)

/** Orders, and the ids of what is among them and cannot be read as one. */
export interface Scan {
  orders: Order[]
  malformed: string[]
}

export type OrderScans = ReturnType<typeof createOrderScans>

/** What goes through everybody's orders, and may visit every shard: the sweeper and the audit. */
export function createOrderScans(database: Database) {
  const collection = orderCollection(database)

  /** Past the schema, which would refuse to look for what does not fit it. */
  const scan = async (ids: object, limit: number, call: Call): Promise<Scan> => {
    const documents = await database.run(call, (maxTimeMS) =>
      collection.find(ids, { sort: { _id: 1 }, limit, maxTimeMS }).toArray(),
    )
    const malformed = documents.filter((document) => !isKnown(document))
    return {
      orders: documents.filter(isKnown).map(toOrder),
      malformed: malformed.map(({ _id }) => String(_id)),
    }
  }

  return {
    /** Those of the orders that exist, whoever's they are. */
    findMany(orderIds: readonly string[], call: Call): Promise<Scan> {
      // As the ids that they should be, and as whatever else somebody may have put there.
      const ids = orderIds.flatMap((id) => (isId(id) ? [new Types.ObjectId(id), id] : [id]))
      return scan({ _id: { $in: ids } }, ids.length, call)
    },

    /** Everybody's orders by id, from behind `after` on. */
    byId: (after: string | undefined, limit: number, call: Call) =>
      scan(after === undefined ? {} : { _id: { $gt: new Types.ObjectId(after) } }, limit, call),

    /**
     * Orders that nobody is at work on any more, those that have waited longest first.
     * @param pendingSince epoch milliseconds: `pending` ones whose lease ended before
     * @param cancellingSince the same of `cancelling` ones
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
      // A spoilt order is the audit's. The orders are read again without the spoilt ones, which would hide the others.
      const without: OrderDocument['_id'][] = []
      for (let round = 1; ; round++) {
        const documents = await database.run(call, (maxTimeMS) =>
          collection
            .find(without.length > 0 ? { ...filter, _id: { $nin: without } } : filter, {
              sort: { leaseUntil: 1 },
              limit,
              maxTimeMS,
            })
            .toArray(),
        )
        const known = documents.filter(isKnown)
        if (known.length === documents.length || documents.length < limit || round === mostRounds) {
          return known.map(toOrder)
        }
        without.push(...documents.filter((document) => !isKnown(document)).map(({ _id }) => _id))
      }
    },
  }
}
