import { createHash } from 'node:crypto'
import { mongo } from 'mongoose'

// Products and orders as the program stores them, straight into MongoDB: a million of them in a minute. That they look
// like the program's own is checked where most depends on it (scenarios/growth.ts).

/** Ids count from 0 in their last six hex digits, so that whoever asks for a random one needs no list. */
export const productIdPrefix = '68a000000000000000'
export const productIdOf = (number: number): string => productIdPrefix + number.toString(16).padStart(6, '0')

const batch = 10_000
const begin = Date.UTC(2025, 0, 1)
const seconds = 1_000

export async function seedProducts(
  db: mongo.Db,
  count: number,
  { stock = 1_000_000, ledger = false }: { stock?: number; ledger?: boolean } = {},
): Promise<void> {
  await insert(db.collection('products'), count, (number) => productDocument(number, stock))
  if (ledger) await insert(db.collection('stockLedger'), count, (number) => ledgerDocument(number, stock))
}

/** Orders of so many customers in turn; every `everyNth` is one of `userId`. */
export const seedOrders = (
  db: mongo.Db,
  count: number,
  of: { userId: string; everyNth: number; customers: number; products: number },
): Promise<void> => insert(db.collection('orders'), count, (number) => orderDocument(number, of))

const productDocument = (number: number, stock: number) => {
  const at = new Date(begin + number * seconds)
  return {
    _id: new mongo.ObjectId(productIdOf(number)),
    name: `Cup no. ${number}`,
    description: 'Stoneware, glazed inside and out, 30 cl. Safe in dishwashers, ovens and microwaves.',
    price: 500 + (number % 10_000),
    stock,
    stocked: stock,
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
  at: new Date(begin + number * seconds),
})

function orderDocument(
  number: number,
  { userId, everyNth, customers, products }: Parameters<typeof seedOrders>[2],
) {
  const at = new Date(begin + number * seconds)
  const product = productDocument(number % products, 0)
  const productId = product._id.toHexString()
  const other = `68b000000000000000${(number % customers).toString(16).padStart(6, '0')}`
  return {
    _id: new mongo.ObjectId(),
    userId: new mongo.ObjectId(number % everyNth === 0 ? userId : other),
    key: `bench-${number}`,
    linesHash: createHash('sha256')
      .update(JSON.stringify([[productId, 1]]))
      .digest('hex'),
    lines: [{ productId, quantity: 1, name: product.name, price: product.price }],
    totalAmount: product.price,
    status: 'confirmed',
    version: 2,
    leaseUntil: new Date(at.getTime() + 4 * seconds),
    stepId: new mongo.ObjectId().toHexString(),
    confirmation: { at, version: 2 },
    createdAt: at,
    updatedAt: at,
  }
}

/** Unordered and unconfirmed by the journal: what is measured comes later. */
async function insert(
  collection: mongo.Collection,
  count: number,
  documentOf: (number: number) => mongo.Document,
): Promise<void> {
  for (let from = 0; from < count; from += batch) {
    const size = Math.min(batch, count - from)
    const documents = Array.from({ length: size }, (_, at) => documentOf(from + at))
    await collection.insertMany(documents, { ordered: false, writeConcern: { w: 1 } })
  }
}
