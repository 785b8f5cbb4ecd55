import { createHash } from 'node:crypto'
import { mongo } from 'mongoose'

// Inserts products and orders directly into MongoDB, a million per minute, in the form in which the program stores them.
// seed-check.ts verifies the form.

/** The last six hex digits of an id count from 0, so that load.lua can compute a random id. */
export const productIdPrefix = '68a000000000000000'
export const productIdOf = (number: number): string => productIdPrefix + number.toString(16).padStart(6, '0')

const batchSize = 10_000
const firstCreatedAtMs = Date.UTC(2025, 0, 1)
const secondMs = 1_000

export async function seedProducts(
  db: mongo.Db,
  count: number,
  { stock = 1_000_000, ledger = false }: { stock?: number; ledger?: boolean } = {},
): Promise<void> {
  await insert(db.collection('products'), count, (number) => productDocument(number, stock))
  if (ledger) await insert(db.collection('stockLedger'), count, (number) => ledgerDocument(number, stock))
}

/** Inserts orders of `customers` other customers in turn. Each `everyNth` order is one of `userId`. */
export const seedOrders = (
  db: mongo.Db,
  count: number,
  of: { userId: string; everyNth: number; customers: number; products: number },
): Promise<void> => insert(db.collection('orders'), count, (number) => orderDocument(number, of))

const productDocument = (number: number, stock: number) => {
  const at = new Date(firstCreatedAtMs + number * secondMs)
  return {
    _id: new mongo.ObjectId(productIdOf(number)),
    name: `Cup no. ${number}`,
    description: 'Stoneware, glazed inside and out, 30 cl. Safe in dishwashers, ovens and microwaves.',
    price: 500 + (number % 10_000),
    stock,
    stocked: stock,
    inStock: stock > 0,
    version: 1,
    contentVersion: 1,
    deleted: false,
    createdAt: at,
    updatedAt: at,
  }
}

const ledgerDocument = (number: number, stock: number) => ({
  productId: new mongo.ObjectId(productIdOf(number)),
  change: stock,
  stock,
  by: 'bench',
  reason: 'created',
  at: new Date(firstCreatedAtMs + number * secondMs),
})

function orderDocument(
  number: number,
  { userId, everyNth, customers, products }: Parameters<typeof seedOrders>[2],
) {
  const at = new Date(firstCreatedAtMs + number * secondMs)
  const product = productDocument(number % products, 0)
  const productId = product._id.toHexString()
  const otherUserId = `68b000000000000000${(number % customers).toString(16).padStart(6, '0')}`
  const ownerId = number % everyNth === 0 ? userId : otherUserId
  return {
    _id: new mongo.ObjectId(),
    userId: new mongo.ObjectId(ownerId),
    key: `bench-${number}`,
    linesHash: createHash('sha256')
      .update(JSON.stringify([[productId, 1]]))
      .digest('hex'),
    lines: [{ productId, quantity: 1, name: product.name, price: product.price }],
    totalAmount: product.price,
    currency: 'EUR',
    status: 'confirmed',
    version: 2,
    leaseUntil: new Date(at.getTime() + 4 * secondMs),
    steps: [{ id: new mongo.ObjectId().toHexString(), status: 'confirmed', at, by: ownerId }],
    confirmation: { at, version: 2 },
    createdAt: at,
    updatedAt: at,
  }
}

/** Does not wait for the journal, because the inserts are not measured. */
async function insert(
  collection: mongo.Collection,
  count: number,
  documentOf: (number: number) => mongo.Document,
): Promise<void> {
  for (let from = 0; from < count; from += batchSize) {
    const size = Math.min(batchSize, count - from)
    const documents = Array.from({ length: size }, (_, index) => documentOf(from + index))
    await collection.insertMany(documents, { ordered: false, writeConcern: { w: 1 } })
  }
}
