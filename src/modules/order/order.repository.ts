import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import type { Call } from '../../kernel/call.ts'
import { type Database, insertOne, strictSchema } from '../../kernel/mongo.ts'
import { isDuplicateKey } from '../../kernel/mongo-errors.ts'
import type { HeldLine, Line, Rejection } from '../product/contract.ts'
import type { Order, OrderLine } from './order.ts'
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
  confirmation?: { at: Date; version: number }
  rejection?: Rejection
  createdAt: Date
  updatedAt: Date
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
    confirmation: { type: { _id: false, at: Date, version: Number }, default: undefined },
    rejection: { type: Schema.Types.Mixed },
    createdAt: { type: Date, required: true },
    updatedAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'orders' },
)

export const orderModel = (database: Database): mongoose.Model<OrderDocument> =>
  database.connection.models.Order ?? database.connection.model<OrderDocument>('Order', orderSchema)

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

/** The sort key of a row of the list. */
export interface Position {
  createdAt: Date
  orderId: string
}

export type OrderRepository = ReturnType<typeof createOrderRepository>

/** Every change of an order is a compare-and-set on what was read: undefined says that it was lost. */
export function createOrderRepository(database: Database) {
  const orders = orderModel(database)

  const compareAndSet = async (
    { orderId, userId }: OrderIdentity,
    expected: mongoose.QueryFilter<OrderDocument>,
    update: mongoose.UpdateQuery<OrderDocument>,
    call: Call,
  ): Promise<Order | undefined> => {
    const filter = { userId, _id: orderId, ...expected }
    const document = await database.run(call, (limit) =>
      orders.findOneAndUpdate(filter, update, { returnDocument: 'after', maxTimeMS: limit }).lean(),
    )
    return document ? orderOf(document) : undefined
  }

  const findLatest = async (
    filter: { userId: string } & ({ _id: string } | { key: string }),
    call: Call,
  ): Promise<Order | undefined> => {
    const document = await database.run(call, (limit) =>
      orders.findOne(filter).read('primary').readConcern('linearizable').maxTimeMS(limit).lean(),
    )
    return document ? orderOf(document) : undefined
  }

  const asLeased = ({ status, leaseUntil }: Order) => ({ status, leaseUntil: new Date(leaseUntil) })

  const step = (status: OrderStatus, more: Partial<OrderDocument> = {}, at = new Date()) => ({
    $set: { status, updatedAt: at, ...more },
    $inc: { version: 1 },
  })

  return {
    newId: (): string => new Types.ObjectId().toHexString(),

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
      const fields: Partial<OrderDocument> = {
        _id: new Types.ObjectId(orderId),
        userId: new Types.ObjectId(userId),
        ...(key !== undefined && { key }),
        lines: lines.map((line) => ({ ...line, name: null, price: null })),
        linesHash,
        leaseUntil: new Date(leaseUntil),
        status: 'pending',
        version: 1,
        createdAt: at,
        updatedAt: at,
      }
      try {
        return orderOf(await database.run(call, (maxTimeMS) => insertOne(orders, fields, { maxTimeMS })))
      } catch (error) {
        if (isDuplicateKey(error)) return undefined
        throw error
      }
    },

    async find(
      { orderId, userId }: { orderId: string; userId?: string },
      call: Call,
    ): Promise<Order | undefined> {
      const filter = { ...(userId !== undefined && { userId }), _id: orderId }
      const document = await database.run(call, (limit) => orders.findOne(filter).maxTimeMS(limit).lean())
      return document ? orderOf(document) : undefined
    },

    /** After a lost race: sees every write that was acknowledged before it began, on whichever node. */
    findLatest: ({ orderId, userId }: OrderIdentity, call: Call) =>
      findLatest({ userId, _id: orderId }, call),

    /** The order that has this key, as `findLatest`. */
    findLatestByKey: (userId: string, key: string, call: Call) => findLatest({ userId, key }, call),

    async list(
      query: {
        userId: string | undefined
        statuses: readonly OrderStatus[]
        after: Position | undefined
        limit: number
      },
      call: Call,
    ): Promise<Order[]> {
      const filter: mongoose.QueryFilter<OrderDocument> = { status: { $in: [...query.statuses] } }
      if (query.userId !== undefined) filter.userId = query.userId
      if (query.after) {
        // The range on the first field bounds the index scan; the alternative decides among equal times.
        const { createdAt, orderId } = query.after
        filter.createdAt = { $lte: createdAt }
        filter.$or = [{ createdAt: { $lt: createdAt } }, { _id: { $lt: new Types.ObjectId(orderId) } }]
      }
      const documents = await database.run(call, (limit) =>
        orders.find(filter).sort({ createdAt: -1, _id: -1 }).limit(query.limit).maxTimeMS(limit).lean(),
      )
      return documents.map(orderOf)
    },

    /** Carries an unfinished order on: whoever moves the lease that was seen is the only one at work on it. */
    takeOver: (order: Order, leaseUntil: number, call: Call) =>
      compareAndSet(order, asLeased(order), { $set: { leaseUntil: new Date(leaseUntil) } }, call),

    confirm(order: Order, held: readonly HeldLine[], call: Call) {
      const at = new Date()
      const confirmed = {
        lines: [...held],
        totalAmount: held.reduce((sum, line) => sum + line.price * line.quantity, 0),
        confirmation: { at, version: order.version + 1 },
      }
      return compareAndSet(
        order,
        { status: 'pending', version: order.version },
        step('confirmed', confirmed, at),
        call,
      )
    },

    reject: (order: Order, rejection: Rejection, call: Call) =>
      compareAndSet(order, { status: 'pending' }, step('rejected', { rejection }), call),

    beginCancelling: (order: Order, leaseUntil: number, call: Call) =>
      compareAndSet(
        order,
        { status: { $in: ['pending', 'confirmed'] }, version: order.version },
        step('cancelling', { leaseUntil: new Date(leaseUntil) }),
        call,
      ),

    /** `pending` → `cancelling`, because nobody finished it: unlike its owner's cancelling, this frees its key. */
    beginUndo: (order: Order, leaseUntil: number, call: Call) =>
      compareAndSet(
        order,
        asLeased(order),
        step('cancelling', { leaseUntil: new Date(leaseUntil), undo: true }),
        call,
      ),

    finishCancelling: (order: Order, call: Call) =>
      compareAndSet(
        order,
        { status: 'cancelling', version: order.version },
        { ...step('cancelled'), ...(order.undo && { $unset: { key: 1 } }) },
        call,
      ),

    advance: (order: Order, to: 'shipped' | 'delivered', call: Call) =>
      compareAndSet(order, { status: order.status, version: order.version }, step(to), call),
  }
}
