import mongoose, { type ClientSession, Schema, Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { insertMany, strictSchema } from '#kernel/mongo/inserts.ts'
import { StaleDecision } from '#kernel/mongo/transaction.ts'
import { isWhole, type ProductDocument, productModel, productOf } from '../product.repository.ts'
import type { Product } from '../product.ts'
import type { ProductBooks } from './books.repository.ts'
import type {
  Found,
  KeyedAnswer,
  LedgerEntry,
  ProductChange,
  ReservationRecord,
  StoredProduct,
} from './stock.ts'

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
  /** As `answerIdOf`. */
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

const isWholeReservation = ({ state, requested, held, rejection }: ReservationDocument): boolean =>
  Array.isArray(requested) &&
  requested.every((line) => typeof line?.productId === 'string' && Number.isSafeInteger(line.quantity)) &&
  (state === 'released' ||
    (state === 'held' &&
      Array.isArray(held) &&
      held.every((line) => typeof line?.name === 'string' && Number.isSafeInteger(line.price))) ||
    (state === 'rejected' && typeof rejection?.code === 'string'))

const isWholeAnswer = ({ hash, product, rejection }: KeyedAnswerDocument): boolean =>
  typeof hash === 'string' &&
  (typeof product?.productId === 'string' || typeof rejection?.message === 'string')

function sorted<Document extends { _id: unknown }, Kind>(
  documents: readonly Document[],
  isWhole: (document: Document) => boolean,
  read: (document: Document) => Kind,
): Found<Kind> {
  const spoilt = documents.filter((document) => !isWhole(document)).map(({ _id }) => String(_id))
  return { whole: documents.filter(isWhole).map(read), spoilt }
}

/** What is there of what was asked for. */
export type StockReads = ReturnType<typeof createStockReads>
export type StockTransaction = ReturnType<typeof createStockTransaction>
export interface StockRepository {
  newId(): string
  /** Outside any transaction. */
  reads(call: Call): StockReads
  /** @see Database.transaction */
  transaction<T>(
    call: Call,
    work: (stock: StockTransaction) => Promise<T>,
    commitsWithinMs?: number,
  ): Promise<T>
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
    newId: () => new Types.ObjectId().toHexString(),

    transaction: (call, work, commitsWithinMs) =>
      database.transaction(
        call,
        (session, limit) => work(createStockTransaction(models, session, limit)),
        commitsWithinMs,
      ),

    reads: (call) =>
      createStockReads(models, (read) => database.run(call, (maxTimeMS) => read({ maxTimeMS }))),

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

interface ReadOptions {
  session?: ClientSession
  maxTimeMS: number
}

function createStockReads(
  models: Models,
  run: <Documents>(read: (options: ReadOptions) => Promise<Documents>) => Promise<Documents>,
) {
  return {
    async reservations(orderIds: readonly string[]): Promise<Found<ReservationRecord>> {
      const documents = await run((options) =>
        models.reservations.find({ _id: { $in: [...orderIds] } }, null, options).lean(),
      )
      return sorted(documents, isWholeReservation, recordOf)
    },

    async products(productIds: readonly string[]): Promise<Found<StoredProduct>> {
      const readAt = performance.now()
      const documents = await run((options) =>
        models.products.find({ _id: { $in: [...productIds] } }, null, options).lean(),
      )
      return sorted(documents, isWhole, (document) => ({
        ...productOf(document),
        deleted: document.deleted,
        readAt,
      }))
    },

    async keyedAnswers(ids: readonly string[]): Promise<Found<KeyedAnswer & { id: string }>> {
      const documents = await run((options) =>
        models.answers.find({ _id: { $in: [...ids] } }, null, options).lean(),
      )
      return sorted(documents, isWholeAnswer, ({ _id, ...answer }) => ({
        id: _id,
        hash: answer.hash,
        product: answer.product,
        rejection: answer.rejection,
      }))
    },
  }
}

function createStockTransaction(models: Models, session: ClientSession, limit: number) {
  const options = { session, maxTimeMS: limit }

  return {
    ...createStockReads(models, (read) => read(options)),

    /**
     * Each by one conditional update.
     * @throws Outdated if one is not what its change rests on
     */
    async changeProducts(changes: readonly ProductChange[]): Promise<void> {
      const { matchedCount } = await models.products.collection.bulkWrite(
        changes.map(({ base, now, stocked, lowest, isTaken, isExact }) => {
          const { name, description, price, version, contentVersion, updatedAt } = now
          const stock = now.stock - base.stock
          const content = contentVersion !== base.contentVersion && {
            name,
            description,
            price,
            contentVersion,
          }
          return {
            updateOne: {
              filter: {
                _id: new Types.ObjectId(base.productId),
                ...(isExact && { version: base.version }),
                ...(isTaken && { name: base.name, price: base.price, deleted: false }),
                ...(lowest < 0 && { stock: { $gte: -lowest } }),
              },
              hint: { _id: 1 },
              update: {
                $inc: { stock, stocked, version: version - base.version },
                // Another replica's clock may be ahead.
                $max: { updatedAt },
                ...(content && { $set: content }),
              },
            },
          }
        }),
        options,
      )
      if (matchedCount !== changes.length)
        throw new StaleDecision('the stock is not what the turn was decided on')
    },

    async addProducts(products: readonly Product[]): Promise<void> {
      await insertMany(
        models.products,
        products.map(({ productId, ...product }) => ({
          _id: new Types.ObjectId(productId),
          ...product,
          stocked: product.stock,
          deleted: false,
        })),
        options,
      )
    },

    async addReservations(reservations: readonly ReservationRecord[], at: Date): Promise<void> {
      await insertMany(
        models.reservations,
        reservations.map(({ orderId, ...reservation }) => ({
          _id: new Types.ObjectId(orderId),
          ...reservation,
          createdAt: at,
          updatedAt: at,
        })),
        options,
      )
    },

    /** @throws Outdated if one of them is gone, or released already */
    async markReleased(orderIds: readonly string[], at: Date): Promise<void> {
      const filter = { _id: { $in: [...orderIds] }, state: { $ne: 'released' as const } }
      const update = { $set: { state: 'released' as const, updatedAt: at } }
      const { matchedCount } = await models.reservations.updateMany(filter, update, options)
      if (matchedCount !== orderIds.length) throw new StaleDecision('a reservation has been released already')
    },

    /**
     * Sets what an audit has found to be off: a compare-and-set on the product as it was seen, and so on what is held of
     * it too, since no hold comes or goes without a new version.
     */
    async correct(seen: ProductBooks, right: { stock: number; stocked: number }): Promise<boolean> {
      const { productId, version, stock, stocked } = seen
      const { modifiedCount } = await models.products.updateOne(
        { _id: productId, version, stock, stocked },
        { $set: right, $max: { updatedAt: new Date() }, $inc: { version: 1 } },
        options,
      )
      return modifiedCount === 1
    },

    async record(entries: readonly LedgerEntry[], at: Date): Promise<void> {
      await insertMany(
        models.ledger,
        entries.map(({ productId, ...entry }) => ({
          _id: new Types.ObjectId(),
          productId: new Types.ObjectId(productId),
          ...entry,
          at,
        })),
        options,
      )
    },

    async addKeyedAnswers(answers: readonly (KeyedAnswer & { id: string })[], at: Date): Promise<void> {
      await insertMany(
        models.answers,
        answers.map(({ id, ...answer }) => ({ _id: id, ...answer, at })),
        options,
      )
    },
  }
}
