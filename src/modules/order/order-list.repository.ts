import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { excluding, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { type IndexRange, indexRange } from '#kernel/mongo/index-range.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import type { Order } from './order.ts'
import { isWellFormed, type OrderDocument, orderCollection, toOrder } from './order-document.repository.ts'
import { listedStatuses, type OrderQuery } from './order-list.ts'

type Filter = mongoose.mongo.Filter<OrderDocument>

/** The filter for the owner, and the field with which an index of the orders of one user begins. */
export const ownerOf = (
  userId: string | undefined,
): { filter: { userId?: Types.ObjectId }; field: Readonly<Record<string, 1>> } =>
  userId === undefined
    ? { filter: {}, field: {} }
    : { filter: { userId: new Types.ObjectId(userId) }, field: { userId: 1 } }

/** Lists orders, newest first. */
export function createOrderList(database: Database, logger: Logger) {
  const collection = orderCollection(database)
  const indexed = createIndexedReads(database, logger)

  return async (query: OrderQuery, call: Call): Promise<Order[]> => {
    const read = readOf(query)
    if (!read) return []
    const { filter, sort, ...source } = read
    const documents = await withoutCorrupt({ what: 'order', isValid: isWellFormed, logger }, (without) =>
      indexed(call, { collection: 'orders', ...source }, (options) =>
        collection
          .find(excluding(filter, without), {
            ...options,
            sort,
            limit: query.limit,
          })
          .toArray(),
      ),
    )
    return documents.map(toOrder)
  }
}

interface Read extends Pick<IndexRange, 'index'>, Partial<Pick<IndexRange, 'bounds'>> {
  filter: Filter
  sort: IndexRange['index']
}

const newestFirst = { createdAt: -1, _id: -1 } as const

/** @returns undefined if no order can match */
function readOf(query: OrderQuery): Read | undefined {
  const { userId, statuses, createdFrom: from, createdUntil: until, after } = query
  const owner = ownerOf(userId)
  const [status, ...others] = statuses
  const isDefault =
    statuses.length === listedStatuses.length && listedStatuses.every((each) => statuses.includes(each))
  if (!isDefault && others.length > 0) return mergedRead(query)
  const range = indexRange({
    index: { ...owner.field, ...(!isDefault && { status: 1 as const }), ...newestFirst },
    equal: { ...owner.filter, ...(!isDefault && { status }) },
    from,
    until,
    after,
  })
  return (
    range && {
      ...range,
      filter: { status: { $in: [...statuses] }, ...range.filter },
      sort: range.index,
    }
  )
}

/**
 * Reads several statuses: MongoDB merges their ranges of the index in order. A page after a row that shares its time needs two
 * ranges for each status, because with one, MongoDB would read all rows with this time again.
 */
function mergedRead({ userId, statuses, createdFrom, createdUntil, after }: OrderQuery): Read {
  const owner = ownerOf(userId)
  const index = { ...owner.field, status: 1, ...newestFirst } as const
  const from = createdFrom && { $gte: createdFrom }
  const all = { ...owner.filter, status: { $in: [...statuses] } }
  if (!after) {
    const times = { ...from, ...(createdUntil && { $lt: createdUntil }) }
    const filter = { ...all, ...((createdFrom || createdUntil) && { createdAt: times }) }
    return { index, sort: newestFirst, filter }
  }
  const _id = new Types.ObjectId(after.id)
  if (after.isAlone) {
    const filter = { ...all, createdAt: { ...from, $lte: after.at }, _id: { $ne: _id } }
    return { index, sort: newestFirst, filter }
  }
  // Each range states the whole condition. With a common part beside `$or`, MongoDB would read equal times again, or sort.
  const ranges = [{ createdAt: { ...from, $lt: after.at } }, { createdAt: after.at, _id: { $lt: _id } }]
  const filter = {
    $or: statuses.flatMap((status) => ranges.map((range) => ({ ...owner.filter, status, ...range }))),
  }
  return { index, sort: newestFirst, filter }
}
