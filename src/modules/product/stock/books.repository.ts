import type { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isWhole, type ProductDocument } from '../product.repository.ts'

/** The three accounts of a product, deleted or not: `stock` + `held`, `stocked`, and `ledger`. */
export interface ProductBooks {
  productId: string
  /** Whether the product is stored as this program stores products. */
  isWhole: boolean
  version: number
  stock: number
  stocked: number
  /** The sum of what a release of every hold would give back. */
  held: number
  /** The sum of what the holds were answered with: the same, unless a reservation contradicts itself. */
  answered: number
  /** The sum of the ledger. */
  ledger: number
}

export interface BooksRepository {
  /**
   * Reads the accounts of every product, or of these, as of one moment.
   * @returns how many products there are, and what is held of products that there are not
   */
  read(
    each: (books: ProductBooks) => void,
    productIds: ReadonlySet<string> | undefined,
    call: Call,
  ): Promise<{ products: number; unknown: { productId: string; held: number }[] }>
}

interface Sum {
  _id: string | Types.ObjectId
  sum: number
}

export const createBooksRepository = (database: Database): BooksRepository => ({
  read: (each, productIds, call) =>
    database.snapshot(call, async (options) => {
      const sums = async (collection: string, pipeline: object[]): Promise<Map<string, number>> => {
        const rows = database.connection
          .collection(collection)
          .aggregate<Sum>(pipeline, { ...options, allowDiskUse: true })
        const sumsById = new Map<string, number>()
        for (const { _id, sum } of await rows.toArray()) {
          sumsById.set(String(_id), (sumsById.get(String(_id)) ?? 0) + sum)
        }
        return sumsById
      }
      const sumsOfHolds = (lines: 'requested' | 'held') =>
        sums('reservations', [
          { $match: { state: 'held' } },
          { $unwind: `$${lines}` },
          { $group: { _id: `$${lines}.productId`, sum: { $sum: `$${lines}.quantity` } } },
        ])
      const held = await sumsOfHolds('requested')
      const answered = await sumsOfHolds('held')
      const ledger = await sums('stockLedger', [{ $group: { _id: '$productId', sum: { $sum: '$change' } } }])
      const products = database.connection.collection<ProductDocument>('products').find({}, options)
      let read = 0
      for await (const document of products) {
        const { _id, version, stock, stocked } = document
        const productId = String(_id)
        const sum = held.get(productId) ?? 0
        held.delete(productId)
        read += 1
        if (productIds && !productIds.has(productId)) continue
        each({
          productId,
          isWhole: isWhole(document),
          ...{ version, stock, stocked },
          held: sum,
          answered: answered.get(productId) ?? 0,
          ledger: ledger.get(productId) ?? 0,
        })
      }
      return { products: read, unknown: [...held].map(([productId, sum]) => ({ productId, held: sum })) }
    }),
})
