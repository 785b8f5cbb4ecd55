import type { Types } from 'mongoose'
import type { Finding } from '#kernel/audit.ts'
import type { Call } from '#kernel/call.ts'
import type { Database, SnapshotOptions } from '#kernel/mongo/database.ts'
import { isWellFormed, type ProductDocument } from '../product-document.repository.ts'
import type { ProductBooks } from './stock.ts'

export interface BooksRepository {
  /**
   * Reads the books of every product, which are the figures that must agree if no stock was lost or sold twice
   * (`ProductBooks`). All figures come from one snapshot.
   * @param findFaults is called for each product, or for each of `productIds` if they are given, until there are `limit` findings
   * @returns the number of products, the findings, and the holds of products that do not exist
   */
  read(
    findFaults: (books: ProductBooks) => readonly Finding[],
    options: { productIds: ReadonlySet<string> | undefined; limit: number },
    call: Call,
  ): Promise<AuditedBooks>
}

interface AuditedBooks {
  products: number
  findings: Finding[]
  holdsOfUnknownProducts: { productId: string; held: number }[]
}

interface Sum {
  _id: string | Types.ObjectId
  sum: number
}

export const createBooksRepository = (database: Database): BooksRepository => ({
  read: (findFaults, { productIds, limit }, call) =>
    database.snapshot('stock.audit', call, async (snapshot) => {
      const held = await sumHolds(database, snapshot, 'requested')
      const answered = await sumHolds(database, snapshot, 'held')
      const ledger = await sum(database, snapshot, 'stockLedger', [
        { $group: { _id: '$productId', sum: { $sum: '$change' } } },
      ])
      const documents = database.connection.collection<ProductDocument>('products').find({}, snapshot)
      const findings: Finding[] = []
      let products = 0
      for await (const document of documents) {
        const { _id, version, stock, stocked, inStock, deleted } = document
        const productId = String(_id)
        const heldOfProduct = held.get(productId) ?? 0
        held.delete(productId)
        products += 1
        if ((productIds && !productIds.has(productId)) || findings.length >= limit) continue
        const books = {
          productId,
          isWellFormed: isWellFormed(document),
          version,
          stock,
          stocked,
          held: heldOfProduct,
          answered: answered.get(productId) ?? 0,
          ledger: ledger.get(productId) ?? 0,
          hasRightMark: deleted || inStock === stock > 0,
        }
        findings.push(...findFaults(books))
      }
      const holdsOfUnknownProducts = [...held].map(([productId, sum]) => ({ productId, held: sum }))
      return { products, findings, holdsOfUnknownProducts }
    }),
})

const sumHolds = (database: Database, options: SnapshotOptions, lines: 'requested' | 'held') =>
  sum(database, options, 'reservations', [
    { $match: { state: 'held' } },
    { $unwind: `$${lines}` },
    { $group: { _id: `$${lines}.productId`, sum: { $sum: `$${lines}.quantity` } } },
  ])

/** Runs a pipeline of sums by product. An operator's edit may store a product's id as a string: both sums are added. */
async function sum(
  database: Database,
  options: SnapshotOptions,
  collection: string,
  pipeline: object[],
): Promise<Map<string, number>> {
  const rows = database.connection
    .collection(collection)
    .aggregate<Sum>(pipeline, { ...options, allowDiskUse: true })
  const sums = new Map<string, number>()
  for (const { _id, sum } of await rows.toArray()) {
    sums.set(String(_id), (sums.get(String(_id)) ?? 0) + sum)
  }
  return sums
}
