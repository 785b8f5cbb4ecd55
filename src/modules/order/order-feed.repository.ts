import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { excluding, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database, SnapshotOptions } from '#kernel/mongo/database.ts'
import { type IndexRange, indexRange } from '#kernel/mongo/index-range.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import { isWellFormed, type OrderDocument, orderCollection, toOrder } from './order-document.repository.ts'
import { ownerOf } from './order-list.repository.ts'
import { followedStatuses, type OrderPage, type OrderQuery } from './order-list.ts'
import { orderTimeoutMs } from './sweep-unfinished-orders.ts'

/** Clocks of replicas and of MongoDB servers may differ by this much. */
const clockToleranceMs = 5_000

/**
 * The longest time between the stamp of a change and its write, plus the tolerance of clocks. A change waits in its queue for at most
 * the time of a request. If its server is dead, the driver notices this after the time of a request plus 5 s. The driver then selects
 * another server within 2 s, waits for a connection for at most the time of a request, and writes within 2 s.
 */
export const feedLagMs = (requestTimeoutMs: number): number =>
  3 * orderTimeoutMs(requestTimeoutMs) + 9_000 + clockToleranceMs

/**
 * The indexes of the feed: of all orders, with the statuses in the feed, and of the orders of one user. The second one has every order:
 * it also serves as the index that begins with the shard key.
 */
export const feedIndexes = {
  ofAll: { updatedAt: 1, _id: 1 },
  ofUser: { userId: 1, updatedAt: 1, _id: 1, status: 1 },
} as const

/** A page examines at most this many orders, so that a filter that few orders match costs no more than a page. */
const maxExaminedOrders = 1_000

export interface FeedQuery extends OrderQuery {
  /** Exclusive. */
  updatedAfter: Date | undefined
}

export type OrderFeed = ReturnType<typeof createOrderFeed>

/**
 * Lists orders by their last change, oldest change first, for clients that follow all changes. Such a client continues after the
 * last row that it got, so a change must not appear before that row later on. Three facts ensure this:
 *
 * 1. A replica stamps a change (`updatedAt`) before it writes the change. So the stamp may be older than the write, by the time of
 *    a request, and by the difference between the clocks of two machines. `lagMs` is longer than both together.
 * 2. A page is read from a snapshot, whose time MongoDB states. The snapshot has every change that was written until that time,
 *    however long replication takes.
 * 3. A page leaves out what was stamped less than `lagMs` before its snapshot. So no later write is stamped with a time that a
 *    page has shown. A change that the page leaves out comes on a later page.
 */
export function createOrderFeed(database: Database, logger: Logger, { lagMs }: { lagMs: number }) {
  const collection = orderCollection(database)
  const indexed = createIndexedReads(database, logger)

  /** @returns the last order that a page may examine, if there are more */
  const readEnd = async (range: IndexRange, snapshot: SnapshotOptions, call: Call) => {
    // The index of the orders of one user has every status.
    const isOfUser = 'userId' in range.index
    const filter = { ...(!isOfUser && { status: { $in: [...followedStatuses] } }), ...range.filter }
    const [end] = await indexed(call, { collection: 'orders', ...range }, (options) =>
      collection
        .find(filter, { ...snapshot, ...options, sort: range.index, skip: maxExaminedOrders - 1, limit: 1 })
        .project<Pick<OrderDocument, '_id' | 'updatedAt'>>({ updatedAt: 1 })
        .toArray(),
    )
    return end && { at: end.updatedAt, id: String(end._id) }
  }

  const readRows = (range: IndexRange, query: FeedQuery, snapshot: SnapshotOptions, call: Call) =>
    withoutCorrupt({ what: 'order', isValid: isWellFormed, logger }, (without) =>
      indexed(call, { collection: 'orders', ...range }, (options) =>
        collection
          .find(excluding({ ...conditionsOf(query), ...range.filter }, without), {
            ...snapshot,
            ...options,
            sort: range.index,
            limit: query.limit + 1,
          })
          .toArray(),
      ),
    )

  return (query: FeedQuery, call: Call): Promise<OrderPage> =>
    database.snapshot('orders.follow', call, async (snapshot, timeOf) => {
      const { userId, updatedAfter, after, limit } = query
      const owner = ownerOf(userId)
      const from = updatedAfter && new Date(updatedAfter.getTime() + 1)
      const request = {
        index: userId === undefined ? feedIndexes.ofAll : feedIndexes.ofUser,
        equal: owner.filter,
        from,
        after,
      }
      const range = indexRange(request)
      if (!range) return { data: [], next: undefined }
      const end = userId !== undefined || isFiltered(query) ? await readEnd(range, snapshot, call) : undefined
      const rows = await readRows(indexRange({ ...request, last: end }) ?? range, query, snapshot, call)
      // The server's time may be ahead of all clocks, because it never goes back.
      const horizon = new Date(Math.min(timeOf().getTime(), Date.now()) - lagMs)
      const settled = rows.filter(({ updatedAt }) => updatedAt <= horizon)
      const data = settled.slice(0, limit).map(toOrder)
      const last = settled.length > limit ? data.at(-1) : undefined
      if (last) return { data, next: { at: last.updatedAt, id: last.orderId } }
      const isEndSettled = end !== undefined && settled.length === rows.length && end.at <= horizon
      return { data, next: isEndSettled ? end : undefined }
    })
}

const isFiltered = ({ statuses, createdFrom, createdUntil }: FeedQuery): boolean =>
  createdFrom !== undefined || createdUntil !== undefined || statuses !== followedStatuses

const conditionsOf = ({ statuses, createdFrom, createdUntil }: FeedQuery) => ({
  status: { $in: [...statuses] },
  ...((createdFrom || createdUntil) && {
    createdAt: { ...(createdFrom && { $gte: createdFrom }), ...(createdUntil && { $lt: createdUntil }) },
  }),
})
