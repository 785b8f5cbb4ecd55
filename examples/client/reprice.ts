import { type Api, ProblemError, type Schemas } from './api.ts'

type Product = Schemas['Product']

const maxAttempts = 5

/**
 * Sets a new price that depends on the current product. If another client has changed the product in the meantime, the shop
 * answers with the product as it is now, and the price is computed again from that product.
 */
export async function reprice(
  api: Api,
  product: Product,
  priceOf: (product: Product) => number,
  attempt = 1,
): Promise<Product> {
  const { data, error } = await api.PATCH('/products/{id}', {
    params: { path: { id: product.productId } },
    body: { price: priceOf(product), version: product.version },
  })
  if (data) return data
  if (error.code !== 'version_conflict' || attempt === maxAttempts) throw new ProblemError(error)
  return reprice(api, error.current, priceOf, attempt + 1)
}
