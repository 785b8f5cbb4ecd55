import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import { batched, orAlone } from '#kernel/batching.ts'
import { type Call, shortened } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import { corruptDocument, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { bulkWriteFailures, isDuplicateId, isDuplicateKey, isUnavailable } from '#kernel/mongo/errors.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import { insertMany, strictSchema } from '#kernel/mongo/inserts.ts'
import type { HeldLine, Line, Rejection } from '../product/contract.ts'
import type { Order, OrderLine, Position } from './order.ts'

import { type OrderStatus, orderStatuses } from './order-status.ts'

export interface OrderDocument {
  _id: Types.ObjectId
  userId: Types.ObjectId
  key?: string
  linesHash: string
  lines: OrderLine[]
  totalAmount: number | null
  status: OrderStatus
  version: number
  leaseUntil: Date
  undo?: boolean
  /** Every change of status that took effect, the oldest first. Orders from before there was this field lack some. */
  steps?: TakenStep[]
  /** The id of the last take-over, and on replicas of before `steps` of the last step. */
  stepId?: string
  confirmation?: { at: Date; version: number }
  rejection?: Rejection
  createdAt: Date
  updatedAt: Date
}

/** A change of status, as it is stored for good: three at most in the life of an order. */
interface TakenStep {
  id: string
  status: OrderStatus
  at: Date
}

const orderSchema = new Schema<OrderDocument>(
  {
    userId: { type: Schema.Types.ObjectId, required: true },
    key: { type: String },
    linesHash: { type: String, required: true },
    lines: [
      {
        _id: false,
        productId: { type: String, required: true },
        quantity: { type: Number, required: true },
        name: { type: String, default: null },
        price: { type: Number, default: null },
      },
    ],
    totalAmount: { type: Number, default: null },
    status: { type: String, enum: orderStatuses, required: true },
    version: { type: Number, required: true },
    leaseUntil: { type: Date, required: true },
    undo: { type: Boolean },
    steps: {
      type: [
        {
          _id: false,
          id: { type: String },
          status: { type: String, enum: orderStatuses },
          at: { type: Date },
        },
      ],
      default: undefined,
    },
    stepId: { type: String },
    confirmation: { type: { _id: false, at: Date, version: Number }, default: undefined },
    rejection: { type: Schema.Types.Mixed },
    createdAt: { type: Date, required: true },
    updatedAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'orders' },
)

export const orderModel = (database: Database): mongoose.Model<OrderDocument> =>
  database.connection.models.Order ?? database.connection.model<OrderDocument>('Order', orderSchema)

/**
 * Whether a document is what this program writes, as far as that can be told from the document alone. A newer version of it
 * may have statuses of its own.
 */
export const isWhole = (document: OrderDocument): boolean => {
  const {
    _id,
    userId,
    key,
    linesHash,
    status,
    lines,
    totalAmount,
    version,
    leaseUntil,
    steps,
    confirmation,
  } = document
  return (
    _id instanceof Types.ObjectId &&
    userId instanceof Types.ObjectId &&
    (key === undefined || typeof key === 'string') &&
    typeof linesHash === 'string' &&
    typeof status === 'string' &&
    Array.isArray(lines) &&
    lines.every(isWholeLine) &&
    (totalAmount === null || Number.isSafeInteger(totalAmount)) &&
    Number.isSafeInteger(version) &&
    leaseUntil instanceof Date &&
    (steps === undefined || Array.isArray(steps)) &&
    (confirmation === undefined || confirmation === null || confirmation.at instanceof Date) &&
    document.createdAt instanceof Date &&
    document.updatedAt instanceof Date
  )
}

const isWholeLine = (line: OrderLine | null): boolean =>
  typeof line?.productId === 'string' &&
  Number.isSafeInteger(line.quantity) &&
  (line.name === null || typeof line.name === 'string') &&
  (line.price === null || Number.isSafeInteger(line.price))

/** @throws Error if it is spoilt */
const wholeOrderOf = (document: OrderDocument): Order => {
  if (!isWhole(document)) throw corruptDocument('order', String(document._id))
  return orderOf(document)
}

export const orderOf = (document: OrderDocument): Order => ({
  orderId: document._id.toHexString(),
  userId: document.userId.toHexString(),
  key: document.key,
  linesHash: document.linesHash,
  lines: document.lines,
  totalAmount: document.totalAmount,
  status: document.status,
  version: document.version,
  leaseUntil: document.leaseUntil.getTime(),
  undo: document.undo ?? false,
  confirmation: document.confirmation,
  rejection: document.rejection,
  createdAt: document.createdAt,
  updatedAt: document.updatedAt,
})

export interface OrderIdentity {
  orderId: string
  userId: string
}

export type OrderRepository = ReturnType<typeof createOrderRepository>

// How many orders one command writes, and how many may wait for theirs.
const ordersPerCommand = 500
const waitingOrders = 2_000
// Milliseconds for one command.
const longestWrite = 2_000

/** A compare-and-set: what must still hold of the order, and what it is to be. */
interface Step {
  stepId: string
  /** Whether it is to another status, or only moves the lease. */
  movesStatus: boolean
  expected: mongoose.mongo.Filter<OrderDocument>
  next: Order
}

/**
 * Every change of an order is a compare-and-set on what was read: undefined says that it was lost. Inserts that wait are
 * sent to MongoDB in one command, and so are compare-and-sets, each with its own condition.
 */
export function createOrderRepository(database: Database, logger: Logger) {
  const orders = orderModel(database)
  const indexed = createIndexedReads(database, logger)
  // Mongoose types it by what it calls a document.
  const collection = orders.collection as unknown as mongoose.mongo.Collection<OrderDocument>

  const insert = batched<OrderDocument, Order | undefined>(
    {
      name: 'the orders to be stored',
      maxConcurrent: 2,
      maxWaiting: waitingOrders,
      maxBatchWeight: ordersPerCommand,
    },
    orAlone(async (batch, call) => {
      const documents = batch.map(({ request }) => request)
      const { failures } = await database.run(shortened(call, longestWrite), (maxTimeMS) =>
        bulkWriteFailures(insertMany(orders, documents, { maxTimeMS, ordered: false })),
      )
      return documents.map((document, at) => {
        const failure = failures.get(at)
        // Stored by an attempt before, whose answer did not come in time.
        if (!failure || isDuplicateId(failure)) return orderOf(document)
        return isDuplicateKey(failure) ? undefined : errorOf(failure)
      })
    }),
  )

  const compareAndSet = batched<Step, Order | undefined>(
    {
      name: 'the orders to be changed',
      maxConcurrent: 1,
      maxWaiting: waitingOrders,
      maxBatchWeight: ordersPerCommand,
    },
    orAlone(async (batch, call) => {
      const steps = batch.map(({ request }) => request)
      const within = shortened(call, longestWrite)
      // What is read back is at least as new as what was written, also if another server has become the primary between.
      const session = await database.connection.startSession({ causalConsistency: true })
      try {
        const { failures, matchedCount } = await database.run(within, (maxTimeMS) =>
          bulkWriteFailures(
            collection.bulkWrite(steps.map(updateOf), {
              session,
              maxTimeMS,
              ordered: false,
              ignoreUndefined: true,
            }),
          ),
        )
        if (matchedCount === steps.length) return steps.map(({ next }) => next)
        // Another request came first, and the server does not say to which order: what is stored does.
        const stored = await database.run(within, (maxTimeMS) =>
          orders
            .find({ $or: steps.map(({ next }) => ({ userId: next.userId, _id: next.orderId })) }, null, {
              session,
            })
            .maxTimeMS(maxTimeMS)
            .lean(),
        )
        const taken = new Set(stored.flatMap(idsOfSteps))
        return steps.map(({ stepId, next }, at) => {
          const failure = failures.get(at)
          if (failure) return errorOf(failure)
          return taken.has(stepId) ? next : undefined
        })
      } finally {
        void session.endSession().catch(() => undefined)
      }
    }),
  )

  const findOne = async (
    filter: { userId: string } & ({ _id: string } | { key: string }),
    level: 'majority' | 'linearizable',
    call: Call,
  ): Promise<Order | undefined> => {
    const document = await database.run(call, (limit) =>
      orders.findOne(filter).read('primary').readConcern(level).maxTimeMS(limit).lean(),
    )
    return document ? wholeOrderOf(document) : undefined
  }

  /**
   * A linearizable read sees every write that was acknowledged before it began, on whichever server. It also writes, and
   * waits for that: on a single server for the next round of its journal (100 ms by default). A majority read may be
   * older, which makes no difference to what never changes any more.
   */
  const findLatest = async (
    filter: Parameters<typeof findOne>[0],
    isFinal: (order: Order) => boolean,
    call: Call,
  ): Promise<Order | undefined> => {
    const order = await findOne(filter, 'majority', call)
    return order && isFinal(order) ? order : findOne(filter, 'linearizable', call)
  }

  const change = (order: Order, expected: Step['expected'], changes: Partial<Order>, call: Call) => {
    const movesStatus = changes.status !== undefined
    return compareAndSet({ stepId: newId(), movesStatus, expected, next: { ...order, ...changes } }, call)
  }

  /** To another status, which is a new version. */
  const step = (
    order: Order,
    expected: Step['expected'],
    changes: Partial<Order> & { status: OrderStatus },
    call: Call,
    at = new Date(),
  ) => change(order, expected, { ...changes, version: order.version + 1, updatedAt: at }, call)

  return {
    newId,

    /** @returns undefined if the user has an order with this key already */
    async insert(
      order: {
        orderId: string
        userId: string
        key: string | undefined
        lines: readonly Line[]
        linesHash: string
        leaseUntil: number
      },
      call: Call,
    ): Promise<Order | undefined> {
      const at = new Date()
      const { orderId, userId, key, lines, linesHash, leaseUntil } = order
      const document: OrderDocument = {
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
      return insert(document, call)
    },

    async find(
      { orderId, userId }: { orderId: string; userId?: string },
      call: Call,
    ): Promise<Order | undefined> {
      const filter = { ...(userId !== undefined && { userId }), _id: orderId }
      const document = await database.run(call, (limit) => orders.findOne(filter).maxTimeMS(limit).lean())
      return document ? wholeOrderOf(document) : undefined
    },

    /**
     * After a lost race: the order as the latest acknowledged write left it.
     * @param isFinal whether what the caller makes of such an order never changes: a slightly older state is enough then
     */
    findLatest: ({ orderId, userId }: OrderIdentity, isFinal: (order: Order) => boolean, call: Call) =>
      findLatest({ userId, _id: orderId }, isFinal, call),

    /** The order that has this key, as `findLatest`. */
    findLatestByKey: (userId: string, key: string, isFinal: (order: Order) => boolean, call: Call) =>
      findLatest({ userId, key }, isFinal, call),

    async list(
      query: {
        userId: string | undefined
        statuses: readonly OrderStatus[]
        after: Position | undefined
        limit: number
      },
      call: Call,
    ): Promise<Order[]> {
      const { userId, statuses, after } = query
      const owner = userId === undefined ? {} : { userId: new Types.ObjectId(userId) }
      let filter: mongoose.mongo.Filter<OrderDocument> = { ...owner, status: { $in: [...statuses] } }
      if (after) {
        const { createdAt, orderId, isAlone } = after
        const _id = new Types.ObjectId(orderId)
        if (isAlone) {
          // One range of the index for each status, all merged in order, without the one row that was shown.
          filter = { ...filter, createdAt: { $lte: createdAt }, _id: { $ne: _id } }
        } else {
          // Two ranges for each, which cost more, so that equal times are not read again. With anything beside them, an
          // owner too, MongoDB would rather do so, or sort.
          const behind = [{ createdAt: { $lt: createdAt } }, { createdAt, _id: { $lt: _id } }]
          filter = {
            $or: statuses.flatMap((status) => behind.map((range) => ({ ...owner, status, ...range }))),
          }
        }
      }
      // Not told the index, MongoDB would weigh every other one for each range.
      const index = {
        ...(userId !== undefined && { userId: 1 as const }),
        status: 1 as const,
        ...newestFirst,
      }
      const documents = await withoutCorrupt({ what: 'order', isValid: isWhole, logger }, (without) =>
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
      return documents.map(orderOf)
    },

    /** Carries an unfinished order on: whoever moves the lease that was seen is the only one at work on it. */
    takeOver: (order: Order, leaseUntil: number, call: Call) =>
      change(order, asLeased(order), { leaseUntil }, call),

    confirm: (order: Order, held: readonly HeldLine[], call: Call, at = new Date()) =>
      step(
        order,
        asRead(order, 'pending'),
        {
          status: 'confirmed',
          lines: [...held],
          totalAmount: held.reduce((sum, line) => sum + line.price * line.quantity, 0),
          confirmation: { at, version: order.version + 1 },
        },
        call,
        at,
      ),

    reject: (order: Order, rejection: Rejection, call: Call) =>
      step(order, asRead(order, 'pending'), { status: 'rejected', rejection }, call),

    beginCancelling: (order: Order, leaseUntil: number, call: Call) =>
      step(order, asRead(order, 'pending', 'confirmed'), { status: 'cancelling', leaseUntil }, call),

    /** `pending` → `cancelling`, because nobody finished it: unlike its owner's cancelling, this frees its key. */
    beginUndo: (order: Order, leaseUntil: number, call: Call) =>
      step(order, asLeased(order), { status: 'cancelling', leaseUntil, undo: true }, call),

    finishCancelling: (order: Order, call: Call) =>
      step(
        order,
        asRead(order, 'cancelling'),
        { status: 'cancelled', ...(order.undo && { key: undefined }) },
        call,
      ),

    advance: (order: Order, to: 'shipped' | 'delivered', call: Call) =>
      step(order, asRead(order, order.status), { status: to }, call),
  }
}

/** Of one write among others. */
const errorOf = (failure: Error): Error =>
  isUnavailable(failure) ? dependencyUnavailable('the database is not available', failure) : failure

const newestFirst = { createdAt: -1, _id: -1 } as const

const newId = (): string => new Types.ObjectId().toHexString()

const asRead = ({ version }: Order, ...statuses: OrderStatus[]) => ({ status: { $in: statuses }, version })
const asLeased = ({ status, leaseUntil }: Order) => ({ status, leaseUntil: new Date(leaseUntil) })

/**
 * The ids of all steps to another status, and of the last take-over. A take-over that follows another one presupposes
 * that the lease of the first has ended.
 */
const idsOfSteps = ({ steps, stepId }: OrderDocument): (string | undefined)[] =>
  Array.isArray(steps) ? [...steps.map((step) => step?.id), stepId] : [stepId]

/** All that a step may change. */
const updateOf = ({
  stepId,
  movesStatus,
  expected,
  next,
}: Step): mongoose.mongo.AnyBulkWriteOperation<OrderDocument> => {
  const { lines, totalAmount, status, version, undo, confirmation, rejection, updatedAt } = next
  const leaseUntil = new Date(next.leaseUntil)
  return {
    updateOne: {
      filter: { userId: new Types.ObjectId(next.userId), _id: new Types.ObjectId(next.orderId), ...expected },
      hint: { _id: 1 },
      update: {
        $set: {
          ...{ lines, totalAmount, status, version, confirmation, rejection, leaseUntil, updatedAt },
          ...(undo && { undo }),
          ...(!movesStatus && { stepId }),
        },
        ...(movesStatus && { $push: { steps: { id: stepId, status, at: updatedAt } } }),
        ...(next.key === undefined && { $unset: { key: 1 } }),
      },
    },
  }
}
