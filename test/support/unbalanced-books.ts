import type { Collections } from './collections.ts'

/**
 * Checks the books (`ProductBooks`) of every product independently of the audit: the stock is not negative, and `stocked` equals
 * both the stock plus the held quantities and the sum of the ledger.
 * @returns a text for each fault
 */
export async function findUnbalancedBooks(shop: Collections): Promise<string[]> {
  const db = await shop.collections('product')
  const sums = async (collection: string, pipeline: object[]): Promise<Map<string, number>> => {
    const rows = await db.collection(collection).aggregate(pipeline).toArray()
    return new Map(rows.map(({ _id, sum }) => [String(_id), Number(sum)]))
  }
  const held = await sums('reservations', [
    { $match: { state: 'held' } },
    { $unwind: '$held' },
    { $group: { _id: '$held.productId', sum: { $sum: '$held.quantity' } } },
  ])
  const ledger = await sums('stockLedger', [{ $group: { _id: '$productId', sum: { $sum: '$change' } } }])
  const products = await db.collection('products').find().toArray()
  return products.flatMap(({ _id, stock, stocked }) => {
    const id = String(_id)
    const faults: string[] = []
    if (stock < 0) faults.push(`${id}: stock ${stock}`)
    if (stock + (held.get(id) ?? 0) !== stocked)
      faults.push(`${id}: ${stock} + held ${held.get(id)} ≠ ${stocked}`)
    if ((ledger.get(id) ?? 0) !== stocked) faults.push(`${id}: ledger ${ledger.get(id)} ≠ ${stocked}`)
    return faults
  })
}
