import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type AuditedModule, runAudit } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { Composition } from '#src/host/compose.ts'
import { orderStatuses } from '#src/modules/order/order-status.ts'
import { registry } from '#src/registry.ts'
import { type Account, type Answer, type Client, createClient, type Json } from '#test/support/client.ts'
import { openCollections } from '#test/support/collections.ts'
import { insertLargeDataset, insertUnfinishedOrders } from '#test/support/large-dataset.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { componentOf } from '#test/support/openapi-operations.ts'
import { explain, type Plan, statementsOf, textOf } from '#test/support/query-plan.ts'
import { recordCommands, recordedUri, type SentCommand } from '#test/support/recorded-commands.ts'
import { startComposition } from '#test/support/shop.ts'
import {
  createPeople,
  operationNames,
  type People,
  type ValidRequest,
  validRequests,
} from '#test/support/valid-requests.ts'

// These tests record the commands of every operation, command and job on a large dataset, and let MongoDB explain them.

let shop: Client
let people: People
let databases: Awaited<ReturnType<typeof openCollections>>
let database: string
let plans: Plan[]
/** The number of pages of each list, by filter, order and caller. */
const pages = new Map<string, number>()
/** Operations, commands and parameters that the tests do not use. */
const unused: string[] = []

beforeAll(async () => {
  const environment = { MONGODB_URI: recordedUri() }
  const { composition, config, close } = await startComposition({ environment })
  database = config.mongodb.database
  databases = await openCollections(mongodbUri, database)
  await composition.prepare(new AbortController().signal)
  shop = createClient((path, init) => composition.app.request(path, init))
  people = await createPeople(shop)
  await insertLargeDataset(databases, [people.ada.userId, people.grace.userId])

  const commands = recordCommands()
  await insertUnfinishedOrders(databases, 20)
  await useEveryOperation()
  await useOtherPaths()
  await readLists()
  await runCommands(composition)
  await untilSwept()
  await untilHoldsAreSwept()
  await auditAndRepair(composition.audits)
  commands.stop()
  await close()

  // The explained query of the sweeper must find orders, and no sweeper runs any more.
  await insertUnfinishedOrders(databases, 500)
  plans = await explained(commands.take())
}, 120_000)

afterAll(async () => {
  for (const { name } of registry) await (await databases.collections(name)).dropDatabase()
  await databases.close()
})

/** @throws Error if the status is not one of these */
async function answered(request: Promise<Answer>, ...statuses: number[]): Promise<Json> {
  const { status, body } = await request
  if (!statuses.includes(status)) throw new Error(`answered with ${status}: ${JSON.stringify(body)}`)
  return body
}

async function useEveryOperation(): Promise<void> {
  const document = await answered(shop.get('/openapi.json'), 200)
  const documented = Object.entries<Json>(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  unused.push(...documented.filter((name) => !(name in validRequests)))
  for (const caller of [people.ada, people.boss]) {
    for (const name of operationNames) {
      const { path, body }: ValidRequest = await validRequests[name](shop, people, caller)
      const [method = ''] = name.split(' ')
      const refusals = caller === people.boss ? [] : [403]
      await answered(shop.request(method, path, { token: caller.token, body }), 200, 201, 204, ...refusals)
    }
  }
}

/** Sends requests that take other paths through the program: repeats, failures and conflicts. */
async function useOtherPaths(): Promise<void> {
  const { username, email, password, refreshToken } = await shop.customer()
  const again = { username, email: 'another@example.com', password }
  await answered(shop.post('/register', { body: again }), 409)
  await answered(shop.post('/login', { body: { email: email.toUpperCase(), password } }), 200)
  await answered(shop.post('/login', { body: { username: username.toUpperCase(), password } }), 200)
  for (let time = 0; time < 2; time++)
    await answered(shop.post('/token/refresh', { body: { refreshToken } }), 200)
  for (const account of [{ email }, { email: 'nobody@example.com' }]) {
    for (let time = 1; time <= 11; time++)
      await answered(shop.post('/login', { body: { ...account, password: 'a wrong password' } }), 401, 429)
  }

  const { token } = people.boss
  const { productId } = await shop.product(token)
  const headers = { 'Idempotency-Key': productId }
  for (let time = 0; time < 2; time++) {
    await answered(shop.post(`/products/${productId}/stock`, { token, headers, body: { change: 1 } }), 200)
    await answered(shop.order(people.ada.token, [{ productId, quantity: 1 }], headers), 201)
  }
  // These orders look as if the sweeper had undone them, so that the next request with the key finds their ids used up.
  const orders = (await databases.collections('order')).collection('orders')
  const undone = { 'Idempotency-Key': 'undone' }
  for (let time = 0; time < 3; time++) {
    const lines = [{ productId, quantity: 1 }]
    const { orderId } = await answered(shop.order(people.ada.token, lines, undone), 201)
    await answered(shop.delete(`/orders/${orderId}`, { token: people.ada.token }), 200)
    const as = { $set: { undo: true }, $unset: { key: 1, confirmation: 1 } }
    await orders.updateOne({ key: 'undone' }, as)
  }
  // The order with this key has an id as earlier versions of the program chose it.
  const reused = { 'Idempotency-Key': 'key-0' }
  for (let time = 0; time < 2; time++)
    await answered(shop.order(people.ada.token, [{ productId, quantity: 2 }], reused), 409, 422)
  const { version } = await answered(shop.get(`/products/${productId}`), 200)
  await answered(shop.put(`/products/${productId}`, { token, body: { stock: 5, version } }), 200)
  await answered(shop.order(token, [{ productId, quantity: 1_000 }]), 409)
  const gone = '0'.repeat(24)
  await answered(shop.order(token, [{ productId: gone, quantity: 1 }]), 422)
  await answered(shop.get(`/products/${gone}`), 404)
  await answered(shop.get(`/orders/${gone}`, { token }), 404)
}

/** Values of filters that the OpenAPI document does not list, by the name of the parameter. */
const filters: Record<string, (caller: Account | undefined) => string[]> = {
  userId: (caller) =>
    [people.ada, ...(caller === people.boss ? [people.grace] : [])].map(({ userId }) => userId),
  // A third of all products costs 10.
  minPrice: () => ['9.9'],
  maxPrice: () => ['10.10'],
  inStock: () => ['true', 'false'],
  q: () => ['stoneware'],
}
const paging = ['limit', 'cursor']
/** Lists inside one document, which is read by its id. An order has four statuses at most. */
const insideOneDocument = ['/orders/{id}/history']

// Enough for pages of both sizes. A list in one order and without filters is read to its end.
const maxPagesOfFilteredList = 5

/** The combinations of filters of the list of orders. Others read the same ranges. */
function filtersOfOrders(caller: Account | undefined): string[] {
  const owners = ['', ...(filters.userId?.(caller) ?? []).map((userId) => `&userId=${userId}`)]
  const after = `createdAfter=${new Date(Date.now() - 48 * hourMs).toISOString()}`
  const before = `createdBefore=${new Date(Date.now() - hourMs - 5_000).toISOString()}`
  const combinations = [
    ...['', after, before, `${after}&${before}`],
    ...orderStatuses.map((status) => `status=${status}`),
    ...[`status=rejected&${after}`, `status=cancelled&${after}&${before}`],
    ...['status=shipped&status=rejected', `status=pending&status=cancelling&status=delivered&${before}`],
    ...['sort=updated', `sort=updated&updatedAfter=${new Date(Date.now() - 48 * hourMs).toISOString()}`],
    ...[`sort=updated&status=shipped&status=cancelled&${after}`, `sort=updated&status=delivered&${before}`],
  ]
  return owners.flatMap((owner) => combinations.map((combination) => `${combination}${owner}`))
}

/** Reads every list to its end, with every combination of filters and order. */
async function readLists(): Promise<void> {
  const document = await answered(shop.get('/openapi.json'), 200)
  for (const [path, { get }] of Object.entries<Json>(document.paths)) {
    const parameters: Json[] = (get?.parameters ?? []).filter((parameter: Json) => parameter.in === 'query')
    if (parameters.length === 0 || insideOneDocument.includes(path)) continue
    if (path === '/products/{id}/stock') {
      const list = `/products/${await productWithManyChanges()}/stock?`
      pages.set(list, await readPages(list, people.boss, Number.POSITIVE_INFINITY))
      continue
    }
    for (const caller of get.security.length > 0 ? [people.ada, people.boss] : [undefined]) {
      if (path === '/orders') {
        for (const query of filtersOfOrders(caller)) {
          const count = await readPages(`/orders?${query}`, caller, maxPagesOfFilteredList)
          pages.set(`/orders?${query} as ${caller?.username}`, count)
        }
        continue
      }
      let queries: Record<string, string>[] = [{}]
      for (const { name, schema } of parameters) {
        if (paging.includes(name)) continue
        const described: Json = schema.$ref ? componentOf(document, schema.$ref) : schema
        const values: string[] = described.enum ?? filters[name]?.(caller) ?? []
        if (values.length === 0) unused.push(`GET ${path} by ${name}`)
        queries = queries.flatMap((query) => [query, ...values.map((value) => ({ ...query, [name]: value }))])
      }
      for (const query of queries) {
        const list = `${path}?${new URLSearchParams(query)}`
        const maxPages = Object.keys(query).length < 2 ? Number.POSITIVE_INFINITY : maxPagesOfFilteredList
        pages.set(`${list} as ${caller?.username}`, await readPages(list, caller, maxPages))
      }
    }
  }
}

async function productWithManyChanges(): Promise<string> {
  const ledger = (await databases.collections('product')).collection('stockLedger')
  return String((await ledger.findOne({ change: -1 }))?.productId)
}

/** Reads a list to its end or a number of pages: three small pages, then pages of the maximum size. */
async function readPages(list: string, caller: Account | undefined, maxPages: number): Promise<number> {
  let page = { nextCursor: '' }
  for (let count = 0; ; count++) {
    if (page.nextCursor === null || count === maxPages) return count
    const query = new URLSearchParams({ limit: count < 3 ? '20' : '100' })
    if (count > 0) query.set('cursor', page.nextCursor)
    page = await answered(shop.get(`${list}&${query}`, { token: caller?.token }), 200)
  }
}

const newAdmin = 'captain'
/** Every operator command with its arguments. */
const commandLines = [
  ['create', newAdmin, `${newAdmin}@example.com`],
  ['list'],
  ['sign-out', newAdmin],
  ['reset-password', `${newAdmin}@example.com`],
  ['demote', newAdmin],
  ['promote', newAdmin],
]

async function runCommands({ runCommand }: Composition): Promise<void> {
  for (const [name = '', ...args] of commandLines) {
    await runCommand(name, {
      args,
      readSecret: async () => 'the boat in the bottle',
      createCall: () => createCall(waitTimeoutMs, 'command'),
    })
  }
  const commands = registry.flatMap((module) => module.commands ?? [])
  unused.push(
    ...commands.map(({ name }) => name).filter((name) => !commandLines.some(([ran]) => ran === name)),
  )
}

const waitTimeoutMs = 30_000
const hourMs = 3_600_000

async function untilSwept(): Promise<void> {
  const orders = (await databases.collections('order')).collection('orders')
  const abandoned = { status: { $in: ['pending', 'cancelling'] }, leaseUntil: { $lt: new Date() } }
  await vi.waitFor(async () => expect(await orders.countDocuments(abandoned)).toBe(0), {
    timeout: waitTimeoutMs,
    interval: 50,
  })
}

/** Waits until the sweeper of holds has looked at old holds. */
async function untilHoldsAreSwept(): Promise<void> {
  const reservations = (await databases.collections('product')).collection('reservations')
  const createdAt = {
    $subtract: [new Date(Date.now() - hourMs), { $floor: { $multiply: [{ $rand: {} }, hourMs] } }],
  }
  await reservations.updateMany({}, [{ $set: { createdAt } }])
  const sweeps = (await databases.collections('order')).collection('holdSweeps')
  const beginning = new Date(0)
  await vi.waitFor(
    async () => {
      const [{ heldAt } = { heldAt: beginning }] = await sweeps.find().toArray()
      if (heldAt > new Date(Date.now() - hourMs)) await sweeps.updateMany({}, { $set: { heldAt: beginning } })
      expect(await sweeps.countDocuments({ heldAt: beginning })).toBe(0)
      expect(heldAt < new Date(Date.now() - hourMs)).toBe(true)
    },
    { timeout: waitTimeoutMs, interval: 50 },
  )
}

/** Runs the audit with a fault in each module, which it looks at twice and repairs. */
async function auditAndRepair(audits: readonly AuditedModule[]): Promise<void> {
  const { token } = people.boss
  const cup = await shop.product(token)
  const { orderId } = await answered(shop.order(token, [{ productId: cup.productId, quantity: 1 }]), 201)
  const pot = await shop.product(token)
  const byId = (id: string) => ({ $expr: { $eq: [{ $toString: '$_id' }, id] } })
  const product = await databases.collections('product')
  const order = await databases.collections('order')
  await product.collection('products').updateOne(byId(pot.productId), { $inc: { stock: 1 } })
  await order.collection('orders').updateOne(byId(orderId), { $set: { status: 'cancelled' } })
  const { complete, findings } = await runAudit(audits, { repair: true, confirmAfterMs: 0 })
  const repaired = findings.map(({ subject, repaired }) => repaired && subject)
  // More findings would mean that the dataset is not as the program stores it.
  expect({ complete, repaired }).toEqual({ complete: true, repaired: [orderId, pot.productId] })
}

async function explained(sent: readonly SentCommand[]): Promise<Plan[]> {
  const statements = new Map(sent.flatMap(statementsOf).map((statement) => [textOf(statement), statement]))
  return Promise.all(
    [...statements.values()].map(async (statement) => {
      const module = statement.database.slice(database.length + 1)
      return explain(await databases.collections(module), statement)
    }),
  )
}

const scans = 'scans a collection'
const sorts = 'sorts in memory'
const reads = 'reads more documents than it returns'
const seeks = 'scans more index keys than it needs'

const faults: Record<string, (plan: Plan) => boolean> = {
  [scans]: ({ stages }) => stages.includes('COLLSCAN'),
  [sorts]: ({ stages }) => stages.some((stage) => stage === 'SORT' || stage === '$sort'),
  // A look-up by a unique key may read one document that the rest of the filter then excludes.
  [reads]: ({ documentsExamined, returned, lookUps }) =>
    documentsExamined > Math.max(1.1 * returned, lookUps),
  // MongoDB reads one more key to find the end of each range.
  [seeks]: ({ keysExamined, returned, ranges }) => keysExamined > 1.1 * returned + ranges,
}

const sums = 'the audit sums all holds, ledger entries and stocks'
const holds = 'the audit scans all reservations for holds: an index on them would add a write to every sale'

const filtered = 'a page filters at most 10,000 index entries, without reading their documents'
const filteredChanges = 'a page of changes of one user or of filtered changes examines at most 1,000 orders'
const ofFilteredChanges = Object.fromEntries(
  [
    'find orders by status in order of updatedAt, _id with a skip',
    'find orders by _id, status, updatedAt in order of updatedAt, _id with a skip',
    'find orders by createdAt, status in order of updatedAt, _id',
    'find orders by _id, createdAt, status, updatedAt in order of updatedAt, _id',
    // The index of the orders of one user has every status.
    'find orders by userId in order of userId, updatedAt, _id, status with a skip',
    'find orders by _id, updatedAt, userId in order of userId, updatedAt, _id, status with a skip',
    'find orders by updatedAt, userId in order of userId, updatedAt, _id, status with a skip',
    'find orders by status, userId in order of userId, updatedAt, _id, status',
    'find orders by _id, status, updatedAt, userId in order of userId, updatedAt, _id, status',
    'find orders by status, updatedAt, userId in order of userId, updatedAt, _id, status',
    'find orders by createdAt, status, userId in order of userId, updatedAt, _id, status',
    'find orders by _id, createdAt, status, updatedAt, userId in order of userId, updatedAt, _id, status',
  ].map((name) => [name, filteredChanges]),
)

/** For each fault, the plans that are allowed to have it, with the reason. */
const exceptions: Record<string, Record<string, string>> = {
  [scans]: {
    'find products by nothing': sums,
    'aggregate stockLedger by nothing': sums,
    'aggregate reservations by state': sums,
  },
  [reads]: {
    ...ofFilteredChanges,
    'aggregate stockLedger by nothing': sums,
    'aggregate reservations by state': sums,
    'find reservations by _id, state in order of _id': holds,
  },
  [seeks]: {
    ...ofFilteredChanges,
    'find reservations by _id, state in order of _id': holds,
    'aggregate orders by _id, createdAt, status': filtered,
    'aggregate orders by _id, createdAt, status, userId': filtered,
    'aggregate products by _id, createdAt, deleted, price': filtered,
    'aggregate products by _id, createdAt, deleted, inStock, price': filtered,
    'aggregate products by _id, deleted, inStock, price': filtered,
    'aggregate products by _id, deleted, name, price': filtered,
    'aggregate products by _id, deleted, inStock, name, price': filtered,
  },
}

// MongoDB reads all matches of a search to rank them, within a time limit. Its plans are only checked for scans.
const isSearch = ({ name }: Plan): boolean => name.includes('$text')

it.each(Object.entries(faults))('no query %s, except the listed queries', (fault, isFaulty) => {
  const faulty = plans.filter((plan) => isFaulty(plan) && (fault === scans || !isSearch(plan)))
  const names = new Set(faulty.map(({ name }) => name))
  const excepted = exceptions[fault] ?? {}
  expect([...names].filter((name) => name in excepted).sort()).toEqual(Object.keys(excepted).sort())
  const others = faulty.filter(({ name }) => !(name in excepted))
  // Later entries replace earlier ones, so the worst plan of each name is shown.
  const byExcess = others.toSorted((one, other) => excessOf(one) - excessOf(other))
  expect(Object.fromEntries(byExcess.map(({ name, text }) => [name, text]))).toEqual({})
})

const excessOf = ({ documentsExamined, keysExamined, returned }: Plan): number =>
  documentsExamined + keysExamined - returned

describe('the explained queries', () => {
  it('the tests use every operation, every operator command and every parameter of each list', () => {
    expect(unused).toEqual([])
  })

  it('every list was read over at least three pages', () => {
    expect(pages.size).toBeGreaterThan(0)
    expect([...pages].filter(([, count]) => count < 3)).toEqual([])
  })

  it('no explained query is on a missing collection', () => {
    expect(plans.filter(({ stages }) => stages.length === 0 || stages.includes('EOF'))).toEqual([])
  })

  it.each([
    // The catalogue in each order: the first page and later pages.
    'find products by deleted in order of -createdAt, -_id',
    'find products by deleted in order of price, _id',
    'find products by deleted in order of -price, -_id',
    'find products by deleted in order of name, _id',
    'find products by _id, createdAt, deleted in order of -createdAt, -_id',
    'find products by _id, deleted, price in order of price, _id',
    'find products by _id, deleted, price in order of -price, -_id',
    'find products by _id, deleted, name in order of name, _id',
    // The catalogue by price range, and its filtered index entries.
    'find products by deleted, price in order of price, _id',
    'find products by deleted, price in order of -price, -_id',
    'aggregate products by _id, createdAt, deleted, price',
    'aggregate products by _id, createdAt, deleted, inStock, price',
    'aggregate products by _id, deleted, inStock, price',
    'aggregate products by _id, deleted, name, price',
    'aggregate products by _id, deleted, inStock, name, price',
    // The orders of one user and of all users, without the filter by status.
    'find orders by status, userId in order of userId, -createdAt, -_id, status',
    'find orders by status in order of -createdAt, -_id, status',
    'find orders by _id, createdAt, status, userId in order of userId, -createdAt, -_id, status',
    'find orders by _id, createdAt, status in order of -createdAt, -_id, status',
    // By a status that is set aside.
    'find orders by status, userId in order of userId, -status, -createdAt, -_id',
    'find orders by status in order of -status, -createdAt, -_id',
    'find orders by _id, createdAt, status, userId in order of userId, -status, -createdAt, -_id',
    'find orders by _id, createdAt, status in order of -status, -createdAt, -_id',
    // By other statuses, and the filtered index entries.
    'aggregate orders by _id, createdAt, status',
    'aggregate orders by _id, createdAt, status, userId',
    // In the order of changes, and filtered.
    'find orders by status, userId in order of userId, updatedAt, _id, status',
    'find orders by _id, status, updatedAt, userId in order of userId, updatedAt, _id, status',
    'find orders by _id, status, updatedAt in order of updatedAt, _id',
    'find orders by _id, createdAt, status, updatedAt in order of updatedAt, _id',
    // The changes of the stock of a product.
    'find stockLedger by productId in order of productId, -at, -_id',
    'find stockLedger by _id, at, productId in order of productId, -at, -_id',
    'aggregate products by $text, deleted',
    'aggregate products by $text, deleted, price, stock',
    // Look-ups by id or key.
    'find products by _id',
    'find reservations by _id',
    'find stockChangeAnswers by _id',
    'find orders by _id',
    'find orders by _id, userId',
    'find orders by key, userId',
    'find orders by _id, status, undo, userId',
    'find users by _id',
    'find users by emailKey',
    'find users by usernameKey',
    'find refreshFamilies by _id',
    'find knownClients by _id',
    'find throttles by expire, key',
    // Of operators, the sweeper and the audit.
    'find users by role in order of createdAt, _id',
    'find users by _id, role',
    'find orders by leaseUntil, status in order of leaseUntil',
    'find orders by nothing in order of _id',
    'find orders by _id in order of _id',
    'find reservations by _id, state in order of _id',
    'find reservations by _id, createdAt, state in order of createdAt, _id',
  ])('the query %s is explained and finds documents', (name) => {
    expect(plans.filter((plan) => plan.name === name && plan.returned > 0).length).toBeGreaterThan(0)
  })
})
