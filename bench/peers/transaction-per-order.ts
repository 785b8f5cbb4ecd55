// Orders as most tutorials write them: a transaction that takes each line's stock on condition that there is enough, and
// then stores the order. Nobody is signed in, nothing is checked, and a repeated request is a second order.
import express from 'express'
import mongoose from 'mongoose'
import { connectionOptions, database, port, untilStopped, uri } from './connection.ts'
import { type Basket, Order } from './order-model.ts'
import { Product } from './product-model.ts'

await mongoose.connect(uri, { ...connectionOptions, dbName: database })
// To create it within a transaction would conflict with others.
await Order.createCollection()
const app = express()
app.use(express.json())

app.get('/products/:id', async (request, response) => {
  const product = await Product.findById(request.params.id)
  if (product) response.json(product)
  else response.status(404).json({ error: 'not found' })
})

app.post('/orders/create_order', async (request, response) => {
  const { productList } = request.body as Basket
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
        if (!product) throw new Error(`not enough of ${productId}`)
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

untilStopped(app.listen(port, '127.0.0.1'), () => mongoose.disconnect())
