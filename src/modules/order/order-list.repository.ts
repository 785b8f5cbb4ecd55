import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { excluding, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { indexRange } from '#kernel/mongo/index-range.ts'
import { createIndexScan } from '#kernel/mongo/index-scan.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import type { Order } from './order.ts'
import { isWellFormed, type OrderDocument, orderCollection, toOrder } from './order-document.repository.ts'
import { isNewer, listedStatuses, type OrderPage, type OrderQuery, type Position } from './order-list.ts'
import { type OrderStatus, orderStatuses } from './order-status.ts'

type Filter = mongoose.mongo.Filter<OrderDocument>

/** The filter for the owner, and the field with which an index of the orders of one user begins. */
export const ownerOf = (
  userId: string | undefined,
): { filter: { userId?: Types.ObjectId }; field: Readonly<Record<string, 1>> } =>
  userId === undefined
    ? { filter: {}, field: {} }
    : { filter: { userId: new Types.ObjectId(userId) }, field: { userId: 1 } }

const newestFirst = { createdAt: -1, _id: -1 } as const

/**
 * The indexes of the lists, each for all users and, with `userId` first, for one user. Neither costs an order that is placed more
 * than one entry: a confirmed order is only in the first one, and a rejected order only in the second one.
 */
export const listIndexes = {
  /** Of `listedStatuses`. The status comes last, so that entries can be filtered by it. */
  newest: { ...newestFirst, status: 1 },
  /** Of `setAsideStatuses`. The direction of the status tells the index from one of earlier versions, which has every status. */
  setAside: { status: -1, ...newestFirst },
} as const

/** The statuses off the way of an order to its delivery. Each of them has a range of an index of its own. */
export const setAsideStatuses: readonly OrderStatus[] = ['pending', 'cancelling', 'cancelled', 'rejected']

/** Rows of a list, newest first. */
interface Part {
  orders: Order[]
  /** The part has all rows up to this place only. Undefined if it has all rows. */
  end: Position | undefined
}

/**
 * Lists orders, newest first.
 *
 * - Without a filter by status, a page is one range of an index.
 * - By statuses that are set aside, a page is made from one range for each status.
 * - By other statuses, the entries of the index of all listed orders are filtered. Their number is limited, so that a page may be short
 *   or empty although more rows follow.
 */
export function createOrderList(database: Database, logger: Logger) {
  const collection = orderCollection(database)
  const indexed = createIndexedReads(database, logger)
  const readScan = createIndexScan(database, collection, indexed)
  const whole = { what: 'order', isValid: isWellFormed, logger }

  const readRange = async (
    index: Readonly<Record<string, 1 | -1>>,
    equal: Filter,
    status: Filter,
    { userId, createdFrom: from, createdUntil: until, after, limit }: OrderQuery,
    call: Call,
  ): Promise<Part> => {
    const owner = ownerOf(userId)
    const range = indexRange({
      index: { ...owner.field, ...index },
      equal: { ...owner.filter, ...equal },
      from,
      until,
      after,
    })
    if (!range) return { orders: [], end: undefined }
    const documents = await withoutCorrupt(whole, (without) =>
      indexed(call, { collection: 'orders', ...range }, (options) =>
        collection
          .find(excluding({ ...status, ...range.filter }, without), {
            ...options,
            sort: range.index,
            // The additional row only shows that there is a next page.
            limit: limit + 1,
          })
          .toArray(),
      ),
    )
    const orders = documents.map(toOrder)
    const last = orders.at(-1)
    return { orders, end: orders.length > limit && last ? positionOf(last) : undefined }
  }

  const readListed = (query: OrderQuery, call: Call) =>
    readRange(listIndexes.newest, {}, { status: { $in: [...listedStatuses] } }, query, call)

  const readSetAside = (status: OrderStatus, query: OrderQuery, call: Call) =>
    readRange(listIndexes.setAside, { status }, {}, query, call)

  const readFiltered = async (query: OrderQuery, call: Call): Promise<Part> => {
    const owner = ownerOf(query.userId)
    const scan = {
      index: { ...owner.field, ...listIndexes.newest },
      shard: owner.filter,
      sort: newestFirst,
      residual: { status: { $in: [...query.statuses] } },
      limit: query.limit,
    }
    let page: Awaited<ReturnType<typeof readScan>> = { rows: [], end: undefined }
    await withoutCorrupt(whole, async (without) => {
      page = await readScan({ ...scan, ranges: rangesOf(query, without) }, call)
      return page.end ? [...page.rows, page.end] : page.rows
    })
    return { orders: page.rows.map(toOrder), end: page.end && positionOf(toOrder(page.end)) }
  }

  return async (query: OrderQuery, call: Call): Promise<OrderPage> => {
    const { statuses, limit } = query
    const isDefault =
      statuses.length === listedStatuses.length && listedStatuses.every((each) => statuses.includes(each))
    if (isDefault) return pageOf([await readListed(query, call)], limit)
    const isSetAside = statuses.every((status) => setAsideStatuses.includes(status))
    const parts = isSetAside ? [] : [await readFiltered(query, call)]
    // One after the other, in the order that the statuses of an order have: an order that moves on meanwhile is found at least once.
    for (const status of orderStatuses) {
      const isOwnPart = isSetAside || !listedStatuses.includes(status)
      if (isOwnPart && statuses.includes(status)) parts.push(await readSetAside(status, query, call))
    }
    return pageOf(parts, limit)
  }
}

const positionOf = ({ createdAt: at, orderId: id }: Order): Position => ({ at, id })

/** Makes a page from parts that each begin at the start of the page. */
function pageOf(parts: readonly Part[], limit: number): OrderPage {
  const byId = new Map(parts.flatMap(({ orders }) => orders.map((order) => [order.orderId, order])))
  const orders = [...byId.values()].sort((one, other) =>
    isNewer(positionOf(one), positionOf(other)) ? -1 : 1,
  )
  const [end] = parts.flatMap((part) => part.end ?? []).sort((one, other) => (isNewer(one, other) ? -1 : 1))
  const complete = end ? orders.filter((order) => !isNewer(end, positionOf(order))) : orders
  const data = complete.slice(0, limit)
  const last = data.at(-1)
  return { data, next: complete.length > limit && last ? positionOf(last) : end }
}

const minId = new Types.ObjectId('0'.repeat(24))

/**
 * The ranges of the index of listed orders, in order. After a position they are two: the rows with the same time, and the rest.
 * Each field has a range of its own type, without which MongoDB would read documents to filter it.
 */
function rangesOf(
  { userId, createdFrom, createdUntil, after }: OrderQuery,
  without: Types.ObjectId[],
): Filter[] {
  const all = { ...ownerOf(userId).filter, status: { $in: [...listedStatuses] } }
  const times = { $gte: createdFrom ?? new Date(0), ...(createdUntil && { $lt: createdUntil }) }
  const ids = { $gte: minId, ...(without.length > 0 && { $nin: without }) }
  if (!after) return [{ ...all, createdAt: times, _id: ids }]
  return [
    { ...all, createdAt: after.at, _id: { ...ids, $lt: new Types.ObjectId(after.id) } },
    { ...all, createdAt: { ...times, $lt: after.at }, _id: ids },
  ]
}
