import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import type { Database } from '#kernel/mongo/database.ts'
import { strictSchema } from '#kernel/mongo/inserts.ts'
import { findByIds } from '#kernel/mongo/plain-commands.ts'
import type { Product } from './product.ts'

/** A product as MongoDB stores it. */
export interface ProductDocument {
  _id: Types.ObjectId
  name: string
  description: string
  /** Minor units. */
  price: number
  stock: number
  /** The quantity that was ever put into stock: always `stock` plus the quantity that reservations hold. */
  stocked: number
  /** Whether `stock` is above 0. Indexes contain it instead of `stock`, so that most sales change no index. */
  inStock?: boolean
  version: number
  contentVersion: number
  /** A deleted product stays stored, so that its reservations can still be released. */
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
    inStock: { type: Boolean },
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

/** The driver's collection, which neither casts nor refuses what does not fit the schema. */
export const productCollection = (database: Database) =>
  // Mongoose gives its collections a document type of its own.
  productModel(database).collection as unknown as mongoose.mongo.Collection<ProductDocument>

/** Reads products by their ids, in no order. They may be deleted or corrupt. An id without a product is left out. */
export const findProducts = (
  connection: mongoose.Connection,
  productIds: readonly string[],
  options: { maxTimeMS: number; session?: mongoose.ClientSession },
): Promise<ProductDocument[]> =>
  findByIds(
    connection,
    'products',
    productIds.map((id) => new Types.ObjectId(id)),
    options,
  )

/** Whether a document has the fields and types that this program writes. */
export const isWellFormed = (document: ProductDocument): boolean => {
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

/** @param document is well-formed */
export const toProduct = (document: ProductDocument): Product => ({
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
