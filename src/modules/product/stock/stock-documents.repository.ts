import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import type { Database } from '#kernel/mongo/database.ts'
import { strictSchema } from '#kernel/mongo/inserts.ts'
import { type ProductDocument, productModel } from '../product-document.repository.ts'
import type { KeyedAnswer, LedgerEntry, ReservationRecord, StockChangeRecord } from './stock.ts'

/** A reservation as MongoDB stores it. Its id is the id of the order. */
interface ReservationDocument extends Omit<ReservationRecord, 'orderId' | 'userId'> {
  _id: Types.ObjectId
  userId?: Types.ObjectId
  createdAt: Date
  updatedAt: Date
}

const reservationSchema = new Schema<ReservationDocument>(
  {
    userId: { type: Schema.Types.ObjectId },
    state: { type: String, enum: ['held', 'rejected', 'released'], required: true },
    requested: { type: [{ _id: false, productId: String, quantity: Number }], required: true },
    held: {
      type: [{ _id: false, productId: String, quantity: Number, name: String, price: Number }],
      default: undefined,
    },
    rejection: { type: Schema.Types.Mixed },
    createdAt: { type: Date, required: true },
    updatedAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'reservations' },
)

interface LedgerDocument extends Omit<LedgerEntry, 'productId'> {
  _id: Types.ObjectId
  productId: Types.ObjectId
  at: Date
}

const ledgerSchema = new Schema<LedgerDocument>(
  {
    productId: { type: Schema.Types.ObjectId, required: true },
    change: { type: Number, required: true },
    stock: { type: Number, required: true },
    by: { type: String, required: true },
    reason: { type: String, default: '' },
    at: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'stockLedger' },
)

interface KeyedAnswerDocument extends KeyedAnswer {
  /** The id that `answerIdOf` returns. */
  _id: string
  at: Date
}

const keyedAnswerSchema = new Schema<KeyedAnswerDocument>(
  {
    _id: { type: String, required: true },
    hash: { type: String, required: true },
    product: { type: Schema.Types.Mixed },
    rejection: { type: Schema.Types.Mixed },
    at: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'stockChangeAnswers' },
)

export interface StockModels {
  products: mongoose.Model<ProductDocument>
  reservations: mongoose.Model<ReservationDocument>
  ledger: mongoose.Model<LedgerDocument>
  answers: mongoose.Model<KeyedAnswerDocument>
}

export const stockModels = (database: Database): StockModels => ({
  products: productModel(database),
  reservations: database.connection.model<ReservationDocument>('Reservation', reservationSchema),
  ledger: database.connection.model<LedgerDocument>('StockLedger', ledgerSchema),
  answers: database.connection.model<KeyedAnswerDocument>('StockChangeAnswer', keyedAnswerSchema),
})

/** The driver's collection, which neither casts nor refuses what does not fit the schema. */
export const ledgerCollection = (database: Database) =>
  database.connection.collection<LedgerDocument>('stockLedger')

/** Whether a document has the fields and types that this program writes. */
export const isWellFormedEntry = ({
  _id,
  productId,
  change,
  stock,
  by,
  reason,
  at,
}: LedgerDocument): boolean =>
  _id instanceof Types.ObjectId &&
  productId instanceof Types.ObjectId &&
  Number.isSafeInteger(change) &&
  Number.isSafeInteger(stock) &&
  typeof by === 'string' &&
  typeof reason === 'string' &&
  at instanceof Date

/** @param document is well-formed */
export const toStockChangeRecord = ({ _id, productId, ...entry }: LedgerDocument): StockChangeRecord => ({
  ...entry,
  id: _id.toHexString(),
  productId: productId.toHexString(),
})

/** Whether a document has the fields and types that this program writes. */
export const isWellFormedReservation = ({
  userId,
  state,
  requested,
  held,
  rejection,
}: ReservationDocument): boolean =>
  (userId === undefined || userId instanceof Types.ObjectId) &&
  Array.isArray(requested) &&
  requested.every((line) => typeof line?.productId === 'string' && Number.isSafeInteger(line.quantity)) &&
  (state === 'released' ||
    (state === 'held' &&
      Array.isArray(held) &&
      held.every((line) => typeof line?.name === 'string' && Number.isSafeInteger(line.price))) ||
    (state === 'rejected' && typeof rejection?.code === 'string'))

/** Whether a document has the fields and types that this program writes. */
export const isWellFormedAnswer = ({ hash, product, rejection }: KeyedAnswerDocument): boolean =>
  typeof hash === 'string' &&
  (typeof product?.productId === 'string' || typeof rejection?.message === 'string')

/** @param document is well-formed */
export const toReservationRecord = ({
  _id,
  userId,
  state,
  requested,
  held,
  rejection,
  createdAt,
}: ReservationDocument): ReservationRecord => ({
  orderId: _id.toHexString(),
  userId: userId?.toHexString(),
  state,
  requested,
  held,
  rejection,
  createdAt: createdAt instanceof Date ? createdAt : undefined,
})

/** @param document is well-formed */
export const toKeyedAnswer = ({ _id, hash, product, rejection }: KeyedAnswerDocument) => ({
  id: _id,
  hash,
  product,
  rejection,
})
