import { randomUUID } from 'node:crypto'
import { type Api, ProblemError, type Schemas } from './api.ts'

type Line = Schemas['OrderDraft']['productList'][number]

const maxOrders = 3

/**
 * Buys the products, or as many of each as there are. The key makes each order safe to send again: the shop places one order
 * for all requests with the same key. Another order needs another key.
 */
export async function buy(api: Api, lines: Line[], attempt = 1): Promise<Schemas['Order']> {
  const { data: order, error } = await api.POST('/orders', {
    params: { header: { 'Idempotency-Key': randomUUID() } },
    body: { productList: lines },
  })
  if (order) return order
  if (error.code !== 'insufficient_stock' || attempt === maxOrders) throw new ProblemError(error)

  const available = new Map(error.items.map((item) => [item.productId, item.available]))
  const remaining = lines
    .map(({ productId, quantity }) => ({
      productId,
      quantity: Math.min(quantity, available.get(productId) ?? quantity),
    }))
    .filter(({ quantity }) => quantity > 0)
  if (remaining.length === 0) throw new ProblemError(error)
  return buy(api, remaining, attempt + 1)
}
