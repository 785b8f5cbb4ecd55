// The minimum for a read: node:http and the driver, one query per request, the document as JSON. It checks, logs, caches
// and shares nothing.
import { createServer, type ServerResponse } from 'node:http'
import { mongo } from 'mongoose'
import { closeOnStop, connectionOptions, database, port, uri } from './connection.ts'

const client = await mongo.MongoClient.connect(uri, connectionOptions)
const products = client.db(database).collection('products')

const send = (response: ServerResponse, status: number, body: unknown) =>
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))

const server = createServer(async (request, response) => {
  const url = request.url ?? ''
  try {
    if (url.startsWith('/products?')) {
      const limit = Number(new URLSearchParams(url.slice(url.indexOf('?'))).get('limit'))
      const newest = products.find({ deleted: false }).sort({ createdAt: -1, _id: -1 }).limit(limit)
      send(response, 200, { data: await newest.toArray() })
    } else if (url.startsWith('/products/')) {
      const product = await products.findOne({ _id: new mongo.ObjectId(url.slice('/products/'.length)) })
      send(response, product ? 200 : 404, product)
    } else send(response, 404, null)
  } catch (error) {
    send(response, 500, String(error))
  }
})
server.listen(port, '127.0.0.1')
closeOnStop(server, () => client.close())
