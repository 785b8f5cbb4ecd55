// Orders without transactions: it reads the product, updates it if its version is unchanged, and repeats both until the
// update succeeds. Then it inserts the order. A crash in between loses stock. It checks no token and no input, and a
// repeated request creates a second order.
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import mongoose from 'mongoose'
import { closeOnStop, connectionOptions, database, port, uri } from './connection.ts'
import { Order, type OrderRequest } from './order-model.ts'
import { Product } from './product-model.ts'

const maxAttempts = 100
/** The delay before an attempt is random, so that two requests that collided do not collide again. */
const maxDelayMs = 50

await mongoose.connect(uri, { ...connectionOptions, dbName: database })
await Order.createCollection()
const app = express()
app.use(express.json())

/** @returns undefined if the stock is too low, or if other requests changed the product during each attempt */
async function takeStock(productId: string, quantity: number) {
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    const product = await Product.findById(productId).lean()
    if (!product || product.stock < quantity) return undefined
    const { modifiedCount } = await Product.updateOne(
      { _id: productId, version: product.version },
      { $inc: { stock: -quantity, version: 1 } },
    )
    if (modifiedCount === 1) return product
    await sleep(Math.random() * Math.min(2 ** attempt, maxDelayMs))
  }
  return undefined
}

app.post('/orders/create_order', async (request, response) => {
  const { productList } = request.body as OrderRequest
  const lines = []
  for (const { productId, quantity } of productList) {
    const product = await takeStock(productId, quantity)
    if (!product) {
      for (const line of lines)
        await Product.updateOne({ _id: line.productId }, { $inc: { stock: line.quantity, version: 1 } })
      response.status(409).json({ error: `the stock of ${productId} could not be taken` })
      return
    }
    lines.push({ productId, quantity, name: product.name, price: product.price })
  }
  const totalAmount = lines.reduce((sum, { price, quantity }) => sum + price * quantity, 0)
  response.status(201).json(await Order.create({ lines, totalAmount, status: 'confirmed' }))
})

closeOnStop(app.listen(port, '127.0.0.1'), () => mongoose.disconnect())
