// A customer of the demo shop: signs in, searches, and buys. With an admin's credentials it then changes a price.
import { ProblemError, signIn } from './api.ts'
import { buy } from './buy.ts'
import { reprice } from './reprice.ts'

const { SHOP_URL = 'http://localhost:3000', SHOP_ADMIN_EMAIL, SHOP_ADMIN_PASSWORD } = process.env

const api = await signIn(SHOP_URL, 'demo@example.com', 'two cups of coffee')

const { data: found, error } = await api.GET('/products', {
  params: { query: { q: 'cup', maxPrice: 15, inStock: true, sort: '-price' } },
})
if (error) throw new ProblemError(error)
for (const { name, price, stock } of found.data) console.log(`${name}: ${price} (${stock} in stock)`)

// The order asks for more than the stock of the last product, so that the shop refuses it at first.
const lines = found.data.map(({ productId }) => ({ productId, quantity: 1 }))
const order = await buy(api, [...lines, { productId: '66f2a1b0c3d4e5f607182901', quantity: 2 }])
console.log(`order ${order.orderId} is ${order.status}: ${order.totalAmount}`)
for (const { name, quantity } of order.productList) console.log(`  ${quantity} × ${name}`)

const [product] = found.data
if (product && SHOP_ADMIN_EMAIL && SHOP_ADMIN_PASSWORD) {
  const admin = await signIn(SHOP_URL, SHOP_ADMIN_EMAIL, SHOP_ADMIN_PASSWORD)
  // The order has changed the stock and so the version, but not what the price depends on.
  const repriced = await reprice(admin, product, ({ price }) => Math.round(90 * price) / 100)
  console.log(`${repriced.name} now costs ${repriced.price}`)
}
