import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Call, createCall } from '#kernel/call.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { migrate } from '#kernel/mongo/migrations.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { connectMongo } from '#test/support/shop.ts'
import { orderMigrations } from './migrations.ts'
import { createOrderRepository, type OrderRepository } from './order.repository.ts'
import { confirmedOrder, type Order, pendingOrder } from './order.ts'
import { createOrderFeed, feedLagMs, type OrderFeed } from './order-feed.repository.ts'
import { followedStatuses } from './order-list.ts'

let mongo: Mongo
let database: Database
beforeAll(async () => {
  mongo = await connectMongo()
  database = mongo.database('order')
  await migrate(mongo, 'order', orderMigrations, async () => undefined, await quiet)
})
afterAll(async () => {
  await database.connection.dropDatabase()
  await mongo.close()
})

const call = (): Call => createCall(20_000, 'test')
const taken = (order: Order | undefined): Order => {
  if (!order) throw new Error('the step was lost')
  return order
}

const newOrder = ({ newId }: OrderRepository): Order => {
  const [orderId, userId] = [newId(), newId()]
  const lines = [{ productId: orderId, quantity: 1 }]
  const times = { leaseUntil: Date.now(), createdAt: new Date() }
  return pendingOrder({ orderId, userId, key: undefined, lines, linesHash: '', ...times })
}

/** A replica whose stamps are older than its writes, as with a clock that is behind or a slow connection. */
async function replica(behindMs: number): Promise<OrderRepository> {
  const late: Database = {
    ...database,
    async run(operation, within, work) {
      await sleep(behindMs)
      return database.run(operation, within, work)
    },
  }
  return createOrderRepository(late, await quiet)
}

/** Follows the changes as the API describes it: pages to the end, then again from the time of the last row. */
function follow(feed: OrderFeed) {
  const versions = new Map<string, number>()
  let updatedAfter: Date | undefined
  return {
    versions,
    async poll() {
      let after: Parameters<OrderFeed>[0]['after']
      const [createdFrom, createdUntil, userId] = [undefined, undefined, undefined]
      const filters = { statuses: followedStatuses, createdFrom, createdUntil, userId, updatedAfter }
      let last = updatedAfter
      do {
        const page = await feed({ ...filters, after, limit: 7 }, call())
        for (const { orderId, version } of page.data) versions.set(orderId, version)
        last = page.data.at(-1)?.updatedAt ?? last
        after = page.next
      } while (after)
      updatedAfter = last
    },
  }
}

it('a client that follows changes misses none whose write came within the lag after its stamp, and would miss some without the lag', async () => {
  const maxBehindMs = 800
  // A change may wait in its queue for another one that is written before it.
  const lagMs = 2 * maxBehindMs + 1_000
  const replicas = await Promise.all([0, 40, 400, maxBehindMs].map(replica))
  const logger = await quiet
  const patient = follow(createOrderFeed(database, logger, { lagMs }))
  const hasty = follow(createOrderFeed(database, logger, { lagMs: 0 }))
  let isWriting = true
  const written = new Map<string, number>()
  /** A loaded machine may write an order later than the lag allows. The list promises nothing about such an order. */
  const late = new Set<string>()
  const note = ({ orderId, version, updatedAt }: Order) => {
    written.set(orderId, version)
    if (Date.now() - updatedAt.getTime() >= lagMs) late.add(orderId)
  }

  const trade = async (orders: OrderRepository) => {
    const placed = newOrder(orders)
    const held = placed.lines.map((line) => ({ ...line, name: 'Cup', price: 500 }))
    const confirmed = confirmedOrder(placed, held, 'EUR')
    expect(await orders.insert(confirmed, placed.userId, call())).toBe(true)
    note(confirmed)
    // Another replica takes the next step.
    const other = replicas[Math.floor(Math.random() * replicas.length)] ?? orders
    note(taken(await other.advance(confirmed, 'shipped', 'a user', call())))
  }
  const write = async (orders: OrderRepository) => {
    while (isWriting) await trade(orders)
  }
  const read = async ({ poll }: ReturnType<typeof follow>, isDone: () => boolean) => {
    while (!isDone()) await poll()
  }

  const writing = replicas.flatMap((orders) => [write(orders), write(orders)])
  const ofFirstSeconds = sleep(4_000).then(() => new Map(written))
  let expected: Map<string, number> | undefined
  void ofFirstSeconds.then((versions) => {
    expected = versions
  })
  const missing = ({ versions }: ReturnType<typeof follow>) =>
    [...(expected ?? [])].filter(
      ([orderId, version]) => !late.has(orderId) && (versions.get(orderId) ?? 0) < version,
    )
  const deadlineMs = Date.now() + 15_000
  const isDone = () => expected !== undefined && (missing(patient).length === 0 || Date.now() > deadlineMs)
  await Promise.all([read(patient, isDone), read(hasty, isDone)])
  isWriting = false
  await Promise.all(writing)

  expect([...(expected?.keys() ?? [])].filter((orderId) => !late.has(orderId)).length).toBeGreaterThan(20)
  expect(missing(patient)).toEqual([])
  expect(missing(hasty).length).toBeGreaterThan(0)
}, 40_000)

it('the lag of the order of changes exceeds the time of a request, its attempts to write, and five seconds for clocks', () => {
  expect([feedLagMs(500), feedLagMs(4_000), feedLagMs(20_000)]).toEqual([26_000, 26_000, 74_000])
})

it('the time of a change of an order never decreases, even if the clock of the next replica is behind', async () => {
  const orders = await replica(0)
  const placed = newOrder(orders)
  expect(await orders.insert(placed, placed.userId, call())).toBe(true)
  const updatedAt = new Date(Date.now() + 3_000)
  const rejection = { code: 'unknown_product' as const, productIds: [] }
  expect(await orders.reject({ ...placed, updatedAt }, rejection, call())).toMatchObject({ updatedAt })
})
