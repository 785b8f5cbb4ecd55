import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import type { Order, Position } from './order.ts'
import { isWellFormed, type OrderDocument, orderCollection, toOrder } from './order-document.repository.ts'
import type { OrderStatus } from './order-status.ts'

export interface OrderQuery {
  /** If undefined, the orders of all users are listed. */
  userId: string | undefined
  statuses: readonly OrderStatus[]
  /** The position of the last row of the previous page. */
  after: Position | undefined
  limit: number
}

const newestFirst = { createdAt: -1, _id: -1 } as const

/** Lists orders, newest first. */
export function createOrderList(database: Database, logger: Logger) {
  const collection = orderCollection(database)
  const indexed = createIndexedReads(database, logger)

  return async (query: OrderQuery, call: Call): Promise<Order[]> => {
    const filter = filterOf(query)
    // Without a hint, MongoDB would weigh every other index for each range of the filter.
    const index = {
      ...(query.userId !== undefined && { userId: 1 as const }),
      status: 1 as const,
      ...newestFirst,
    }
    const documents = await withoutCorrupt({ what: 'order', isValid: isWellFormed, logger }, (without) =>
      indexed(call, { collection: 'orders', index }, (options) =>
        collection
          .find(without.length > 0 ? { $and: [filter, { _id: { $nin: without } }] } : filter, {
            ...options,
            sort: newestFirst,
            limit: query.limit,
          })
          .toArray(),
      ),
    )
    return documents.map(toOrder)
  }
}

function filterOf({ userId, statuses, after }: OrderQuery): mongoose.mongo.Filter<OrderDocument> {
  const owner = userId === undefined ? {} : { userId: new Types.ObjectId(userId) }
  const all = { ...owner, status: { $in: [...statuses] } }
  if (!after) return all
  const { createdAt, orderId, isAlone } = after
  const _id = new Types.ObjectId(orderId)
  // One index range for each status, merged in order. The filter excludes the row that the previous page ended with.
  if (isAlone) return { ...all, createdAt: { $lte: createdAt }, _id: { $ne: _id } }
  // Rows with the same time as the previous page's last row need two index ranges for each status. The condition is
  // repeated in full for each range: with a common part beside `$or`, MongoDB would read equal times again, or sort.
  const ranges = [{ createdAt: { $lt: createdAt } }, { createdAt, _id: { $lt: _id } }]
  return { $or: statuses.flatMap((status) => ranges.map((range) => ({ ...owner, status, ...range }))) }
}
