import mongoose, { type ClientSession, Schema, Types } from 'mongoose'
import type { Call } from '../../kernel/call.ts'
import { DomainError } from '../../kernel/errors.ts'
import { type Database, insertOne, strictSchema } from '../../kernel/mongo.ts'
import type { ProductBooks } from './books.repository.ts'
import type { HeldLine, Line, Rejection } from './contract.ts'
import { type ContentChange, type ProductDocument, productModel, productOf } from './product.repository.ts'
import type { Product, ProductRepresentation } from './product.ts'

/** A reservation as stored, under the id of its order. A tombstone (released before reserved) has no lines. */
export interface ReservationRecord {
  orderId: string
  state: 'held' | 'rejected' | 'released'
  requested: Line[]
  held?: HeldLine[] | undefined
  rejection?: Rejection | undefined
}

/** One entry of the stock ledger: who changed what was put in, by how much, when and why. */
export interface LedgerEntry {
  productId: string
  change: number
  stock: number
  by: string
  reason: string
}

/** The first answer to a keyed stock change. `hash` tells whether a repetition asks for the same. */
export interface KeyedAnswer {
  hash: string
  product?: ProductRepresentation | undefined
  rejection?: { message: string; members: Record<string, unknown> } | undefined
}

interface ReservationDocument extends Omit<ReservationRecord, 'orderId'> {
  _id: Types.ObjectId
  createdAt: Date
  updatedAt: Date
}
interface LedgerDocument extends Omit<LedgerEntry, 'productId'> {
  _id: Types.ObjectId
  productId: Types.ObjectId
  at: Date
}
interface KeyedAnswerDocument extends KeyedAnswer {
  /** `<user id>:<key>` */
  _id: string
  at: Date
}

const reservationSchema = new Schema<ReservationDocument>(
  {
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

export type StockTransaction = ReturnType<typeof createStockTransaction>
export interface StockRepository {
  /** @see Database.transaction */
  transaction<T>(call: Call, work: (stock: StockTransaction) => Promise<T>): Promise<T>
  reservations(orderIds: readonly string[], call: Call): Promise<ReservationRecord[]>
  /** Ids of orders with a held reservation, ascending, from behind `after` on. */
  holds(after: string | undefined, limit: number, call: Call): Promise<string[]>
}

const recordOf = ({ _id, state, requested, held, rejection }: ReservationDocument): ReservationRecord => ({
  orderId: _id.toHexString(),
  state,
  requested,
  held,
  rejection,
})

/** All that moves stock, in transactions alone. */
export function createStockRepository(database: Database): StockRepository {
  const models = {
    products: productModel(database),
    reservations: database.connection.model<ReservationDocument>('Reservation', reservationSchema),
    ledger: database.connection.model<LedgerDocument>('StockLedger', ledgerSchema),
    answers: database.connection.model<KeyedAnswerDocument>('StockChangeAnswer', keyedAnswerSchema),
  }
  return {
    transaction: (call, work) =>
      database.transaction(call, (session, limit) => work(createStockTransaction(models, session, limit))),

    async reservations(orderIds, call) {
      const documents = await database.run(call, (maxTimeMS) =>
        models.reservations
          .find({ _id: { $in: [...orderIds] } })
          .maxTimeMS(maxTimeMS)
          .lean(),
      )
      return documents.map(recordOf)
    },

    async holds(after, limit, call) {
      // What is stored under something else than an order's id is no order's.
      const filter = {
        state: 'held' as const,
        _id: { $type: 'objectId' as const, ...(after !== undefined && { $gt: after }) },
      }
      const documents = await database.run(call, (maxTimeMS) =>
        models.reservations
          .find(filter, { _id: 1 })
          .sort({ _id: 1 })
          .limit(limit)
          .maxTimeMS(maxTimeMS)
          .lean(),
      )
      return documents.map(({ _id }) => _id.toHexString())
    },
  }
}

interface Models {
  products: mongoose.Model<ProductDocument>
  reservations: mongoose.Model<ReservationDocument>
  ledger: mongoose.Model<LedgerDocument>
  answers: mongoose.Model<KeyedAnswerDocument>
}

function createStockTransaction(models: Models, session: ClientSession, limit: number) {
  const options = { session, maxTimeMS: limit }

  return {
    async reservations(orderIds: readonly string[]): Promise<Map<string, ReservationRecord>> {
      const documents = await models.reservations.find({ _id: { $in: [...orderIds] } }, null, options).lean()
      return new Map(documents.map((document) => [document._id.toHexString(), recordOf(document)]))
    },

    async addReservations(reservations: readonly ReservationRecord[]): Promise<void> {
      const at = new Date()
      const documents = reservations.map(({ orderId, ...reservation }) => ({
        _id: new Types.ObjectId(orderId),
        ...reservation,
        createdAt: at,
        updatedAt: at,
      }))
      await models.reservations.insertMany(documents, options)
    },

    async markReleased(orderIds: readonly string[]): Promise<void> {
      const update = { $set: { state: 'released', updatedAt: new Date() } }
      await models.reservations.updateMany({ _id: { $in: [...orderIds] } }, update, options)
    },

    /** Those of the products that exist; deleted ones are left out. */
    async products(productIds: readonly string[]): Promise<Product[]> {
      const documents = await models.products
        .find({ _id: { $in: [...productIds] }, deleted: false }, null, options)
        .lean()
      return documents.map(productOf)
    },

    /** @returns false if a product is missing or has less than is taken: the transaction must not commit then */
    async take(lines: readonly Line[]): Promise<boolean> {
      const at = new Date()
      const { matchedCount } = await models.products.bulkWrite(
        lines.map(({ productId, quantity }) => ({
          updateOne: {
            filter: { _id: new Types.ObjectId(productId), deleted: false, stock: { $gte: quantity } },
            update: { $inc: { stock: -quantity, version: 1 }, $set: { updatedAt: at } },
          },
        })),
        { ...options, timestamps: false },
      )
      return matchedCount === lines.length
    },

    /** Never refused: deleted products get theirs back too, or their books would not balance. */
    async giveBack(lines: readonly Line[]): Promise<void> {
      const at = new Date()
      await models.products.bulkWrite(
        lines.map(({ productId, quantity }) => ({
          updateOne: {
            filter: { _id: new Types.ObjectId(productId) },
            update: { $inc: { stock: quantity, version: 1 }, $set: { updatedAt: at } },
          },
        })),
        { ...options, timestamps: false },
      )
    },

    async addProduct(product: Omit<Product, 'productId' | 'version' | 'contentVersion'>): Promise<Product> {
      const fields = { ...product, stocked: product.stock, version: 1, contentVersion: 1, deleted: false }
      return productOf(await insertOne(models.products, fields, options))
    },

    /**
     * Moves `stock` and `stocked` by the same amount, and changes the content along, as one new version.
     * @param base as read in this transaction
     */
    async restock(base: Product, change: number, content: ContentChange = {}): Promise<Product> {
      const changesContent = Object.keys(content).length > 0
      const document = await models.products
        .findOneAndUpdate(
          { _id: base.productId, deleted: false, version: base.version },
          {
            $set: {
              ...content,
              updatedAt: new Date(),
              ...(changesContent && { contentVersion: base.version + 1 }),
            },
            $inc: { stock: change, stocked: change, version: 1 },
          },
          { ...options, returnDocument: 'after' },
        )
        .lean()
      // What changed since the snapshot is a write conflict: the condition is the last line of defence.
      if (!document) throw new DomainError('internal_error', 'the product is not what the snapshot shows')
      return productOf(document)
    },

    /**
     * Sets what an audit has found to be off: a compare-and-set on the product as it was seen, and so on what is held of
     * it too, since no hold comes or goes without a new version.
     */
    async correct(seen: ProductBooks, right: { stock: number; stocked: number }): Promise<boolean> {
      const { productId, version, stock, stocked } = seen
      const { modifiedCount } = await models.products.updateOne(
        { _id: productId, version, stock, stocked },
        { $set: { ...right, updatedAt: new Date() }, $inc: { version: 1 } },
        options,
      )
      return modifiedCount === 1
    },

    async record({ productId, ...entry }: LedgerEntry): Promise<void> {
      const document = { productId: new Types.ObjectId(productId), ...entry, at: new Date() }
      await insertOne(models.ledger, document, options)
    },

    async keyedAnswer(userId: string, key: string): Promise<KeyedAnswer | undefined> {
      const document = await models.answers.findOne({ _id: `${userId}:${key}` }, null, options).lean()
      return document ?? undefined
    },

    async addKeyedAnswer(userId: string, key: string, answer: KeyedAnswer): Promise<void> {
      await insertOne(models.answers, { _id: `${userId}:${key}`, ...answer, at: new Date() }, options)
    },
  }
}
