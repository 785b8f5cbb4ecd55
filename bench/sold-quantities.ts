import { setTimeout as sleep } from 'node:timers/promises'
import type { mongo } from 'mongoose'

export interface SoldQuantities {
  /** The difference between what was put into stock and what is left, over all products. */
  takenFromStock: number
  /** The sum of the quantities of all confirmed orders. */
  inConfirmedOrders: number
}

// The sweeper undoes an interrupted order within a minute.
const maxWaitMs = 90_000

/** Reads both sums from MongoDB, and repeats that until they agree or all unfinished orders must be undone. */
export async function readSoldQuantities(
  products: mongo.Collection,
  orders: mongo.Collection,
): Promise<SoldQuantities> {
  const until = Date.now() + maxWaitMs
  for (;;) {
    const takenFromStock = await aggregateSum(products, [
      { $group: { _id: null, sum: { $sum: { $subtract: ['$stocked', '$stock'] } } } },
    ])
    const inConfirmedOrders = await aggregateSum(orders, [
      { $match: { status: 'confirmed' } },
      { $unwind: '$lines' },
      { $group: { _id: null, sum: { $sum: '$lines.quantity' } } },
    ])
    if (takenFromStock === inConfirmedOrders || Date.now() > until)
      return { takenFromStock, inConfirmedOrders }
    await sleep(1_000)
  }
}

async function aggregateSum(collection: mongo.Collection, pipeline: mongo.Document[]): Promise<number> {
  const [row] = await collection.aggregate(pipeline).toArray()
  return Number(row?.sum ?? 0)
}
