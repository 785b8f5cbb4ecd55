import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import { batched } from '#kernel/batching.ts'
import { type Call, shortenDeadline } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isDuplicateId, isDuplicateKey } from '#kernel/mongo/errors.ts'
import { sendWrites } from '#kernel/mongo/plain-commands.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import { splitOnFailure } from '#kernel/split-on-failure.ts'
import type { HeldLine, Line, Rejection } from '../product/contract.ts'
import type { Order, StatusChange } from './order.ts'
import {
  type CompareAndSet,
  createCompareAndSet,
  maxLinesPerCommand,
  maxWaitingOrders,
  type OrderChange,
  writeErrorOf,
  writeTimeoutMs,
} from './order-changes.repository.ts'
import {
  type OrderDocument,
  orderModel,
  readOrder,
  readStatusChanges,
  toOrder,
} from './order-document.repository.ts'
import { createOrderList } from './order-list.repository.ts'
import type { OrderStatus } from './order-status.ts'
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

export interface NewOrder extends OrderIdentity {
  key: string | undefined
  lines: readonly Line[]
  linesHash: string
  leaseUntil: number
}

export type OrderRepository = ReturnType<typeof createOrderRepository>

/**
 * Stores orders. Every change of an order is a compare-and-set on the order as the caller read it, and returns undefined
 * if another process changed the order first.
 */
export function createOrderRepository(database: Database, logger: Logger) {
  const count = createTransitionCount(database.metrics)
  return {
    newId,
    insert: createInsert(database, count),
    ...createReads(database),
    list: createOrderList(database, logger),
    ...createTransitions(createCompareAndSet(database), count),
  }
}

const newId = (): string => new Types.ObjectId().toHexString()

/** Inserts that wait are sent to MongoDB in one command. */
function createInsert(database: Database, count: ReturnType<typeof createTransitionCount>) {
  const orders = orderModel(database)
  const insert = batched<OrderDocument, Order | undefined>(
    {
      name: 'the orders to be stored',
      maxConcurrent: 2,
      maxWaiting: maxWaitingOrders,
      maxBatchWeight: maxLinesPerCommand,
      weightOf: ({ lines }) => lines.length,
      metrics: batchMetrics(database.metrics, 'orders.insert'),
    },
    splitOnFailure(async (batch, call) => {
      const documents = batch.map(({ request }) => request)
      const { failures } = await database.run(
        'orders.insert',
        shortenDeadline(call, writeTimeoutMs),
        (maxTimeMS) =>
          sendWrites(
            database.connection,
            { insert: orders.collection.name, documents },
            { maxTimeMS, ordered: false },
          ),
      )
      return documents.map((document, at) => {
        const failure = failures.get(at)
        // A duplicate of the same id means that an earlier attempt stored the order, and that its answer came too late.
        if (!failure || isDuplicateId(failure)) return toOrder(document)
        return isDuplicateKey(failure) ? undefined : writeErrorOf(failure)
      })
    }),
  )
  /** @returns undefined if the user already has an order with this key */
  return async (order: NewOrder, call: Call): Promise<Order | undefined> => {
    const inserted = await insert(pendingDocument(order), call)
    if (inserted) count('new', 'pending')
    return inserted
  }
}

function pendingDocument({ orderId, userId, key, lines, linesHash, leaseUntil }: NewOrder): OrderDocument {
  const at = new Date()
  return {
    _id: new Types.ObjectId(orderId),
    userId: new Types.ObjectId(userId),
    ...(key !== undefined && { key }),
    lines: lines.map((line) => ({ ...line, name: null, price: null })),
    totalAmount: null,
    linesHash,
    leaseUntil: new Date(leaseUntil),
    status: 'pending',
    version: 1,
    createdAt: at,
    updatedAt: at,
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
    async find(scope: OrderScope, call: Call): Promise<Order | undefined> {
      const document = await findDocument(scope, call)
      return document ? readOrder(document) : undefined
    },

    /** All statuses that the order has had, oldest first. */
    async statusChanges(scope: OrderScope, call: Call): Promise<StatusChange[] | undefined> {
      const document = await findDocument(scope, call)
      return document ? readStatusChanges(document) : undefined
    },

    /**
     * Reads the order as the latest acknowledged write left it, after a compare-and-set was lost.
     * @param isFinal whether the caller's answer from such an order never changes, so that an older state is good enough
     */
    findLatest: ({ orderId, userId }: OrderIdentity, isFinal: (order: Order) => boolean, call: Call) =>
      findLatest({ userId, _id: orderId }, isFinal, call),

    /** Reads the user's order with this key. It may have changed, or have been stored, since. */
    findByKey: (userId: string, key: string, call: Call) => findOne({ userId, key }, 'majority', call),

    /** Reads the user's order with this key. @see findLatest */
    findLatestByKey: (userId: string, key: string, isFinal: (order: Order) => boolean, call: Call) =>
      findLatest({ userId, key }, isFinal, call),
  }
}

function createTransitions(compareAndSet: CompareAndSet, count: ReturnType<typeof createTransitionCount>) {
  /** Changes the status, which makes a new version. */
  const step = async (
    order: Order,
    expected: OrderChange['expected'],
    changes: Partial<Order> & { status: OrderStatus },
    by: string,
    call: Call,
    at = new Date(),
  ) => {
    // The clock of another replica may be ahead of this one.
    const updatedAt = order.updatedAt > at ? order.updatedAt : at
    const next = { ...order, ...changes, version: order.version + 1, updatedAt }
    const changed = await compareAndSet({ stepId: newId(), statusChangedBy: by, expected, next }, call)
    if (changed) count(order.status, changes.status)
    return changed
  }

  return {
    /** Renews the lease of an unfinished order. Of several processes that read the same lease, one succeeds. */
    takeOver: (order: Order, leaseUntil: number, call: Call) =>
      compareAndSet(
        {
          stepId: newId(),
          statusChangedBy: undefined,
          expected: matchesLease(order),
          next: { ...order, leaseUntil },
        },
        call,
      ),

    /** Only requests of the owner confirm and reject an order. */
    confirm: (order: Order, held: readonly HeldLine[], currency: string, call: Call) => {
      const now = new Date()
      const at = order.updatedAt > now ? order.updatedAt : now
      return step(
        order,
        matchesVersion(order, 'pending'),
        {
          status: 'confirmed',
          lines: [...held],
          currency,
          totalAmount: held.reduce((sum, line) => sum + line.price * line.quantity, 0),
          confirmation: { at, version: order.version + 1 },
        },
        order.userId,
        call,
        at,
      )
    },

    reject: (order: Order, rejection: Rejection, call: Call) =>
      step(order, matchesVersion(order, 'pending'), { status: 'rejected', rejection }, order.userId, call),

    beginCancelling: (order: Order, leaseUntil: number, by: string, call: Call) =>
      step(
        order,
        matchesVersion(order, 'pending', 'confirmed'),
        { status: 'cancelling', leaseUntil },
        by,
        call,
      ),

    /** Begins to cancel an abandoned `pending` order. Unlike a client's cancellation, an undo frees the key in the end. */
    beginUndo: (order: Order, leaseUntil: number, by: string, call: Call) =>
      step(order, matchesLease(order), { status: 'cancelling', leaseUntil, isUndone: true }, by, call),

    finishCancelling: (order: Order, by: string, call: Call) =>
      step(
        order,
        matchesVersion(order, 'cancelling'),
        { status: 'cancelled', ...(order.isUndone && { key: undefined }) },
        by,
        call,
      ),

    advance: (order: Order, to: 'shipped' | 'delivered', by: string, call: Call) =>
      step(order, matchesVersion(order, order.status), { status: to }, by, call),
  }
}

const matchesVersion = (
  { version }: Order,
  ...statuses: OrderStatus[]
): mongoose.mongo.Filter<OrderDocument> => ({
  status: { $in: statuses },
  version,
})

const matchesLease = ({ status, leaseUntil }: Order): mongoose.mongo.Filter<OrderDocument> => ({
  status,
  leaseUntil: new Date(leaseUntil),
})
