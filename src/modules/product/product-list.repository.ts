import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { excluding, withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import {
  type ProductListQuery,
  type ProductRange,
  type ProductRows,
  positionOf,
  sortFields,
} from './product.ts'
import {
  isWellFormed,
  type ProductDocument,
  productCollection,
  toProduct,
} from './product-document.repository.ts'
import { orders, priceRange } from './product-orders.repository.ts'
import { createProductScan } from './product-scan.repository.ts'
import { createProductSearch } from './product-search.repository.ts'

type Filter = mongoose.mongo.Filter<ProductDocument>

/** Lists the products that are not deleted. */
export function createProductList(database: Database, logger: Logger) {
  const collection = productCollection(database)
  const indexed = createIndexedReads(database, logger)
  const scan = createProductScan(database, indexed, logger)
  const search = createProductSearch(database, indexed, logger)

  /** Reads a page whose rows are one range of an index. */
  const readRange = async (query: ProductRange, call: Call): Promise<ProductRows> => {
    const { sort, limit } = query
    const { direction, index, ...collation } = orders[sort]
    const filter = rangeOf(query)
    const documents = await withoutCorrupt({ what: 'product', isValid: isWellFormed, logger }, (without) =>
      indexed(call, { collection: 'products', index }, (options) =>
        collection
          .find(excluding(filter, without), {
            ...options,
            sort: { [sortFields[sort]]: direction, _id: direction },
            // The additional row only shows that there is a next page.
            limit: limit + 1,
            ...('collation' in collation && { collation: collation.collation }),
          })
          .toArray(),
      ),
    )
    const products = documents.slice(0, limit).map(toProduct)
    const last = products.at(-1)
    return { products, next: documents.length > limit && last ? positionOf(last, sort) : undefined }
  }

  return (query: ProductListQuery, call: Call): Promise<ProductRows> => {
    if (query.q !== undefined) return search(query, call)
    const isRange = query.inStock === undefined && (!priceRange(query) || sortFields[query.sort] === 'price')
    return isRange ? readRange(query, call) : scan(query, call)
  }
}

function rangeOf({ sort, after, minPrice, maxPrice }: ProductRange): Filter {
  const field = sortFields[sort]
  const prices = priceRange({ minPrice, maxPrice })
  if (!after) return { deleted: false, ...(prices && { price: prices }) }
  const beyond = orders[sort].direction === 1 ? '$gt' : '$lt'
  const { key, productId } = after
  // Two index ranges, merged in order. With one range, MongoDB would read the rows with the same key again.
  return {
    deleted: false,
    $or: [
      { [field]: { ...prices, [beyond]: key } },
      { [field]: key, _id: { [beyond]: new Types.ObjectId(productId) } },
    ],
  }
}
