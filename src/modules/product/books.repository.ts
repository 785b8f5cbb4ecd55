import type { Types } from 'mongoose'
import type { Call } from '../../kernel/call.ts'
import type { Database } from '../../kernel/mongo.ts'

/** The three accounts of a product, deleted or not: `stock` + `held`, `stocked`, and `ledger`. */
export interface ProductBooks {
  productId: string
  version: number
  stock: number
  stocked: number
  /** The sum of what reservations hold. */
  held: number
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
        return new Map((await rows.toArray()).map(({ _id, sum }) => [String(_id), sum]))
      }
      const held = await sums('reservations', [
        { $match: { state: 'held' } },
        { $unwind: '$requested' },
        { $group: { _id: '$requested.productId', sum: { $sum: '$requested.quantity' } } },
      ])
      const ledger = await sums('stockLedger', [{ $group: { _id: '$productId', sum: { $sum: '$change' } } }])
      const products = database.connection
        .collection<Pick<ProductBooks, 'version' | 'stock' | 'stocked'> & { _id: Types.ObjectId }>('products')
        .find({}, { ...options, projection: { version: 1, stock: 1, stocked: 1 } })
      let read = 0
      for await (const { _id, ...account } of products) {
        const productId = _id.toHexString()
        const sum = held.get(productId) ?? 0
        held.delete(productId)
        read += 1
        if (productIds && !productIds.has(productId)) continue
        each({ productId, ...account, held: sum, ledger: ledger.get(productId) ?? 0 })
      }
      return { products: read, unknown: [...held].map(([productId, sum]) => ({ productId, held: sum })) }
    }),
})
