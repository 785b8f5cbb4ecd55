import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { withoutCorrupt } from '#kernel/mongo/corrupt-documents.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isTimeLimit } from '#kernel/mongo/errors.ts'
import type { IndexedRead } from '#kernel/mongo/indexed-reads.ts'
import { createQueue } from '#kernel/queue.ts'
import { queueMetrics } from '#kernel/queue-metrics.ts'
import { type ProductRows, type ProductSearch, positionOf, sortFields } from './product.ts'
import {
  isWellFormed,
  type ProductDocument,
  productCollection,
  toProduct,
} from './product-document.repository.ts'
import { nameCollation, orders, priceRange } from './product-orders.repository.ts'
import { searchWords } from './search-words.ts'

type Filter = mongoose.mongo.Filter<ProductDocument>
type Match = ProductDocument & { score: number }

export const textIndex = { name: 'text', description: 'text' } as const
/** A word in the name counts as much as ten in the description. */
export const textWeights = { name: 10, description: 1 }

const maxMatches = 1_000
// MongoDB reads every match to rank it: about 5 µs each, so that 100,000 matches take half a second.
const defaultMaxRankingMs = 1_000
// The limits keep searches from slowing down all other requests.
const maxConcurrent = 2
const maxWaiting = 100

/**
 * Finds the products that have all words, and lists the best matches. If there are too many matches to rank in time,
 * any of them are listed, all with the score 0. Without the text index, a search reads every product and distinguishes
 * accents.
 */
export function createProductSearch(
  database: Database,
  indexed: IndexedRead,
  logger: Logger,
  maxRankingMs = defaultMaxRankingMs,
) {
  const collection = productCollection(database)
  const queue = createQueue({
    name: 'a search',
    maxConcurrent,
    maxWaiting,
    metrics: queueMetrics(database.metrics, 'products.search'),
  })

  const readMatches = async (query: ProductSearch, without: Types.ObjectId[], call: Call) => {
    const filter = { ...filterOf(query), ...(without.length > 0 && { _id: { $nin: without } }) }
    const read = (isRanked: boolean, words: Filter, maxTimeMS: number) =>
      collection
        .aggregate<Match>(stagesOf(query, { ...filter, ...words }, isRanked), {
          maxTimeMS,
          ...(query.sort === 'name' && { collation: nameCollation }),
        })
        .toArray()
    return indexed(call, { collection: 'products', index: textIndex }, async ({ hint, maxTimeMS }) => {
      if (!hint) return read(false, withoutIndex(query.q), maxTimeMS)
      const words = { $text: { $search: phrases(query.q) } }
      const isContinued = query.sort === 'best' && query.after?.key === 0
      if (isContinued) return read(false, words, maxTimeMS)
      return read(true, words, Math.min(maxTimeMS, maxRankingMs)).catch((error: unknown) => {
        if (!isTimeLimit(error)) throw error
        return read(false, words, maxTimeMS)
      })
    })
  }

  return async (query: ProductSearch, call: Call): Promise<ProductRows> => {
    const matches = await withoutCorrupt<Match>(
      { what: 'product', isValid: isWellFormed, logger },
      (without) => queue(call, () => readMatches(query, without, call)),
    )
    const rows = matches.slice(0, query.limit)
    const last = matches.length > query.limit ? rows.at(-1) : undefined
    return { products: rows.map(toProduct), next: last && positionAfter(last, query) }
  }
}

const positionAfter = (last: Match, { sort }: ProductSearch) => {
  const product = toProduct(last)
  return sort === 'best' ? { key: last.score, productId: product.productId } : positionOf(product, sort)
}

/** MongoDB finds any of several words, but all of several phrases. A phrase of one word may also be a part of a longer word. */
function phrases(q: string): string {
  const words = searchWords(q)
  return words.length === 1 ? words.join() : words.map((word) => `"${word}"`).join(' ')
}

const withoutIndex = (q: string): Filter => ({
  $and: searchWords(q).map((word) => {
    const pattern = new RegExp(RegExp.escape(word), 'i')
    return { $or: [{ name: pattern }, { description: pattern }] }
  }),
})

function filterOf({ minPrice, maxPrice, inStock }: ProductSearch): Filter {
  const price = priceRange({ minPrice, maxPrice })
  return {
    deleted: false,
    ...(price && { price }),
    ...(inStock !== undefined && { stock: inStock ? { $gt: 0 } : { $lte: 0 } }),
  }
}

/** The best matches, and among them the rows of the page. */
function stagesOf({ sort, after, limit }: ProductSearch, filter: Filter, isRanked: boolean): object[] {
  const field = sort === 'best' ? 'score' : sortFields[sort]
  const direction = sort === 'best' ? -1 : orders[sort].direction
  const idDirection = sort === 'best' ? 1 : direction
  const compare = (way: 1 | -1) => (way === 1 ? '$gt' : '$lt')
  const score = isRanked ? { $meta: 'textScore' } : { $literal: 0 }
  return [
    { $match: filter },
    ...(isRanked ? [{ $sort: { score: { $meta: 'textScore' }, _id: 1 } }] : []),
    { $limit: maxMatches },
    { $addFields: { score } },
    ...(after
      ? [
          {
            $match: {
              $or: [
                { [field]: { [compare(direction)]: after.key } },
                { [field]: after.key, _id: { [compare(idDirection)]: new Types.ObjectId(after.productId) } },
              ],
            },
          },
        ]
      : []),
    { $sort: { [field]: direction, _id: idDirection } },
    // The additional row only shows that there is a next page.
    { $limit: limit + 1 },
  ]
}
