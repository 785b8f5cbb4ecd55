import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { createIndexScan } from '#kernel/mongo/index-scan.ts'
import type { IndexedRead } from '#kernel/mongo/indexed-reads.ts'
import { type ProductRange, type ProductRows, positionOf, sortFields } from './product.ts'
import {
  isWellFormed,
  type ProductDocument,
  productCollection,
  toProduct,
} from './product-document.repository.ts'
import { orders } from './product-orders.repository.ts'

type Id = Types.ObjectId
type Filter = mongoose.mongo.Filter<ProductDocument>

/** Lists products with filters that are no range of the index of the order. @see createIndexScan */
export function createProductScan(database: Database, indexed: IndexedRead, logger: Logger) {
  const readPage = createIndexScan(database, productCollection(database), indexed)

  return async (query: ProductRange, call: Call): Promise<ProductRows> => {
    const { filterIndex: index, direction, ...order } = orders[query.sort]
    const scan = {
      index,
      ...('collation' in order && { collation: order.collation }),
      sort: { [sortFields[query.sort]]: direction, _id: direction },
      residual: residualOf(query),
      limit: query.limit,
    }
    let page: Awaited<ReturnType<typeof readPage>> = { rows: [], end: undefined }
    await withoutCorrupt({ what: 'product', isValid: isWellFormed, logger }, async (without) => {
      page = await readPage({ ...scan, ranges: rangesOf(query, without) }, call)
      return page.end ? [...page.rows, page.end] : page.rows
    })
    const { rows, end } = page
    return {
      products: rows.filter(({ stock }) => hasStock(stock, query)).map(toProduct),
      next: end && positionOf(toProduct(end), query.sort),
    }
  }
}

/** An older version of the program, during an upgrade, changes the stock and not `inStock`. */
const hasStock = (stock: number, { inStock }: ProductRange): boolean =>
  inStock === undefined || stock > 0 === inStock

const minKeys = { createdAt: new Date(0), price: 0, name: '' }
const minId = new Types.ObjectId('0'.repeat(24))

const pricesOf = ({ minPrice, maxPrice }: ProductRange) => ({
  $gte: minPrice ?? minKeys.price,
  ...(maxPrice !== undefined && { $lte: maxPrice }),
})

/**
 * The ranges of the index to scan, in order. After a position they are two: the rows with the same key, and the rest.
 * Each field has a range of its own type, without which MongoDB would read documents to filter it.
 */
function rangesOf(query: ProductRange, without: Id[]): Filter[] {
  const { sort, after, inStock } = query
  const field = sortFields[sort]
  const types = {
    deleted: false,
    price: { $gte: minKeys.price },
    ...(inStock !== undefined && { inStock: { $gte: false } }),
  }
  const all = field === 'price' ? pricesOf(query) : { $gte: minKeys[field] }
  const id = { $gte: minId, ...(without.length > 0 && { $nin: without }) }
  if (!after) return [{ ...types, [field]: all, _id: id }]
  const beyond = orders[sort].direction === 1 ? '$gt' : '$lt'
  return [
    { ...types, [field]: after.key, _id: { ...id, [beyond]: new Types.ObjectId(after.productId) } },
    { ...types, [field]: { ...all, [beyond]: after.key }, _id: id },
  ]
}

/** The filters that are no range of the index. */
const residualOf = (query: ProductRange): Filter => ({
  ...(sortFields[query.sort] !== 'price' && { price: pricesOf(query) }),
  ...(query.inStock !== undefined && { inStock: query.inStock }),
})
