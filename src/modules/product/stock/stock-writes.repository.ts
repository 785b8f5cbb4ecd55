import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import { findAndUpdate, sendWrites, type WriteCommand } from '#kernel/mongo/plain-commands.ts'
import { StaleDecision } from '#kernel/mongo/transaction.ts'
import type { Line } from '../contract.ts'
import type { Product } from '../product.ts'
import { isWellFormed, type ProductDocument, toProduct } from '../product-document.repository.ts'
import type {
  KeyedAnswer,
  LedgerEntry,
  ProductBooks,
  ProductChange,
  ReservationRecord,
  StoredProduct,
} from './stock.ts'
import type { StockModels } from './stock-documents.repository.ts'
import { createStockReads } from './stock-reads.repository.ts'

/** The reads and writes of one transaction. */
export type StockTransaction = ReturnType<typeof createStockTransaction>

interface WriteOptions {
  session: mongoose.ClientSession
  maxTimeMS: number
}

export function createStockTransaction(models: StockModels, options: WriteOptions) {
  const { products, ledger, answers } = models
  /**
   * Sends writes of which none may fail.
   * @returns the number of documents that they wrote
   */
  const write: SendAll = async (command) => {
    const { count, failures } = await sendWrites(products.db, command, { ...options, ordered: true })
    for (const failure of failures.values()) throw failure
    return count
  }
  return {
    ...createStockReads(models, (read) => read(options)),
    ...createProductWrites(models, options, write),
    ...createReservationWrites(models, options, write),

    async addLedgerEntries(entries: readonly LedgerEntry[], at: Date): Promise<void> {
      const documents = entries.map(({ productId, ...entry }) => ({
        _id: new Types.ObjectId(),
        productId: new Types.ObjectId(productId),
        ...entry,
        at,
      }))
      await write({ insert: ledger.collection.name, documents })
    },

    async addKeyedAnswers(added: readonly (KeyedAnswer & { id: string })[], at: Date): Promise<void> {
      const documents = added.map(({ id, ...answer }) => ({ _id: id, ...answer, at }))
      await write({ insert: answers.collection.name, documents })
    },
  }
}

type SendAll = (command: WriteCommand) => Promise<number>

function createProductWrites({ products }: StockModels, options: WriteOptions, write: SendAll) {
  const { name } = products.collection
  return {
    /** @throws StaleDecision if a stored product is not as its change requires */
    async changeProducts(changes: readonly ProductChange[]): Promise<void> {
      if ((await write({ update: name, updates: changes.map(toUpdate) })) !== changes.length) {
        throw new StaleDecision('a stored product is not as the stock batch requires')
      }
    },

    /**
     * Takes the stock of a line, if there is enough, and reads the product.
     * @returns the product as it was before, or undefined if nothing was taken
     * @throws StaleDecision if the product is corrupt
     */
    async takeStock({ productId, quantity }: Line, at: Date): Promise<StoredProduct | undefined> {
      const readAtMs = performance.now()
      const stock = { $subtract: ['$stock', quantity] }
      const document = await findAndUpdate<ProductDocument>(
        products.db,
        {
          findAndModify: name,
          query: { _id: new Types.ObjectId(productId), deleted: false, stock: { $gte: quantity } },
          hint: { _id: 1 },
          update: [
            {
              $set: {
                stock,
                inStock: { $gt: [stock, 0] },
                version: { $add: ['$version', 1] },
                // The clock of another replica may be ahead of this one.
                updatedAt: { $max: ['$updatedAt', at] },
              },
            },
          ],
        },
        options,
      )
      if (!document) return undefined
      if (!isWellFormed(document)) throw new StaleDecision('the product is corrupt')
      return { ...toProduct(document), deleted: document.deleted, readAtMs }
    },

    async addProducts(newProducts: readonly Product[]): Promise<void> {
      const documents = newProducts.map(({ productId, ...product }) => ({
        _id: new Types.ObjectId(productId),
        ...product,
        stocked: product.stock,
        inStock: product.stock > 0,
        deleted: false,
      }))
      await write({ insert: name, documents })
    },

    /**
     * Corrects the books of a product after an audit, by compare-and-set. The holds are compared too, because every hold and
     * every release makes a new version.
     * @returns false if the product has changed since it was read
     */
    async correctBooks(read: ProductBooks, corrected: { stock: number; stocked: number }): Promise<boolean> {
      const { productId, version, stock, stocked } = read
      const { modifiedCount } = await products.updateOne(
        { _id: productId, version, stock, stocked },
        {
          $set: { ...corrected, inStock: corrected.stock > 0 },
          $max: { updatedAt: new Date() },
          $inc: { version: 1 },
        },
        options,
      )
      return modifiedCount === 1
    },
  }
}

function toUpdate(change: ProductChange) {
  const { before, after, stockedChange, requiredStock, requiresContent, requiresVersion } = change
  const { name, description, price, version, contentVersion, updatedAt } = after
  const hasNewContent = contentVersion !== before.contentVersion
  const stockChange = after.stock - before.stock
  const inStock = after.stock > 0
  // Another process may have changed the stock since it was read, and `inStock` must still be right after the write.
  const storedStock = inStock
    ? { $gte: Math.max(requiredStock, 1 - stockChange) }
    : { $eq: before.stock, ...(requiredStock > 0 && { $gte: requiredStock }) }
  return {
    q: {
      _id: new Types.ObjectId(before.productId),
      ...(requiresVersion && { version: before.version }),
      ...(requiresContent && { name: before.name, price: before.price, deleted: false }),
      stock: storedStock,
    },
    hint: { _id: 1 },
    u: {
      $inc: {
        stock: stockChange,
        stocked: stockedChange,
        version: version - before.version,
      },
      // The clock of another replica may be ahead of this one.
      $max: { updatedAt },
      // MongoDB updates no index for a field that is set to the value that it has.
      $set: { inStock, ...(hasNewContent && { name, description, price, contentVersion }) },
    },
  }
}

function createReservationWrites({ reservations }: StockModels, options: WriteOptions, write: SendAll) {
  return {
    async addReservations(added: readonly ReservationRecord[], at: Date): Promise<void> {
      const documents = added.map(({ orderId, userId, ...reservation }) => ({
        _id: new Types.ObjectId(orderId),
        ...(userId !== undefined && { userId: new Types.ObjectId(userId) }),
        ...reservation,
        createdAt: at,
        updatedAt: at,
      }))
      await write({ insert: reservations.collection.name, documents })
    },

    /** @throws StaleDecision if one of the reservations does not exist or is already released */
    async markReleased(orderIds: readonly string[], at: Date): Promise<void> {
      const filter = { _id: { $in: [...orderIds] }, state: { $ne: 'released' as const } }
      const update = { $set: { state: 'released' as const, updatedAt: at } }
      const { matchedCount } = await reservations.updateMany(filter, update, options)
      if (matchedCount !== orderIds.length) throw new StaleDecision('a reservation is already released')
    },
  }
}
