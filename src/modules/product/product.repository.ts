import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import { batched } from '#kernel/batching.ts'
import { type Call, retryOnTimeout, shortenDeadline } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { corruptDocument, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import { strictSchema } from '#kernel/mongo/inserts.ts'
import type { ContentChange, Position, Product, SortOrder } from './product.ts'

export interface ProductDocument {
  _id: Types.ObjectId
  name: string
  description: string
  /** Minor units. */
  price: number
  stock: number
  /** All that was ever put in: always `stock` plus what reservations hold. */
  stocked: number
  version: number
  contentVersion: number
  /** A mark, not a removal: reservations made before can still be released. */
  deleted: boolean
  createdAt: Date
  updatedAt: Date
}

const productSchema = new Schema<ProductDocument>(
  {
    name: { type: String, required: true },
    description: { type: String, default: '' },
    price: { type: Number, required: true, min: 0 },
    stock: { type: Number, required: true, min: 0 },
    stocked: { type: Number, required: true },
    version: { type: Number, required: true },
    contentVersion: { type: Number, required: true },
    deleted: { type: Boolean, required: true },
    createdAt: { type: Date, required: true },
    updatedAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'products' },
)

export const productModel = (database: Database): mongoose.Model<ProductDocument> =>
  database.connection.models.Product ?? database.connection.model<ProductDocument>('Product', productSchema)

/** Whether a document is what this program writes, as far as that can be told from the document alone. */
export const isWhole = (document: ProductDocument): boolean => {
  const { _id, name, description, price, stock, stocked, version, contentVersion, deleted } = document
  return (
    _id instanceof Types.ObjectId &&
    [name, description].every((text) => typeof text === 'string') &&
    [price, stock, stocked, version, contentVersion].every(Number.isSafeInteger) &&
    typeof deleted === 'boolean' &&
    document.createdAt instanceof Date &&
    document.updatedAt instanceof Date
  )
}

export const productOf = (document: ProductDocument): Product => ({
  productId: document._id.toHexString(),
  name: document.name,
  description: document.description,
  price: document.price,
  stock: document.stock,
  version: document.version,
  contentVersion: document.contentVersion,
  createdAt: document.createdAt,
  updatedAt: document.updatedAt,
})

/** `name` is ordered as people read it, without regard to case. */
export const nameCollation = { locale: 'en', strength: 2 }

const sorts = {
  newest: { field: 'createdAt', direction: -1, index: { createdAt: -1, _id: -1 } },
  price: { field: 'price', direction: 1, index: { price: 1, _id: 1 } },
  '-price': { field: 'price', direction: -1, index: { price: 1, _id: 1 } },
  name: { field: 'name', direction: 1, index: { name: 1, _id: 1 } },
} as const

// How many products one query asks for, and how many requests may wait for theirs.
const productsPerRead = 500
const waitingReads = 10_000
// Milliseconds for one query; it is asked once more then.
const firstReadMs = 400
const longestRead = 2_000

export type ProductRepository = ReturnType<typeof createProductRepository>

/** The catalogue: everything about products but what moves stock. */
export function createProductRepository(database: Database, logger: Logger) {
  const products = productModel(database)
  const indexed = createIndexedReads(database, logger)
  // Mongoose types it by what it calls a document.
  const collection = products.collection as unknown as mongoose.mongo.Collection<ProductDocument>

  const name = 'the products'
  const find = batched<string, Product | undefined>(
    { name, maxConcurrent: 2, maxWaiting: waitingReads, maxBatchWeight: productsPerRead },
    async (batch, call) => {
      const ids = [...new Set(batch.map(({ request }) => request))].map((id) => new Types.ObjectId(id))
      // By nothing but the id, which MongoDB has a short way for.
      const filter = { _id: ids.length === 1 ? ids[0] : { $in: ids } }
      const documents = await retryOnTimeout(
        shortenDeadline(call, longestRead),
        firstReadMs,
        name,
        (within) =>
          database.run(within, (maxTimeMS) =>
            collection.find(filter, { maxTimeMS, limit: ids.length, batchSize: ids.length }).toArray(),
          ),
      )
      const found = new Map(documents.map((document) => [document._id.toHexString(), foundAs(document)]))
      return batch.map(({ request }) => found.get(request))
    },
  )

  return {
    /** Those that wait share one query, which begins after each of them came. */
    find,

    async list(
      query: { sort: SortOrder; after: Position | undefined; limit: number },
      call: Call,
    ): Promise<Product[]> {
      const { field, direction, index } = sorts[query.sort]
      const filter: mongoose.mongo.Filter<ProductDocument> = { deleted: false }
      if (query.after) {
        // Two ranges of the index that are merged in order: equal keys are not gone through again.
        const beyond = direction === 1 ? '$gt' : '$lt'
        const { key, productId } = query.after
        filter.$or = [
          { [field]: { [beyond]: key } },
          { [field]: key, _id: { [beyond]: new Types.ObjectId(productId) } },
        ]
      }
      const documents = await withoutCorrupt({ what: 'product', isValid: isWhole, logger }, (without) =>
        indexed(call, { collection: 'products', index }, (options) =>
          collection
            .find(without.length > 0 ? { $and: [filter, { _id: { $nin: without } }] } : filter, {
              ...options,
              sort: { [field]: direction, _id: direction },
              limit: query.limit,
              ...(field === 'name' && { collation: nameCollation }),
            })
            .toArray(),
        ),
      )
      return documents.map(productOf)
    },

    /**
     * Compare-and-set on the content: fails if name, description or price changed since `base` was read. Sales
     * meanwhile do not matter, unless `exactly` asks for the very version.
     */
    async changeContent(
      base: Product,
      change: ContentChange,
      exactly: boolean,
      call: Call,
    ): Promise<Product | undefined> {
      const next = { $add: ['$version', 1] }
      // Another replica's clock may be ahead.
      const updatedAt = { $max: ['$updatedAt', new Date()] }
      const document = await database.run(call, (limit) =>
        products
          .findOneAndUpdate(
            {
              _id: base.productId,
              deleted: false,
              contentVersion: base.contentVersion,
              ...(exactly && { version: base.version }),
            },
            [{ $set: { ...literals(change), version: next, contentVersion: next, updatedAt } }],
            { returnDocument: 'after', updatePipeline: true, maxTimeMS: limit },
          )
          .lean(),
      )
      return document ? productOf(document) : undefined
    },

    /** Compare-and-set on `version`, or on nothing but existence. */
    async markDeleted(productId: string, version: number | undefined, call: Call): Promise<boolean> {
      const { modifiedCount } = await database.run(call, (limit) =>
        products.updateOne(
          { _id: productId, deleted: false, ...(version !== undefined && { version }) },
          { $set: { deleted: true }, $max: { updatedAt: new Date() }, $inc: { version: 1 } },
          { maxTimeMS: limit },
        ),
      )
      return modifiedCount === 1
    },

    async isEmpty(call: Call): Promise<boolean> {
      return (await database.run(call, (limit) => products.findOne().maxTimeMS(limit).lean())) === null
    },
  }
}

function foundAs(document: ProductDocument): Product | Error | undefined {
  if (!isWhole(document)) return corruptDocument('product', document._id.toHexString())
  return document.deleted ? undefined : productOf(document)
}

/** In an update pipeline a string that starts with `$` would be read as a field path. */
const literals = (change: ContentChange) =>
  Object.fromEntries(
    Object.entries(change)
      .filter(([, value]) => value !== undefined)
      .map(([field, value]) => [field, { $literal: value }]),
  )

export const positionOf = (product: Product, sort: SortOrder): Position => ({
  key: product[sorts[sort].field],
  productId: product.productId,
})
