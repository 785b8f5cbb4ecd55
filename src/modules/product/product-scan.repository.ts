import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
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

/** The number of index entries that one page may filter, which takes MongoDB some ten milliseconds. */
const maxScannedKeys = 10_000

/**
 * Lists products with filters that are no range of the index of the order. MongoDB filters the entries of
 * `filterIndex`, which contains the fields of all filters, and reads only the rows of the page as documents. The number
 * of entries is limited, so that a page may be short or empty although more rows follow. All reads of a page see one
 * snapshot.
 */
export function createProductScan(database: Database, indexed: IndexedRead, logger: Logger) {
  const collection = productCollection(database)

  /** @returns the rows of a page, and the row after which the next page starts. It may be one of them */
  const readPage = (query: ProductRange, without: Id[], call: Call) => {
    const { filterIndex: index, ...order } = orders[query.sort]
    return indexed(call, { collection: 'products', index }, ({ hint }) =>
      database.snapshot('products.scan', call, async (snapshot) => {
        const options = {
          ...snapshot,
          ...(hint && { hint }),
          ...('collation' in order && { collation: order.collation }),
        }
        const { ids, endId } = await scan(query, without, async (stages) => {
          const keys = collection.aggregate<{ _id: Id }>([...stages, { $project: { _id: 1 } }], options)
          return (await keys.toArray()).map(({ _id }) => _id)
        })
        const wanted = endId ? [...ids, endId] : ids
        const documents =
          wanted.length > 0 ? await collection.find({ _id: { $in: wanted } }, snapshot).toArray() : []
        const byId = new Map(documents.map((document) => [document._id.toHexString(), document]))
        const found = (id: Id): ProductDocument => byId.get(id.toHexString()) as ProductDocument
        return { rows: ids.map(found), end: endId && found(endId) }
      }),
    )
  }

  return async (query: ProductRange, call: Call): Promise<ProductRows> => {
    let page: Awaited<ReturnType<typeof readPage>> = { rows: [], end: undefined }
    await withoutCorrupt({ what: 'product', isValid: isWellFormed, logger }, async (without) => {
      page = await readPage(query, without, call)
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

/**
 * Finds the ids of a page by index entries alone.
 * @returns `endId`: the last row, or the last entry that was filtered; undefined at the end of the list
 */
async function scan(
  query: ProductRange,
  without: Id[],
  readIds: (stages: object[]) => Promise<Id[]>,
): Promise<{ ids: Id[]; endId: Id | undefined }> {
  const { sort, limit } = query
  const { direction } = orders[sort]
  const ids: Id[] = []
  for (const range of rangesOf(query, without)) {
    const entries = [{ $match: range }, { $sort: { [sortFields[sort]]: direction, _id: direction } }]
    // The additional id only shows that there is a next page.
    const wanted = { $limit: limit + 1 - ids.length }
    ids.push(
      ...(await readIds([...entries, { $limit: maxScannedKeys }, { $match: residualOf(query) }, wanted])),
    )
    if (ids.length > limit) return { ids: ids.slice(0, limit), endId: ids[limit - 1] }
    const [endId] = await readIds([...entries, { $skip: maxScannedKeys - 1 }, { $limit: 1 }])
    if (endId) return { ids, endId }
  }
  return { ids, endId: undefined }
}

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
