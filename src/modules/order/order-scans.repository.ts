import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '../../kernel/call.ts'
import type { Database } from '../../kernel/mongo.ts'
import { idFormat } from '../../kernel/schemas.ts'
import { isWhole, type OrderDocument, orderModel, orderOf } from './order.repository.ts'
import type { Order } from './order.ts'
import { orderStatuses } from './order-status.ts'

const isKnown = (document: OrderDocument): boolean =>
  isWhole(document) && orderStatuses.includes(document.status)

export const isId = (value: string): boolean => idFormat.test(value)

/** Orders, and the ids of what is among them and cannot be read as one. */
export interface Scan {
  orders: Order[]
  malformed: string[]
}

export type OrderScans = ReturnType<typeof createOrderScans>

/** What goes through everybody's orders, and may visit every shard: the sweeper and the audit. */
export function createOrderScans(database: Database) {
  const orders = orderModel(database)

  /** Past the schema, which would refuse to look for what does not fit it. */
  const scan = async (ids: object, limit: number, call: Call): Promise<Scan> => {
    const documents = await database.run(call, (maxTimeMS) =>
      orders.collection
        .find(ids, { sort: { _id: 1 }, limit, maxTimeMS })
        .map((document) => document as OrderDocument)
        .toArray(),
    )
    const malformed = documents.filter((document) => !isKnown(document))
    return {
      orders: documents.filter(isKnown).map(orderOf),
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
      const filter: mongoose.QueryFilter<OrderDocument> = {
        $or: [
          { status: 'pending', leaseUntil: { $lt: new Date(pendingSince) } },
          { status: 'cancelling', leaseUntil: { $lt: new Date(cancellingSince) } },
        ],
      }
      const documents = await database.run(call, (maxTimeMS) =>
        orders.find(filter).sort({ leaseUntil: 1 }).limit(limit).maxTimeMS(maxTimeMS).lean(),
      )
      // One that somebody has spoilt is the audit's; it must not keep the others waiting.
      return documents.filter(isKnown).map(orderOf)
    },
  }
}
