import type { Collections } from './collections.ts'

/**
 * What has to hold for every product whatever happened: stock is not negative, and stock plus all that is held is
 * all that was ever put in, which the ledger adds up to.
 * @returns what does not hold, for a test to expect nothing
 */
export async function unbalancedBooks(shop: Collections): Promise<string[]> {
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
