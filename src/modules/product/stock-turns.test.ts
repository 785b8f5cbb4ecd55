import { randomBytes } from 'node:crypto'
import { Types } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { call, type PortShop, startPortShop } from '../../../test/ports.ts'
import { type ProductPort, productPort } from './contract.ts'

// A process decides on products as it left them. Here somebody else changes them in between: another replica, or an
// operator by hand.

let host: PortShop
let port: ProductPort
beforeAll(async () => {
  host = await startPortShop()
  port = host.local(productPort)
})
afterAll(() => host.close())

const reserve = (productId: string, quantity = 1, orderId = randomBytes(12).toString('hex')) =>
  port.reserve({ orderId, lines: [{ productId, quantity }] }, call())
const product = async (stock: number): Promise<string> =>
  (await host.shop.product(host.shop.adminToken, { name: 'Cup', price: 5, stock })).productId
const change = async (productId: string, update: object) =>
  (await host.shop.collections('product'))
    .collection('products')
    .updateOne({ _id: new Types.ObjectId(productId) }, update)
const stored = async (productId: string) =>
  (await host.shop.collections('product'))
    .collection('products')
    .findOne({ _id: new Types.ObjectId(productId) })

it('what another replica has sold meanwhile is not sold again', async () => {
  const productId = await product(5)
  await reserve(productId)
  await change(productId, { $inc: { stock: -3, stocked: -3, version: 1 } })
  expect(await reserve(productId, 2)).toEqual({
    state: 'rejected',
    rejection: { code: 'insufficient_stock', items: [{ productId, requested: 2, available: 1 }] },
  })
  expect(await reserve(productId)).toMatchObject({ state: 'held' })
  expect(await stored(productId)).toMatchObject({ stock: 0 })
})

it('stock is held at the price that another replica has changed meanwhile', async () => {
  const productId = await product(5)
  await reserve(productId)
  await change(productId, { $set: { price: 700 }, $inc: { version: 1 } })
  const held = { state: 'held', lines: [{ productId, quantity: 1, name: 'Cup', price: 700 }] }
  expect(await reserve(productId)).toEqual(held)
})

it('nobody is refused for what was there a moment ago', async () => {
  const productId = await product(1)
  await reserve(productId)
  await change(productId, { $inc: { stock: 4, stocked: 4 } })
  expect(await reserve(productId, 3)).toMatchObject({ state: 'held' })
})

it('a reserve that is repeated, among others that are not, is answered as it was', async () => {
  const [productId, other] = await Promise.all([product(5), product(5)])
  const orderId = randomBytes(12).toString('hex')
  const first = await reserve(productId, 2, orderId)
  const outcomes = await Promise.all([reserve(other), reserve(productId, 2, orderId), reserve(productId)])
  expect(outcomes).toMatchObject([{ state: 'held' }, first, { state: 'held' }])
  expect(await stored(productId)).toMatchObject({ stock: 2 })
  expect(await stored(other)).toMatchObject({ stock: 4 })
})

it('a product that somebody has spoilt is no matter of those who want another', async () => {
  const [spoilt, sound] = await Promise.all([product(5), product(5)])
  await change(spoilt, { $set: { stock: 'five' } })
  const outcomes = await Promise.allSettled([
    reserve(sound),
    reserve(spoilt),
    reserve(sound),
    reserve(spoilt),
    reserve(sound),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  expect(await stored(sound)).toMatchObject({ stock: 2 })
  expect(await stored(spoilt)).toMatchObject({ stock: 'five' })
})
