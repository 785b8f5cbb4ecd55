import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import { CorruptDocument } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { strictSchema } from '#kernel/mongo/inserts.ts'
import type { Rejection } from '../product/contract.ts'
import type { Order, OrderLine, StatusChange } from './order.ts'
import { type OrderStatus, orderStatuses } from './order-status.ts'

/** An order as MongoDB stores it. */
export interface OrderDocument {
  _id: Types.ObjectId
  userId: Types.ObjectId
  key?: string
  linesHash: string
  lines: OrderLine[]
  totalAmount: number | null
  /** Stored at the confirmation. Versions before this field left it out. */
  currency?: string
  status: OrderStatus
  version: number
  leaseUntil: Date
  /** `Order.isUndone`; absent means false. */
  undo?: boolean
  /** All changes of status that took effect, oldest first. Orders that are older than this field lack the first ones. */
  steps?: StoredStep[]
  /** The id of the last takeover. Replicas that do not know `steps` store the id of the last change of status here. */
  stepId?: string
  confirmation?: { at: Date; version: number }
  rejection?: Rejection
  createdAt: Date
  updatedAt: Date
}

/** One change of status. An order takes three at most, and keeps all of them. */
interface StoredStep {
  id: string
  status: OrderStatus
  at: Date
  /** `StatusChange.by`. Versions before this field left it out. */
  by?: string
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
    currency: { type: String },
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
          by: { type: String },
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

/** The driver's collection, which neither casts nor refuses what does not fit the schema. */
export const orderCollection = (database: Database) =>
  // Mongoose gives its collections a document type of its own.
  orderModel(database).collection as unknown as mongoose.mongo.Collection<OrderDocument>

/**
 * Whether a document has the fields and types that this program writes. Any status passes: a newer version of the program
 * may have written a status that this version does not know.
 */
export const isWellFormed = (document: OrderDocument): boolean => {
  const { _id, userId, key, linesHash, status, lines, totalAmount, currency } = document
  const { version, leaseUntil, steps, confirmation, createdAt, updatedAt } = document
  return (
    _id instanceof Types.ObjectId &&
    userId instanceof Types.ObjectId &&
    (key === undefined || typeof key === 'string') &&
    typeof linesHash === 'string' &&
    typeof status === 'string' &&
    Array.isArray(lines) &&
    lines.every(isWellFormedLine) &&
    (totalAmount === null || Number.isSafeInteger(totalAmount)) &&
    (currency === undefined || typeof currency === 'string') &&
    Number.isSafeInteger(version) &&
    leaseUntil instanceof Date &&
    (steps === undefined || Array.isArray(steps)) &&
    (confirmation === undefined || confirmation === null || confirmation.at instanceof Date) &&
    createdAt instanceof Date &&
    updatedAt instanceof Date
  )
}

const isWellFormedLine = (line: OrderLine | null): boolean =>
  typeof line?.productId === 'string' &&
  Number.isSafeInteger(line.quantity) &&
  (line.name === null || typeof line.name === 'string') &&
  (line.price === null || Number.isSafeInteger(line.price))

/** @throws Error if the document is not well-formed */
export const readOrder = (document: OrderDocument): Order => {
  if (!isWellFormed(document)) throw new CorruptDocument('order', String(document._id))
  return toOrder(document)
}

/** @param document is well-formed */
export const toOrder = (document: OrderDocument): Order => ({
  orderId: document._id.toHexString(),
  userId: document.userId.toHexString(),
  key: document.key,
  linesHash: document.linesHash,
  lines: document.lines,
  totalAmount: document.totalAmount,
  currency: document.currency,
  status: document.status,
  version: document.version,
  leaseUntil: document.leaseUntil.getTime(),
  isUndone: document.undo ?? false,
  confirmation: document.confirmation,
  rejection: document.rejection,
  createdAt: document.createdAt,
  updatedAt: document.updatedAt,
})

/**
 * All statuses that the order has had, oldest first. Each order begins as `pending` when its owner's request begins, also if it is
 * stored later, with its first decision. An earlier version of the program may have made changes without storing them as steps: the time of the confirmation and of the last change is known.
 * @throws Error if the document is not well-formed
 */
export function readStatusChanges(document: OrderDocument): StatusChange[] {
  if (!isWellFormed(document)) throw new CorruptDocument('order', String(document._id))
  const { userId, status, confirmation, createdAt, updatedAt } = document
  const steps = (document.steps ?? []).map(({ status, at, by = null }) => ({ status, at, by }))
  const isConfirmed = confirmation && !steps.some((step) => step.status === 'confirmed')
  const changes: StatusChange[] = [
    { status: 'pending', at: createdAt, by: userId.toHexString() },
    ...(isConfirmed ? [{ status: 'confirmed' as const, at: confirmation.at, by: null }] : []),
    ...steps,
  ]
  return changes.at(-1)?.status === status ? changes : [...changes, { status, at: updatedAt, by: null }]
}
