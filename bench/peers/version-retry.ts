// Orders without transactions: read the product, write it back where its version is still the one that was read, and try
// again until that succeeds; then store the order. What dies in between loses stock. Nobody is signed in, nothing is
// checked, and a repeated request is a second order.
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import mongoose from 'mongoose'
import { connectionOptions, database, port, untilStopped, uri } from './connection.ts'
import { type Basket, Order } from './order-model.ts'
import { Product } from './product-model.ts'

const attempts = 100
/** Of the wait before another attempt, which is random so that those who collided once do not do so again. Milliseconds. */
const longestWait = 50

await mongoose.connect(uri, { ...connectionOptions, dbName: database })
await Order.createCollection()
const app = express()
app.use(express.json())

/** @returns undefined if there is not enough, or somebody else was first every time */
async function take(productId: string, quantity: number) {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const product = await Product.findById(productId).lean()
    if (!product || product.stock < quantity) return undefined
    const { modifiedCount } = await Product.updateOne(
      { _id: productId, version: product.version },
      { $inc: { stock: -quantity, version: 1 } },
    )
    if (modifiedCount === 1) return product
    await sleep(Math.random() * Math.min(2 ** attempt, longestWait))
  }
  return undefined
}

app.post('/orders/create_order', async (request, response) => {
  const { productList } = request.body as Basket
  const lines = []
  for (const { productId, quantity } of productList) {
    const product = await take(productId, quantity)
    if (!product) {
      for (const line of lines)
        await Product.updateOne({ _id: line.productId }, { $inc: { stock: line.quantity, version: 1 } })
      response.status(409).json({ error: `${productId} was not to be had` })
      return
    }
    lines.push({ productId, quantity, name: product.name, price: product.price })
  }
  const totalAmount = lines.reduce((sum, { price, quantity }) => sum + price * quantity, 0)
  response.status(201).json(await Order.create({ lines, totalAmount, status: 'confirmed' }))
})

untilStopped(app.listen(port, '127.0.0.1'), () => mongoose.disconnect())
