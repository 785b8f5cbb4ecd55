import { setTimeout as sleep } from 'node:timers/promises'
import type { mongo } from 'mongoose'

export interface Books {
  /** How much less is in stock than was put in, over all products. */
  taken: number
  /** How much confirmed orders have, over all of them. */
  ordered: number
}

// An order that was cut off is undone within a minute. Milliseconds.
const settledWithin = 90_000

/** Adds up what MongoDB has, until both sums agree or there is nothing left to wait for. */
export async function readBooks(products: mongo.Collection, orders: mongo.Collection): Promise<Books> {
  const until = Date.now() + settledWithin
  for (;;) {
    const books = {
      taken: await sumOf(products, [
        { $group: { _id: null, sum: { $sum: { $subtract: ['$stocked', '$stock'] } } } },
      ]),
      ordered: await sumOf(orders, [
        { $match: { status: 'confirmed' } },
        { $unwind: '$lines' },
        { $group: { _id: null, sum: { $sum: '$lines.quantity' } } },
      ]),
    }
    if (books.taken === books.ordered || Date.now() > until) return books
    await sleep(1_000)
  }
}

async function sumOf(collection: mongo.Collection, pipeline: mongo.Document[]): Promise<number> {
  const [row] = await collection.aggregate(pipeline).toArray()
  return Number(row?.sum ?? 0)
}
