import { Types } from 'mongoose'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Call, createCall } from '#kernel/call.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { connectMongo } from '#test/support/shop.ts'
import { createOrderRepository, type OrderRepository } from './order.repository.ts'
import { confirmedOrder, type Order, pendingOrder, rejectedOrder } from './order.ts'
import { createOrderScans } from './order-scans.repository.ts'

// Two replicas work on the same orders. `elsewhere` takes a step between a write of `here` and the read that follows it.

let mongo: Mongo
let database: Database
let here: OrderRepository
let elsewhere: OrderRepository
let afterWriteHere: (() => Promise<unknown>) | undefined
beforeAll(async () => {
  mongo = await connectMongo()
  database = mongo.database('order')
  elsewhere = createOrderRepository(database, await quiet)
  const interfered: Database = {
    ...database,
    async run(operation, call, work) {
      const result = await database.run(operation, call, work)
      const interference = afterWriteHere
      afterWriteHere = undefined
      await interference?.()
      return result
    },
  }
  here = createOrderRepository(interfered, await quiet)
})
afterAll(async () => {
  await database.connection.dropDatabase()
  await mongo.close()
})

const by = 'a user'
const call = (): Call => createCall(20_000, 'test')
const place = async (): Promise<Order> => {
  const orderId = elsewhere.newId()
  const request = { userId: elsewhere.newId(), key: orderId, lines: [{ productId: orderId, quantity: 1 }] }
  const times = { leaseUntil: Date.now(), createdAt: new Date() }
  const order = pendingOrder({ orderId, ...request, linesHash: '', ...times })
  if (!(await elsewhere.insert(order, order.userId, call()))) throw new Error('the order is there already')
  return order
}
const taken = (order: Order | undefined): Order => {
  if (!order) throw new Error('the step was lost')
  return order
}
const held = (order: Order) => order.lines.map((line) => ({ ...line, name: 'Cup', price: 500 }))
const placeConfirmed = async () => {
  const order = await place()
  return taken(await elsewhere.confirm(order, held(order), 'EUR', call()))
}

describe('a step whose answer is not known', () => {
  const cases: [
    string,
    () => Promise<Order>,
    (order: Order) => Promise<Order | undefined>,
    (order: Order) => unknown,
  ][] = [
    [
      'confirmed, then cancelled',
      place,
      (order) => here.confirm(order, held(order), 'EUR', call()),
      (order) => elsewhere.beginCancelling(order, Date.now(), by, call()),
    ],
    [
      'shipped, then delivered',
      placeConfirmed,
      (order) => here.advance(order, 'shipped', by, call()),
      (order) => elsewhere.advance(order, 'delivered', by, call()),
    ],
    [
      'cancelling, then taken over and cancelled',
      placeConfirmed,
      (order) => here.beginCancelling(order, Date.now(), by, call()),
      async (order) => {
        const owned = taken(await elsewhere.takeOver(order, Date.now() + 1_000, call()))
        taken(await elsewhere.finishCancelling(owned, by, call()))
      },
    ],
    [
      'undone, then cancelled',
      place,
      (order) => here.beginUndo(order, Date.now(), by, call()),
      (order) => elsewhere.finishCancelling(order, by, call()),
    ],
    [
      'taken over, then cancelled',
      place,
      (order) => here.takeOver(order, Date.now() + 1_000, call()),
      (order) => elsewhere.beginCancelling(order, Date.now(), by, call()),
    ],
  ]

  it.each(cases)(
    'a step is reported as successful even if another replica takes the next step at once: %s',
    async (_what, prepare, stepHere, stepElsewhere) => {
      const [order, other] = await Promise.all([prepare(), place()])
      afterWriteHere = async () => {
        const now = await elsewhere.find(order, call())
        await stepElsewhere(taken(now))
      }
      // The second change is lost, so the repository has to find out from the stored orders which of the two took effect.
      const stale = { ...other, version: 7 }
      const [step, lost] = await Promise.all([
        stepHere(order),
        here.reject(stale, { code: 'unknown_product', productIds: [] }, call()),
      ])
      expect(lost).toBeUndefined()
      expect(step).toMatchObject({ orderId: order.orderId })
      expect(await elsewhere.find(order, call())).not.toMatchObject({
        version: order.version,
        leaseUntil: order.leaseUntil,
      })
    },
  )
})

it('an insert whose answer was lost succeeds, and an insert of another order with the same id does not', async () => {
  const placed = ['d', 'e'].map((digit) => {
    const [orderId, times] = [digit.repeat(24), { leaseUntil: Date.now(), createdAt: new Date() }]
    return pendingOrder({ orderId, userId: orderId, key: 'lost', lines: [], linesHash: '', ...times })
  })
  const confirmed = placed.map((order) => confirmedOrder(order, [], 'EUR'))
  const insert = (orders: Order[]) => Promise.all(orders.map((order) => here.insert(order, by, call())))
  // Both are sent in one command. Then each is sent alone.
  afterWriteHere = () => Promise.reject(new Error('the answer is lost'))
  expect(await insert(confirmed)).toEqual([true, true])
  expect(await insert(confirmed)).toEqual([false, false])
  expect(await insert(placed)).toEqual([false, false])
})

it('a rejected order is not deleted if another request has placed a rejected order with its id since', async () => {
  const place = async () => {
    const orderId = 'c'.repeat(24)
    const times = { leaseUntil: Date.now(), createdAt: new Date() }
    const order = pendingOrder({ orderId, userId: orderId, key: 'key', lines: [], linesHash: '', ...times })
    const rejected = rejectedOrder(order, { code: 'unknown_product', productIds: [] })
    expect(await here.insert(rejected, order.userId, call())).toBe(true)
    return rejected
  }
  const first = await place()
  expect(await here.expireRejected(first, call())).toBe(true)
  expect(await here.expireRejected(first, call())).toBe(false)
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(first.updatedAt.getTime()))
  const second = await place()
  expect(await here.expireRejected(first, call())).toBe(false)
  expect(await here.find(second, call())).toMatchObject({ status: 'rejected' })
})

it('an order stores each change of status with its time, and a takeover is no change of status', async () => {
  const order = await place()
  const owned = taken(await here.takeOver(order, Date.now() + 1_000, call()))
  const confirmed = taken(await here.confirm(owned, held(order), 'EUR', call()))
  const cancelling = taken(await here.beginCancelling(confirmed, Date.now(), by, call()))
  const cancelled = taken(await here.finishCancelling(cancelling, by, call()))
  const stored = await database.connection.collection('orders').findOne({ key: order.key })
  expect(stored?.steps).toMatchObject([
    { status: 'confirmed', at: confirmed.updatedAt, by: order.userId },
    { status: 'cancelling', at: cancelling.updatedAt, by },
    { status: 'cancelled', at: cancelled.updatedAt, by },
  ])
})

it('a replica that does not know the list of steps works beside a replica that knows it', async () => {
  const order = await placeConfirmed()
  // A replica of an older version writes this.
  const orders = database.connection.collection('orders')
  await orders.updateOne({ key: order.key }, { $set: { status: 'shipped', version: 3, stepId: 'theirs' } })
  const [, delivered] = await Promise.all([
    here.advance(order, 'shipped', by, call()),
    here.advance({ ...order, status: 'shipped', version: 3 }, 'delivered', by, call()),
  ])
  expect(delivered).toMatchObject({ status: 'delivered' })
  expect(await orders.findOne({ key: order.key })).toMatchObject({
    stepId: 'theirs',
    steps: [{ status: 'confirmed' }, { status: 'delivered' }],
  })
})

it('the scan finds unfinished orders behind more malformed orders than it reads at once', async () => {
  const orders = database.connection.collection('orders')
  const later = Date.now() + 60_000
  const scan = () =>
    createOrderScans(database).unfinished({ pendingSince: later, cancellingSince: later, limit: 3 }, call())
  const malformed = await Promise.all(Array.from({ length: 7 }, place))
  const ids = malformed.map(({ orderId }) => new Types.ObjectId(orderId))
  const first = new Date(0)
  await orders.updateMany({ _id: { $in: ids } }, { $set: { lines: [null], leaseUntil: first } })
  const { orderId } = await place()
  await orders.updateOne({ _id: new Types.ObjectId(orderId) }, { $set: { leaseUntil: new Date(1) } })
  expect((await scan())[0]?.orderId).toBe(orderId)
  await orders.deleteMany({ _id: { $in: ids } })
})
