// A typical implementation of reads: Express and mongoose documents.
import express from 'express'
import mongoose from 'mongoose'
import { closeOnStop, connectionOptions, database, port, uri } from './connection.ts'
import { Product } from './product-model.ts'

await mongoose.connect(uri, { ...connectionOptions, dbName: database })
const app = express()

app.get('/products', async (request, response) => {
  const data = await Product.find({ deleted: false })
    .sort({ createdAt: -1, _id: -1 })
    .limit(Number(request.query.limit))
  response.json({ data })
})

app.get('/products/:id', async (request, response) => {
  const product = await Product.findById(request.params.id)
  if (product) response.json(product)
  else response.status(404).json({ error: 'not found' })
})

closeOnStop(app.listen(port, '127.0.0.1'), () => mongoose.disconnect())
