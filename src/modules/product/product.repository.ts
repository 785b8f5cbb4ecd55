import { batched } from '#kernel/batching.ts'
import { type Call, retryOnTimeout, shortenDeadline } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { CorruptDocument } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import type { Product, ProductContent } from './product.ts'
import {
  findProducts,
  isWellFormed,
  type ProductDocument,
  productModel,
  toProduct,
} from './product-document.repository.ts'
import { createProductList } from './product-list.repository.ts'

const maxProductsPerQuery = 500
const maxWaitingReads = 10_000
// A query without an answer after this time is repeated once.
const firstQueryMs = 400
const maxReadMs = 2_000

export type ProductRepository = ReturnType<typeof createProductRepository>

/** Reads products, changes their content, and deletes them. The stock queue creates products and changes their stock. */
export function createProductRepository(database: Database, logger: Logger) {
  const products = productModel(database)

  return {
    find: createFind(database),
    list: createProductList(database, logger),

    /**
     * Changes the content by compare-and-set: of two admins who read the same content, one succeeds. A change of the stock
     * since `base` was read does not matter, unless `sameVersion` is set.
     * @returns undefined if the compare-and-set was lost
     */
    async changeContent(
      base: Product,
      change: Partial<ProductContent>,
      { sameVersion }: { sameVersion: boolean },
      call: Call,
    ): Promise<Product | undefined> {
      const next = { $add: ['$version', 1] }
      // The clock of another replica may be ahead of this one.
      const updatedAt = { $max: ['$updatedAt', new Date()] }
      const document = await database.run('products.update', call, (maxTimeMS) =>
        products
          .findOneAndUpdate(
            {
              _id: base.productId,
              deleted: false,
              contentVersion: base.contentVersion,
              ...(sameVersion && { version: base.version }),
            },
            [{ $set: { ...literals(change), version: next, contentVersion: next, updatedAt } }],
            { returnDocument: 'after', updatePipeline: true, maxTimeMS },
          )
          .lean(),
      )
      return document ? toProduct(document) : undefined
    },

    /**
     * Deletes a product by compare-and-set.
     * @param version undefined: any version
     * @returns false if the product does not exist or has another version
     */
    async markDeleted(productId: string, version: number | undefined, call: Call): Promise<boolean> {
      const { modifiedCount } = await database.run('products.delete', call, (maxTimeMS) =>
        products.updateOne(
          { _id: productId, deleted: false, ...(version !== undefined && { version }) },
          { $set: { deleted: true }, $max: { updatedAt: new Date() }, $inc: { version: 1 } },
          { maxTimeMS },
        ),
      )
      return modifiedCount === 1
    },

    /**
     * Sets `inStock` where it is missing or wrong. Versions before this field leave it out of new products, and do not change it
     * when they change the stock. Each start calls this. It reads all products: a second or two for a million.
     */
    async correctInStock(call: Call): Promise<void> {
      const inStock = { $gt: ['$stock', 0] }
      await database.run('products.correct', call, (maxTimeMS) =>
        products.collection.updateMany(
          { deleted: false, $expr: { $ne: ['$inStock', inStock] } },
          [{ $set: { inStock } }],
          { maxTimeMS },
        ),
      )
    },

    exists: createExists(database),

    /** Whether no product was ever created. */
    async isEmpty(call: Call): Promise<boolean> {
      const read = (maxTimeMS: number) => products.findOne().maxTimeMS(maxTimeMS).lean()
      return (await database.run('products.find', call, read)) === null
    },
  }
}

/** Whether there is a product with this id. It may be deleted. */
const createExists = (database: Database) => async (productId: string, call: Call) => {
  const found = await database.run('products.find', call, (maxTimeMS) =>
    productModel(database).findById(productId, { _id: 1 }).maxTimeMS(maxTimeMS).lean(),
  )
  return found !== null
}

/** Reads that wait share one query, which starts after all of them have arrived. */
function createFind(database: Database) {
  const name = 'the products'
  return batched<string, Product | undefined>(
    {
      name,
      maxConcurrent: 2,
      maxWaiting: maxWaitingReads,
      maxBatchWeight: maxProductsPerQuery,
      metrics: batchMetrics(database.metrics, 'products.find'),
    },
    async (batch, call) => {
      const ids = [...new Set(batch.map(({ request }) => request))]
      const documents = await retryOnTimeout(shortenDeadline(call, maxReadMs), firstQueryMs, name, (within) =>
        database.run('products.find', within, (maxTimeMS) =>
          findProducts(database.connection, ids, { maxTimeMS }),
        ),
      )
      const found = new Map(documents.map((document) => [document._id.toHexString(), readProduct(document)]))
      return batch.map(({ request }) => found.get(request))
    },
  )
}

function readProduct(document: ProductDocument): Product | Error | undefined {
  if (!isWellFormed(document)) return new CorruptDocument('product', document._id.toHexString())
  return document.deleted ? undefined : toProduct(document)
}

/** Without `$literal`, an update pipeline would read a string that starts with `$` as the path of a field. */
const literals = (change: Partial<ProductContent>) =>
  Object.fromEntries(
    Object.entries(change)
      .filter(([, value]) => value !== undefined)
      .map(([field, value]) => [field, { $literal: value }]),
  )
