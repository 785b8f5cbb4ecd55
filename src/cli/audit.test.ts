import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Finding, type ReportedFinding, runAudit } from '#kernel/audit.ts'
import { audit, auditReport } from '#test/support/audit-command.ts'
import type { Account, Json } from '#test/support/client.ts'
import { type Collections, type Db, openCollections } from '#test/support/collections.ts'
import { seriesOf } from '#test/support/metrics.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { databaseName, type Shop, startComposition, startShop } from '#test/support/shop.ts'

let shop: Shop
let dataDir: string
let ada: Account
let cup: Json
let pot: Json
/** The ids of one order in each status, by status. The confirmed order holds two cups and a pot. */
const orders: Record<string, string> = {}
let copies: Awaited<ReturnType<typeof openCopies>>

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'trivet-audit-'))
  shop = await startShop()
  ada = await shop.customer()
  cup = await shop.product(shop.adminToken, { name: 'Cup', stock: 10 })
  pot = await shop.product(shop.adminToken, { name: 'Pot', stock: 10 })
  const buy = async (lines: unknown, key: string): Promise<string> => {
    const { body } = await shop.order(ada.token, lines, { 'Idempotency-Key': key })
    return body.orderId
  }
  const setStatus = (orderId: string, status: string) =>
    shop.put(`/orders/${orderId}`, { token: shop.adminToken, body: { status } })
  const oneCup = [{ productId: cup.productId, quantity: 1 }]
  orders.confirmed = await buy([...oneCup, ...oneCup, { productId: pot.productId, quantity: 1 }], 'confirmed')
  orders.shipped = await buy(oneCup, 'shipped')
  orders.delivered = await buy(oneCup, 'delivered')
  orders.cancelled = await buy(oneCup, 'cancelled')
  for (const orderId of [orders.shipped, orders.delivered]) await setStatus(orderId, 'shipped')
  await setStatus(orders.delivered, 'delivered')
  await shop.delete(`/orders/${orders.cancelled}`, { token: ada.token })
  await shop.order(ada.token, [{ productId: cup.productId, quantity: 1_000 }])
  orders.rejected = (await shop.get('/orders?status=rejected', { token: ada.token })).body.data[0].orderId
  const gone = await shop.product(shop.adminToken, { name: 'Gone', stock: 3 })
  orders.gone = await buy([{ productId: gone.productId, quantity: 1 }], 'gone')
  await shop.delete(`/products/${gone.productId}`, { token: shop.adminToken })
  await shop.post(`/products/${cup.productId}/stock`, { token: shop.adminToken, body: { change: -1 } })
  copies = await openCopies()
})
afterAll(async () => {
  await copies.close()
  await shop.close()
  await rm(dataDir, { recursive: true, force: true })
})

const environment = (database: string) => ({
  MONGODB_URI: mongodbUri,
  MONGODB_DATABASE: database,
  DATA_DIR: dataDir,
  REQUEST_TIMEOUT: '100ms',
})

interface Copy extends Collections {
  product: Db
  order: Db
  database: string
  /** Runs the audit in this process, without a delay before it confirms its findings. */
  look(repair?: 'repair'): Promise<ReportedFinding[]>
}

/** The databases of the copies, which the tests use one after the other, and a composition without jobs. */
async function openCopies() {
  const database = databaseName()
  const own = await openCollections(mongodbUri, database)
  const [product, order] = [await own.collections('product'), await own.collections('order')]
  const { composition, close } = await startComposition({ environment: { MONGODB_DATABASE: database } })
  await composition.connect(AbortSignal.timeout(10_000))
  return {
    databases: { product, order },
    database,
    own,
    audits: composition.audits,
    async close() {
      await close()
      for (const each of [product, order]) await each.dropDatabase()
      await own.close()
    },
  }
}

/** Replaces the copy by another copy of the shop's databases. No process uses it, so that damage stays until the audit. */
async function copyOfShop(): Promise<Copy> {
  const { databases, database, own, audits } = copies
  for (const [module, to] of Object.entries(databases)) {
    for (const { name } of await to.listCollections().toArray()) await to.collection(name).deleteMany()
    const from = await shop.collections(module)
    for (const { name } of await from.listCollections().toArray()) {
      const documents = await from.collection(name).find().toArray()
      if (documents.length > 0) await to.collection(name).insertMany(documents)
    }
  }
  return {
    collections: own.collections,
    ...databases,
    database,
    look: async (repair) =>
      (await runAudit(audits, { repair: repair !== undefined, confirmAfterMs: 0 })).findings,
  }
}

/** A filter by the hexadecimal form of the id. */
const byId = (id: unknown) => ({ $expr: { $eq: [{ $toString: '$_id' }, id] } })
const change = async (db: Db, collection: string, id: unknown, update: Record<string, unknown>) => {
  const { modifiedCount } = await db.collection(collection).updateOne(byId(id), update)
  expect(modifiedCount).toBe(1)
}
const remove = async (db: Db, collection: string, filter: Record<string, unknown>) => {
  const { deletedCount } = await db.collection(collection).deleteOne(filter)
  expect(deletedCount).toBe(1)
}
const stockOf = async (db: Db, id: unknown) => (await db.collection('products').findOne(byId(id)))?.stock
const codes = (findings: readonly ReportedFinding[]) => findings.map(({ code, subject }) => [code, subject])

it('the audit finds nothing in a consistent shop, and prints what it checked', async () => {
  const { database } = await copyOfShop()
  expect(await audit(environment(database))).toMatchObject({
    code: 0,
    stdout: 'Checked 6 orders, 4 holds, 3 products: 0 findings\n',
    stderr: '',
  })
  expect((await auditReport(environment(database))).report).toEqual({
    checked: { orders: 6, holds: 4, products: 3 },
    complete: true,
    findings: [],
  })
})

it('the audit of a database without collections creates none', async () => {
  const database = databaseName()
  const own = await openCollections(mongodbUri, database)
  expect(await audit(environment(database))).toMatchObject({ code: 0, stderr: '' })
  const client = (await own.collections('product')).client
  const { databases } = await client
    .db('admin')
    .admin()
    .listDatabases({ filter: { name: new RegExp(`^${database}_`) } })
  expect(databases).toEqual([])
  await own.close()
})

it('the audit counts one document in the singular', async () => {
  const { database, product } = await copyOfShop()
  await product.collection('products').deleteMany({ $nor: [byId(cup.productId)] })
  expect((await audit(environment(database))).stdout).toContain(' 4 holds, 1 product: ')
})

it('the audit has no finding for a hold that the sweeper of holds has not looked at yet', async () => {
  const { database, order, product } = await copyOfShop()
  await remove(order, 'orders', byId(orders.confirmed))
  await change(product, 'reservations', orders.confirmed, { $set: { createdAt: new Date() } })
  expect((await auditReport(environment(database))).report).toMatchObject({
    checked: { orders: 5, holds: 4 },
    findings: [],
  })
})

it('the audit prints its result as metrics, with a series for each audited module', async () => {
  const { database, order, product } = await copyOfShop()
  await change(product, 'products', cup.productId, { $inc: { stocked: 7 } })
  await change(order, 'orders', orders.shipped, { $set: { totalAmount: 1 } })
  const { code, stdout, stderr } = await audit(environment(database), '--metrics')
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
  expect(stdout).toContain('# HELP trivet_audit_findings ')
  const series = seriesOf(stdout)
  expect(series.get('trivet_audit_findings{module="product"}')).toBe(1)
  expect(series.get('trivet_audit_findings{module="order"}')).toBe(1)
  expect(series.get('trivet_audit_checked_documents{kind="orders"}')).toBe(6)
  expect(series.get('trivet_audit_complete')).toBe(1)
  expect(series.get('trivet_audit_finished_timestamp_seconds')).toBeGreaterThan(Date.now() / 1_000 - 60)
})

describe('an inconsistency with exactly one right repair', () => {
  /** A title, the code of the finding, and a function that damages the data and returns a check of the repair. */
  const faults: [
    string,
    string,
    (copy: Copy) => Promise<{ subject: unknown; right: () => Promise<void> }>,
  ][] = [
    [
      'a stock that is too high',
      'stock_off',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $inc: { stock: 3 } })
        return {
          subject: cup.productId,
          right: async () => {
            expect(await stockOf(product, cup.productId)).toBe(5)
            expect(await product.collection('stockLedger').findOne({ by: 'audit' })).toMatchObject({
              change: 0,
              stock: 5,
              reason: 'stock 8 → 5',
            })
          },
        }
      },
    ],
    [
      'a stock that is too low, even below zero',
      'stock_off',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $inc: { stock: -1 } })
        await change(product, 'products', pot.productId, { $inc: { stock: -20 } })
        return {
          subject: cup.productId,
          right: async () => {
            expect(await stockOf(product, cup.productId)).toBe(5)
            expect(await stockOf(product, pot.productId)).toBe(9)
          },
        }
      },
    ],
    [
      'a wrong count of stocked units',
      'stocked_off',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $inc: { stocked: 7 } })
        return {
          subject: cup.productId,
          right: async () => {
            expect(await product.collection('products').findOne(byId(cup.productId))).toMatchObject({
              stock: 5,
              stocked: 9,
            })
          },
        }
      },
    ],
    [
      'a wrong mark in lists',
      'in_stock_off',
      async ({ product }) => {
        await product.collection('products').updateMany({}, { $set: { inStock: false } })
        return {
          subject: cup.productId,
          right: async () => {
            const found = await product.collection('products').find().sort({ name: 1 }).toArray()
            // No list has the deleted product.
            expect(found.map(({ name, inStock }) => [name, inStock])).toEqual([
              ['Cup', true],
              ['Gone', false],
              ['Pot', true],
            ])
            expect(await product.collection('stockLedger').findOne({ by: 'audit' })).toBeNull()
          },
        }
      },
    ],
    ...(['cancelled', 'rejected'] as const).map((status): (typeof faults)[number] => [
      `a hold of a ${status} order`,
      'hold_left',
      async ({ product }) => {
        const requested = [{ productId: cup.productId, quantity: 1 }]
        const held = [{ ...requested[0], name: 'Cup', price: 1_290 }]
        const update = { $set: { state: 'held', requested, held } }
        await change(product, 'reservations', orders[status], update)
        await change(product, 'products', cup.productId, { $inc: { stock: -1 } })
        return {
          subject: orders[status],
          right: async () => {
            expect(await stockOf(product, cup.productId)).toBe(5)
            const reservation = await product.collection('reservations').findOne(byId(orders[status]))
            expect(reservation).toMatchObject({ state: 'released' })
          },
        }
      },
    ]),
    [
      'a hold that came back after its stock was released',
      'hold_left',
      async ({ product }) => {
        await change(product, 'reservations', orders.cancelled, { $set: { state: 'held' } })
        return {
          subject: orders.cancelled,
          right: async () => expect(await stockOf(product, cup.productId)).toBe(5),
        }
      },
    ],
    ...(['pending', 'cancelling'] as const).map((status): (typeof faults)[number] => [
      `an unfinished order in the status ${status}`,
      'order_unfinished',
      async ({ product, order }) => {
        const leaseUntil = new Date(Date.now() - 75_000)
        await change(order, 'orders', orders.confirmed, { $set: { status, leaseUntil } })
        return {
          subject: orders.confirmed,
          right: async () => {
            const found = await order.collection('orders').findOne(byId(orders.confirmed))
            expect(found).toMatchObject({ status: 'cancelled' })
            expect(found?.key).toBe(status === 'pending' ? undefined : 'confirmed')
            expect(await stockOf(product, cup.productId)).toBe(7)
            expect(await stockOf(product, pot.productId)).toBe(10)
          },
        }
      },
    ]),
  ]

  faults.push([
    'a lease that does not end',
    'order_unfinished',
    async ({ product, order }) => {
      const leaseUntil = new Date('2200-01-01')
      await change(order, 'orders', orders.confirmed, { $set: { status: 'cancelling', leaseUntil } })
      return {
        subject: orders.confirmed,
        right: async () => expect(await stockOf(product, cup.productId)).toBe(7),
      }
    },
  ])

  it.each(faults)('an audit with --repair finds and repairs %s', async (_, code, spoil) => {
    const copy = await copyOfShop()
    const { subject, right } = await spoil(copy)
    const seen = await copy.look()
    expect(codes(seen)).toContainEqual([code, subject])
    expect(seen.find((finding) => finding.subject === subject)).toMatchObject({ repairable: true })
    for (const finding of await copy.look('repair')) expect(finding.repaired).toEqual(expect.any(String))
    await right()
    expect(await copy.look('repair')).toEqual([])
  })
})

describe('an inconsistency with more than one possible repair', () => {
  const faults: [string, string, (copy: Copy) => Promise<unknown>][] = [
    ...['confirmed', 'shipped', 'delivered'].map((status): (typeof faults)[number] => [
      `a ${status} order without its hold`,
      'hold_missing',
      async ({ product }) => {
        await remove(product, 'reservations', byId(orders[status]))
        return orders[status]
      },
    ]),
    [
      'an order whose hold and stock were released',
      'hold_missing',
      async ({ product }) => {
        await change(product, 'reservations', orders.shipped, { $set: { state: 'released' } })
        await change(product, 'products', cup.productId, { $inc: { stock: 1 } })
        return orders.shipped
      },
    ],
    [
      'a hold whose lines differ from its order',
      'hold_differs',
      async ({ order }) => {
        await change(order, 'orders', orders.confirmed, { $set: { 'lines.0.quantity': 7 } })
        return orders.confirmed
      },
    ],
    [
      'a hold whose price differs from its order',
      'hold_differs',
      async ({ product }) => {
        await change(product, 'reservations', orders.confirmed, { $set: { 'held.0.price': 7 } })
        return orders.confirmed
      },
    ],
    [
      'a hold without its order',
      'hold_without_order',
      async ({ order, product }) => {
        await remove(order, 'orders', byId(orders.confirmed))
        // The sweeper of holds looks at a younger hold first.
        const createdAt = new Date(Date.now() - 120_000)
        await change(product, 'reservations', orders.confirmed, { $set: { createdAt } })
        return orders.confirmed
      },
    ],
    [
      'a hold without its product',
      'hold_of_unknown_product',
      async ({ product }) => {
        await remove(product, 'products', byId(pot.productId))
        return pot.productId
      },
    ],
    ...(
      [
        ['without its requested lines', { $unset: { requested: 1 } }],
        ['that would release more than it holds', { $inc: { 'requested.0.quantity': 3 } }],
        ['whose quantity is not a number', { $set: { 'requested.0.quantity': '2' } }],
        ['without its held lines', { $unset: { held: 1 } }],
      ] as const
    ).map(([what, update]): (typeof faults)[number] => [
      `a hold ${what}`,
      'holds_malformed',
      async ({ product }) => {
        await change(product, 'reservations', orders.confirmed, update)
        return cup.productId
      },
    ]),
    ...(
      [
        ['has no user', { $unset: { userId: 1 } }],
        ['has an unknown status', { $set: { status: 'lost' } }],
        ['has no lease', { $set: { leaseUntil: 'tomorrow' } }],
        ['has a total that differs from its lines', { $inc: { totalAmount: 1 } }],
        ['has no confirmation', { $unset: { confirmation: 1 } }],
      ] as const
    ).map(([what, update]): (typeof faults)[number] => [
      `an order that ${what}`,
      'order_malformed',
      async ({ order }) => {
        await change(order, 'orders', orders.confirmed, update)
        return orders.confirmed
      },
    ]),
    [
      'a stray document among the orders',
      'order_malformed',
      async ({ order }) => {
        await order.collection<{ _id: string }>('orders').insertOne({ _id: 'a note to myself' })
        return 'a note to myself'
      },
    ],
    ...(['5', Number.NaN, null, 1.5] as const).map((stock): (typeof faults)[number] => [
      `a stock of ${stock}`,
      'product_malformed',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $set: { stock } })
        return cup.productId
      },
    ]),
    [
      'a ledger without one of its entries',
      'ledger_off',
      async ({ product }) => {
        await remove(product, 'stockLedger', { change: -1 })
        return cup.productId
      },
    ],
    [
      'a stock, a stocked count and a ledger that all differ',
      'books_off',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $inc: { stock: 1, stocked: 3 } })
        return cup.productId
      },
    ],
    [
      'a negative stock with a matching ledger',
      'stock_negative',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $inc: { stock: -6, stocked: -6 } })
        const entry = product.collection('stockLedger')
        expect(await entry.updateOne({ change: -1 }, { $inc: { change: -6 } })).toMatchObject({
          modifiedCount: 1,
        })
        return cup.productId
      },
    ],
    [
      'more held units than were ever stocked',
      'oversold',
      async ({ product }) => {
        await change(product, 'products', cup.productId, { $inc: { stocked: -6 } })
        const entry = product.collection('stockLedger')
        expect(await entry.updateOne({ change: -1 }, { $inc: { change: -6 } })).toMatchObject({
          modifiedCount: 1,
        })
        return cup.productId
      },
    ],
  ]

  it.each(faults)('an audit with --repair finds and does not repair %s', async (_, code, spoil) => {
    const copy = await copyOfShop()
    const subject = await spoil(copy)
    const everything = async () => [
      await copy.product.collection('products').find().toArray(),
      await copy.product.collection('reservations').find().toArray(),
      await copy.order.collection('orders').find().toArray(),
    ]
    const before = await everything()
    const finding = (await copy.look('repair')).find((one) => one.subject === subject)
    expect(finding).toMatchObject({ code, repairable: false, notRepaired: expect.any(String) })
    expect(finding).not.toHaveProperty('repaired')
    expect(await everything()).toEqual(before)
  })
})

it('the audit does not repair data that has changed since the audit read it', async () => {
  const copy = await copyOfShop()
  await change(copy.product, 'products', cup.productId, { $inc: { stock: 3 } })
  await change(copy.order, 'orders', orders.confirmed, {
    $set: { status: 'pending', leaseUntil: new Date(0) },
  })
  const { composition, close } = await startComposition({
    environment: { MONGODB_DATABASE: copy.database },
  })
  await composition.connect(AbortSignal.timeout(10_000))
  const findings: Finding[] = []
  for (const { audit } of composition.audits) findings.push(...(await audit.inspect()).findings)
  expect(findings.map(({ code }) => code).sort()).toEqual(['order_unfinished', 'stock_off'])
  // Meanwhile a unit is sold, and a retry takes the order over.
  await change(copy.product, 'products', cup.productId, { $inc: { stock: -1, version: 1 } })
  await change(copy.order, 'orders', orders.confirmed, { $set: { leaseUntil: new Date(1) } })
  for (const { repair } of findings) expect(await repair?.()).toBeUndefined()
  await close()
  expect(await stockOf(copy.product, cup.productId)).toBe(7)
  expect(await copy.order.collection('orders').findOne(byId(orders.confirmed))).toMatchObject({
    status: 'pending',
  })
})

it('the audit does not put stock on sale that belongs to an order without its hold', async () => {
  const copy = await copyOfShop()
  // The product module alone would conclude from this that its stock is too low, and would raise the stock.
  await remove(copy.product, 'reservations', byId(orders.confirmed))
  expect(await copy.look('repair')).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ code: 'hold_missing', subject: orders.confirmed }),
      expect.objectContaining({
        code: 'stock_off',
        subject: cup.productId,
        notRepaired: expect.stringMatching(/^order /),
      }),
    ]),
  )
  expect(await stockOf(copy.product, cup.productId)).toBe(5)
})

it('the audit does not repair stock if it stopped reading the orders at the limit of findings', async () => {
  const copy = await copyOfShop()
  const order = await copy.order.collection('orders').findOne(byId(orders.cancelled))
  const reservation = await copy.product.collection('reservations').findOne(byId(orders.shipped))
  const { key: _, ...cancelled }: Json = order
  // The audit reaches its limit of findings (`hold_left`) before it reads the order without its hold.
  const ids = Array.from({ length: 1_000 }, (_, n) => ({
    orderId: String(orders.cancelled).replace(/^......../, n.toString(16).padStart(8, '0')),
  }))
  const like = (document: object | null) => ids.map(({ orderId }) => ({ ...document, orderId }))
  const toId = { $set: { _id: { $toObjectId: '$orderId' } } }
  for (const [db, collection, documents] of [
    [copy.order, 'orders', like(cancelled)],
    [copy.product, 'reservations', like(reservation)],
  ] as const) {
    const raw = db.collection('raw')
    await raw.insertMany(documents.map(({ _id: __, ...rest }: Json) => rest))
    const merge = { $merge: { into: collection } }
    await raw.aggregate([toId, { $unset: 'orderId' }, merge]).toArray()
    await raw.drop()
  }
  await change(copy.product, 'products', cup.productId, { $inc: { stock: -1_000 } })
  await change(copy.product, 'products', pot.productId, { $inc: { stock: -2 } })
  await remove(copy.product, 'reservations', byId(orders.confirmed))

  const run = await audit(environment(copy.database), '--repair')
  expect(run.code).toBe(1)
  expect(run.stdout).toMatch(/there may be more: run the audit again\n$/)
  expect(await stockOf(copy.product, pot.productId)).toBe(7)
})

it('a repair never puts more stock on sale than exists', async () => {
  const copy = await copyOfShop()
  // The stock of the cancelled order was already returned. Releasing its restored hold would return the stock a second time.
  await change(copy.product, 'reservations', orders.cancelled, { $set: { state: 'held' } })
  expect((await copy.look('repair')).map(({ repaired }) => repaired)).toEqual([
    'released the stock that it held',
    'stock 5 → 4',
  ])
  const lowered = await copy.product.collection('stockLedger').findOne({ by: 'audit' })
  const released = await copy.product.collection('reservations').findOne(byId(orders.cancelled))
  expect(lowered?.at.getTime()).toBeLessThanOrEqual(released?.updatedAt.getTime())
  expect(await stockOf(copy.product, cup.productId)).toBe(5)
})

it('the audit reads the hosted module only, and does not repair stock that may belong to orders of another module', async () => {
  const copy = await copyOfShop()
  await change(copy.product, 'products', cup.productId, { $inc: { stock: -3 } })
  const alone = environment(copy.database)
  const run = await auditReport({ ...alone, SERVICE: 'product', AUTH_URL: 'http://127.0.0.1:1' }, '--repair')
  expect(run.code).toBe(1)
  expect(run.report).toMatchObject({
    checked: { products: 3 },
    findings: [{ code: 'stock_off', notRepaired: expect.stringMatching(/^order /) }],
  })
})

it('the audit prints a table, and exits with 1 while findings remain', async () => {
  const copy = await copyOfShop()
  await change(copy.product, 'products', cup.productId, { $inc: { stock: 3 } })
  const seen = 'the stock is wrong: stock 8 + held 4, stocked 9, ledger 9'
  const table = (note: string, summary: string) => [
    'MODULE   FINDING    SUBJECT                   DESCRIPTION',
    `product  stock_off  ${cup.productId}  ${seen} (${note})`,
    '',
    `Checked 6 orders, 4 holds, 3 products: 1 finding${summary}`,
    '',
  ]
  const found = await audit(environment(copy.database))
  expect(found.stdout.split('\n')).toEqual(table('--repair repairs it', ''))
  expect(found.code).toBe(1)
  const repaired = await audit(environment(copy.database), '--repair')
  expect(repaired.stdout.split('\n')).toEqual(table('repaired: stock 8 → 5', ', 1 repaired'))
  expect(repaired.code).toBe(0)
})

it('the audit finds nothing in a consistent shop that sells at the same time', async () => {
  const { productId } = await shop.product(shop.adminToken, { stock: 100_000 })
  const live = environment(shop.database)
  let over = false
  let done = 0
  const sell = async () => {
    while (!over) {
      const { body } = await shop.order(ada.token, [{ productId, quantity: 1 }])
      if (done % 3 === 0) await shop.delete(`/orders/${body.orderId}`, { token: ada.token })
      done += 1
    }
  }
  const selling = Promise.all(Array.from({ length: 8 }, sell))
  for (let n = 0; n < 5; n++) {
    expect((await auditReport(live)).report.findings).toEqual([])
  }
  over = true
  await selling
  expect(done).toBeGreaterThan(50)
})

it.each([
  ['an unknown option', ['--fix'], {}, '"--fix" is not an option: the options are --repair'],
  ['a misspelled option', ['--repiar'], {}, '(did you mean --repair?)'],
  ['an argument that is not an option', ['fix'], {}, '"fix": the audit takes options only'],
  ['a wrong setting', [], { REQUEST_TIMEOUT: 'soon' }, 'REQUEST_TIMEOUT'],
  ['a service without an audit', [], { SERVICE: 'auth' }, 'SERVICE'],
  [
    'a database that does not answer',
    [],
    { MONGODB_URI: 'mongodb://127.0.0.1:1/?directConnection=true' },
    'MongoDB is not available: 127.0.0.1:1: connect ECONNREFUSED',
  ],
])('the audit exits with 2 and one message for %s', async (_, options, settings, message) => {
  const run = await audit({ ...environment('unused'), ...settings }, ...options)
  expect(run).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(message) })
  expect(run.stderr).not.toContain('    at ')
})
