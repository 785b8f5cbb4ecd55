import { inspect, isDeepStrictEqual } from 'node:util'
import { post, signIn } from './customers.ts'
import { admin } from './programs.ts'
import { productIdOf, seedOrders, seedProducts } from './seed.ts'
import type { Shop } from './shop.ts'

/**
 * Compares a product and an order that the program stores with those that seed.ts inserts. Empties the collections.
 * @throws Error if they have different fields or types
 */
export async function checkSeedForm(shop: Shop, url: string): Promise<void> {
  const token = await signIn(url, admin.email, admin.password)
  const product = { name: 'Cup', description: 'Stoneware', price: 12.9, stock: 10 }
  const { productId } = await post<{ productId: string }>(`${url}/products`, product, token)
  const headers = { 'Idempotency-Key': 'first' }
  await post(`${url}/orders`, { productList: [{ productId, quantity: 1 }] }, token, headers)
  const stored = await takeDocuments(shop)
  await seedProducts(shop.products, 1)
  await seedOrders(shop.orders, 1, { userId: productIdOf(0), everyNth: 1, customers: 1, products: 1 })
  const seeded = await takeDocuments(shop)
  for (const name of ['products', 'orders'] as const) {
    const [expected, actual] = [formOf(stored[name]), formOf(seeded[name])]
    if (!isDeepStrictEqual(expected, actual))
      throw new Error(
        `bench/seed.ts inserts ${name} of the form ${inspect(actual)}, but the program stores ${inspect(expected)}`,
      )
  }
}

const takeDocuments = async (shop: Shop) => ({
  products: await shop.products.collection('products').findOneAndDelete({}),
  orders: await shop.orders.collection('orders').findOneAndDelete({}),
})

/** The names and types of the fields, in any order. */
function formOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(formOf)
  if (typeof value !== 'object' || value === null) return typeof value
  if (Object.getPrototypeOf(value) !== Object.prototype) return value.constructor.name
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, formOf(field)]))
}
