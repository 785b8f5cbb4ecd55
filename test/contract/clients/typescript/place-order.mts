// Orders more of a product than there is, and prints what is available.
import { createClient } from './shop/client/index.js'
import { placeOrder } from './shop/index.js'

const [baseUrl = '', auth = '', productId = ''] = process.argv.slice(2)
const client = createClient({ baseUrl, auth })
const body = { productList: [{ productId, quantity: 1000 }] }
const { error } = await placeOrder({ client, body })

if (error?.code !== 'insufficient_stock')
  throw new Error(`the order was not refused for lack of stock: ${error?.code}`)
for (const item of error.items) {
  const available: number = item.available
  console.log(`${item.productId}: ${item.requested} requested, ${available} available`)
}
