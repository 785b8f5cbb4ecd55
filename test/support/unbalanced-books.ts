import type { Collections } from './collections.ts'

/**
 * Checks the stock invariant of every product: stock is not negative, stock plus held quantities equals `stocked`, and
 * the ledger's changes add up to `stocked`.
 * @returns a text for each violation
 */
export async function stockInvariantViolations(shop: Collections): Promise<string[]> {
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
