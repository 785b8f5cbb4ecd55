import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import { type Position, type Product, type ProductListQuery, sortFields } from './product.ts'
import {
  isWellFormed,
  type ProductDocument,
  productCollection,
  toProduct,
} from './product-document.repository.ts'

/** Names are sorted alphabetically, without regard to case. */
export const nameCollation = { locale: 'en', strength: 2 }

const sorts = {
  newest: { direction: -1, index: { createdAt: -1, _id: -1 } },
  price: { direction: 1, index: { price: 1, _id: 1 } },
  '-price': { direction: -1, index: { price: 1, _id: 1 } },
  name: { direction: 1, index: { name: 1, _id: 1 } },
} as const

/** Lists the products that are not deleted. */
export function createProductList(database: Database, logger: Logger) {
  const collection = productCollection(database)
  const indexed = createIndexedReads(database, logger)

  return async ({ sort, after, limit }: ProductListQuery, call: Call): Promise<Product[]> => {
    const { direction, index } = sorts[sort]
    const field = sortFields[sort]
    const filter = filterOf(field, direction, after)
    const documents = await withoutCorrupt({ what: 'product', isValid: isWellFormed, logger }, (without) =>
      indexed(call, { collection: 'products', index }, (options) =>
        collection
          .find(without.length > 0 ? { $and: [filter, { _id: { $nin: without } }] } : filter, {
            ...options,
            sort: { [field]: direction, _id: direction },
            limit,
            ...(field === 'name' && { collation: nameCollation }),
          })
          .toArray(),
      ),
    )
    return documents.map(toProduct)
  }
}

function filterOf(
  field: string,
  direction: 1 | -1,
  after: Position | undefined,
): mongoose.mongo.Filter<ProductDocument> {
  if (!after) return { deleted: false }
  const beyond = direction === 1 ? '$gt' : '$lt'
  const { key, productId } = after
  // Two index ranges, merged in order. With one range, MongoDB would read the rows with the same key again.
  return {
    deleted: false,
    $or: [{ [field]: { [beyond]: key } }, { [field]: key, _id: { [beyond]: new Types.ObjectId(productId) } }],
  }
}
