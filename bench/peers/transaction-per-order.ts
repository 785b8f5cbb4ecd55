// Orders as in most tutorials: a transaction takes the stock of each line if there is enough, and then inserts the order.
// It checks no token and no input, and a repeated request creates a second order.
import express from 'express'
import mongoose from 'mongoose'
import { closeOnStop, connectionOptions, database, port, uri } from './connection.ts'
import { Order, type OrderRequest } from './order-model.ts'
import { Product } from './product-model.ts'

await mongoose.connect(uri, { ...connectionOptions, dbName: database })
// Two transactions that create the collection would conflict.
await Order.createCollection()
const app = express()
app.use(express.json())

app.get('/products/:id', async (request, response) => {
  const product = await Product.findById(request.params.id)
  if (product) response.json(product)
  else response.status(404).json({ error: 'not found' })
})

app.post('/orders/create_order', async (request, response) => {
  const { productList } = request.body as OrderRequest
  const session = await mongoose.startSession()
  try {
    const order = await session.withTransaction(async () => {
      const lines = []
      for (const { productId, quantity } of productList) {
        const product = await Product.findOneAndUpdate(
          { _id: productId, stock: { $gte: quantity } },
          { $inc: { stock: -quantity } },
          { session, returnDocument: 'after' },
        )
        if (!product) throw new Error(`the stock of ${productId} is too low`)
        lines.push({ productId, quantity, name: product.name, price: product.price })
      }
      const totalAmount = lines.reduce((sum, { price, quantity }) => sum + price * quantity, 0)
      const [created] = await Order.create([{ lines, totalAmount, status: 'confirmed' }], { session })
      return created
    })
    response.status(201).json(order)
  } catch (error) {
    response.status(409).json({ error: String(error) })
  } finally {
    await session.endSession()
  }
})

closeOnStop(app.listen(port, '127.0.0.1'), () => mongoose.disconnect())
