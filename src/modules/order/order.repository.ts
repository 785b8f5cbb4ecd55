import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Database } from '#kernel/mongo/database.ts'
import type { Order, StatusChange } from './order.ts'
import { createCompareAndSet } from './order-changes.repository.ts'
import { orderModel, readOrder, readStatusChanges } from './order-document.repository.ts'
import { createInsert } from './order-inserts.repository.ts'
import { createOrderList } from './order-list.repository.ts'
import { createTransitions, newId } from './order-transitions.repository.ts'
import { createTransitionCount } from './transition-count.ts'

export interface OrderIdentity {
  orderId: string
  userId: string
}

/** An order of any user, or only of this user. */
export interface OrderScope {
  orderId: string
  userId?: string
}

export type OrderRepository = ReturnType<typeof createOrderRepository>

/** Stores orders. */
export function createOrderRepository(database: Database, logger: Logger) {
  const count = createTransitionCount(database.metrics)
  return {
    newId,
    insert: createInsert(database, count),
    ...createReads(database),
    ...createLatestReads(database),
    list: createOrderList(database, logger),
    expireRejected: createExpiry(database),
    ...createTransitions(createCompareAndSet(database), count),
  }
}

function createExpiry(database: Database) {
  const orders = orderModel(database)
  /**
   * Deletes a rejected order that MongoDB would delete soon (RETENTION).
   * @returns false if the order has expired, even if another request has used the id since
   */
  return async ({ orderId, userId, updatedAt }: Order, call: Call): Promise<boolean> => {
    const filter = { userId, _id: orderId, updatedAt, status: 'rejected' as const }
    const { deletedCount } = await database.run('orders.expire', call, (maxTimeMS) =>
      orders.deleteOne(filter, { maxTimeMS }),
    )
    return deletedCount === 1
  }
}

function createReads(database: Database) {
  const orders = orderModel(database)

  const findDocument = ({ orderId, userId }: OrderScope, call: Call) => {
    const filter = { ...(userId !== undefined && { userId }), _id: orderId }
    return database.run('orders.find', call, (maxTimeMS) =>
      orders.findOne(filter).maxTimeMS(maxTimeMS).lean(),
    )
  }

  return {
    async find(scope: OrderScope, call: Call): Promise<Order | undefined> {
      const document = await findDocument(scope, call)
      return document ? readOrder(document) : undefined
    },

    /** The statuses of those orders that exist. On a sharded cluster this read may visit every shard. */
    async findStatuses(orderIds: readonly string[], call: Call): Promise<Map<string, string>> {
      const documents = await database.run('orders.findStatuses', call, (maxTimeMS) =>
        orders
          .find({ _id: { $in: [...orderIds] } }, { status: 1 })
          .maxTimeMS(maxTimeMS)
          .lean(),
      )
      return new Map(documents.map(({ _id, status }) => [_id.toHexString(), status]))
    },

    /** All statuses that the order has had, oldest first. */
    async statusChanges(scope: OrderScope, call: Call): Promise<StatusChange[] | undefined> {
      const document = await findDocument(scope, call)
      return document ? readStatusChanges(document) : undefined
    },
  }
}

/** Reads for requests and compare-and-sets whose answer must not be older than an acknowledged write. */
function createLatestReads(database: Database) {
  const orders = orderModel(database)

  const findOne = async (
    filter: { userId: string } & ({ _id: string } | { key: string }),
    level: 'majority' | 'linearizable',
    call: Call,
  ): Promise<Order | undefined> => {
    const document = await database.run('orders.find', call, (maxTimeMS) =>
      orders.findOne(filter).read('primary').readConcern(level).maxTimeMS(maxTimeMS).lean(),
    )
    return document ? readOrder(document) : undefined
  }

  /**
   * A linearizable read sees every write that any server acknowledged before the read began. It is slow, because it also
   * writes: on a single server it waits for the next write to the journal (100 ms by default). A majority read may return an
   * older state, which is good enough if the caller's answer from that state never changes.
   */
  const findLatest = async (
    filter: Parameters<typeof findOne>[0],
    isFinal: (order: Order) => boolean,
    call: Call,
  ): Promise<Order | undefined> => {
    const order = await findOne(filter, 'majority', call)
    return order && isFinal(order) ? order : findOne(filter, 'linearizable', call)
  }

  return {
    /**
     * Reads the order as the latest acknowledged write left it, after a compare-and-set was lost or an insert was refused.
     * @param isFinal whether the caller's answer from such an order never changes, so that an older state is good enough
     */
    findLatest: ({ orderId, userId }: OrderIdentity, isFinal: (order: Order) => boolean, call: Call) =>
      findLatest({ userId, _id: orderId }, isFinal, call),

    /** Returns those of the user's orders with these ids that the sweeper has undone, and whose key is free again. */
    async undoneAmong(userId: string, orderIds: readonly string[], call: Call): Promise<Set<string>> {
      const filter = { userId, _id: { $in: [...orderIds] }, status: 'cancelled' as const, undo: true }
      const found = await database.run('orders.findUndone', call, (maxTimeMS) =>
        orders.find(filter, { _id: 1 }).maxTimeMS(maxTimeMS).lean(),
      )
      return new Set(found.map(({ _id }) => _id.toHexString()))
    },

    /** Reads the user's order with this key. It may have changed, or have been stored, since. */
    findByKey: (userId: string, key: string, call: Call) => findOne({ userId, key }, 'majority', call),

    /** Reads the user's order with this key. @see findLatest */
    findLatestByKey: (userId: string, key: string, isFinal: (order: Order) => boolean, call: Call) =>
      findLatest({ userId, key }, isFinal, call),
  }
}
