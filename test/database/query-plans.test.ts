import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { type AuditedModule, runAudit } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { Composition } from '#src/host/compose.ts'
import { registry } from '#src/registry.ts'
import { type Account, type Answer, type Client, createClient, type Json } from '#test/support/client.ts'
import { openCollections } from '#test/support/collections.ts'
import { insertLargeDataset, insertUnfinishedOrders } from '#test/support/large-dataset.ts'
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

// What the program sends to MongoDB, whatever customers, admins and operators ask of it and what it does by itself,
// explained by MongoDB over what a large shop has stored.

let shop: Client
let people: People
let databases: Awaited<ReturnType<typeof openCollections>>
let database: string
let plans: Plan[]
/** How many pages each list has, for each of its filters and orders, by who asks. */
const pages = new Map<string, number>()
/** What could be asked for, and is not. */
const unasked: string[] = []

beforeAll(async () => {
  const environment = { MONGODB_URI: recordedUri() }
  const { composition, config, close } = await startComposition({ environment })
  database = config.mongodb.database
  databases = await openCollections(inject('mongodbUri'), database)
  await composition.prepare(new AbortController().signal)
  shop = createClient((path, init) => composition.app.request(path, init))
  people = await createPeople(shop)
  await insertLargeDataset(databases, [people.ada.userId, people.grace.userId])

  const commands = recordCommands()
  await insertUnfinishedOrders(databases, 20)
  await askForEverything()
  await askOtherwise()
  await turnThePages()
  await runCommands(composition)
  await untilSwept()
  await auditAndRepair(composition.audits)
  commands.stop()
  await close()

  // For the sweeper's look-up to find, now that nobody takes them.
  await insertUnfinishedOrders(databases, 500)
  plans = await explained(commands.take())
}, 120_000)

afterAll(async () => {
  for (const { name } of registry) await (await databases.collections(name)).dropDatabase()
  await databases.close()
})

/** @throws unless it is answered with one of these */
async function answered(request: Promise<Answer>, ...statuses: number[]): Promise<Json> {
  const { status, body } = await request
  if (!statuses.includes(status)) throw new Error(`answered with ${status}: ${JSON.stringify(body)}`)
  return body
}

async function askForEverything(): Promise<void> {
  const { paths } = await answered(shop.get('/openapi.json'), 200)
  const documented = Object.entries<Json>(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  unasked.push(...documented.filter((name) => !(name in validRequests)))
  for (const caller of [people.ada, people.boss]) {
    for (const name of operationNames) {
      const { path, body }: ValidRequest = await validRequests[name](shop, people, caller)
      const [method = ''] = name.split(' ')
      const refusals = caller === people.boss ? [] : [403]
      await answered(shop.request(method, path, { token: caller.token, body }), 200, 201, 204, ...refusals)
    }
  }
}

/** What takes another way than the first time, and a right request. */
async function askOtherwise(): Promise<void> {
  const { username, email, password, refreshToken } = await shop.customer()
  const again = { username, email: 'another@example.com', password }
  await answered(shop.post('/register', { body: again }), 409)
  await answered(shop.post('/login', { body: { email: email.toUpperCase(), password } }), 200)
  await answered(shop.post('/login', { body: { username: username.toUpperCase(), password } }), 200)
  for (let time = 0; time < 2; time++)
    await answered(shop.post('/token/refresh', { body: { refreshToken } }), 200)
  for (const who of [{ email }, { email: 'nobody@example.com' }]) {
    for (let time = 1; time <= 11; time++)
      await answered(shop.post('/login', { body: { ...who, password: 'a wrong password' } }), 401, 429)
  }

  const { token } = people.boss
  const { productId } = await shop.product(token)
  const headers = { 'Idempotency-Key': productId }
  for (let time = 0; time < 2; time++) {
    await answered(shop.post(`/products/${productId}/stock`, { token, headers, body: { change: 1 } }), 200)
    await answered(shop.order(people.ada.token, [{ productId, quantity: 1 }], headers), 201)
  }
  const { version } = await answered(shop.get(`/products/${productId}`), 200)
  await answered(shop.put(`/products/${productId}`, { token, body: { stock: 5, version } }), 200)
  await answered(shop.order(token, [{ productId, quantity: 1_000 }]), 409)
  const gone = '0'.repeat(24)
  await answered(shop.order(token, [{ productId: gone, quantity: 1 }]), 422)
  await answered(shop.get(`/products/${gone}`), 404)
  await answered(shop.get(`/orders/${gone}`, { token }), 404)
}

/** The values of filters that the API's document does not list, by the name of the parameter. */
const filters: Record<string, (caller: Account | undefined) => string[]> = {
  userId: (caller) =>
    [people.ada, ...(caller === people.boss ? [people.grace] : [])].map(({ userId }) => userId),
}
const paging = ['limit', 'cursor']

/** Of every list, with each of its filters and orders and all that go together, to the end. */
async function turnThePages(): Promise<void> {
  const { paths } = await answered(shop.get('/openapi.json'), 200)
  for (const [path, { get }] of Object.entries<Json>(paths)) {
    const parameters: Json[] = (get?.parameters ?? []).filter((parameter: Json) => parameter.in === 'query')
    if (parameters.length === 0) continue
    for (const caller of get.security ? [people.ada, people.boss] : [undefined]) {
      let queries: Record<string, string>[] = [{}]
      for (const { name, schema } of parameters) {
        if (paging.includes(name)) continue
        const values: string[] = schema.enum ?? filters[name]?.(caller) ?? []
        if (values.length === 0) unasked.push(`GET ${path} by ${name}`)
        queries = queries.flatMap((query) => [query, ...values.map((value) => ({ ...query, [name]: value }))])
      }
      for (const query of queries) {
        const list = `${path}?${new URLSearchParams(query)}`
        pages.set(`${list} as ${caller?.username}`, await turnPages(list, caller))
      }
    }
  }
}

/** The first ones are small, which is more of them; the others are as large as a page may be. */
async function turnPages(list: string, caller: Account | undefined): Promise<number> {
  let page = { nextCursor: '' }
  for (let count = 0; ; count++) {
    if (page.nextCursor === null) return count
    const query = new URLSearchParams({ limit: count < 3 ? '20' : '100' })
    if (count > 0) query.set('cursor', page.nextCursor)
    page = await answered(shop.get(`${list}&${query}`, { token: caller?.token }), 200)
  }
}

const newAdmin = 'captain'
/** Every command of operators, one after the other, with what it is given. */
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
      createCall: () => createCall(patience, 'command'),
    })
  }
  const commands = registry.flatMap((module) => module.commands ?? [])
  unasked.push(
    ...commands.map(({ name }) => name).filter((name) => !commandLines.some(([ran]) => ran === name)),
  )
}

// Milliseconds; what is waited for takes a few seconds where nothing is in its way.
const patience = 30_000

async function untilSwept(): Promise<void> {
  const orders = (await databases.collections('order')).collection('orders')
  const abandoned = { status: { $in: ['pending', 'cancelling'] }, leaseUntil: { $lt: new Date() } }
  await vi.waitFor(async () => expect(await orders.countDocuments(abandoned)).toBe(0), {
    timeout: patience,
    interval: 50,
  })
}

/** With a fault of each module to look at again and to repair. */
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
  // What is stored here is stored as the program does it, or there were more to find.
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
const reads = 'reads more documents than it needs'
const seeks = 'goes through more of an index than it needs'

const faults: Record<string, (plan: Plan) => boolean> = {
  [scans]: ({ stages }) => stages.includes('COLLSCAN'),
  [sorts]: ({ stages }) => stages.some((stage) => stage === 'SORT' || stage === '$sort'),
  // A look-up by a unique key reads what has the key before it knows whether that is as it should be.
  [reads]: ({ documentsExamined, returned, lookUps }) =>
    documentsExamined > Math.max(1.1 * returned, lookUps),
  // It takes a key to see that a range is over.
  [seeks]: ({ keysExamined, returned, ranges }) => keysExamined > 1.1 * returned + ranges,
}

const books = 'the audit adds up all that is held, put in and in stock'
const holds =
  'the audit goes through all reservations for those that hold something: an index of these would make every sale write more'

/** What is meant to, and why. */
const exceptions: Record<string, Record<string, string>> = {
  [scans]: {
    'find products by nothing': books,
    'aggregate stockLedger by nothing': books,
    'aggregate reservations by state': books,
  },
  [reads]: {
    'aggregate reservations by state': books,
    'find reservations by _id, state in order of _id': holds,
  },
  [seeks]: { 'find reservations by _id, state in order of _id': holds },
}

it.each(Object.entries(faults))('nothing %s, but for the exceptions', (fault, isFaulty) => {
  const faulty = plans.filter(isFaulty)
  const names = new Set(faulty.map(({ name }) => name))
  const excepted = exceptions[fault] ?? {}
  expect([...names].filter((name) => name in excepted).sort()).toEqual(Object.keys(excepted).sort())
  const others = faulty.filter(({ name }) => !(name in excepted))
  // Of each the worst, which comes last.
  const byExcess = others.toSorted((one, other) => excessOf(one) - excessOf(other))
  expect(Object.fromEntries(byExcess.map(({ name, text }) => [name, text]))).toEqual({})
})

const excessOf = ({ documentsExamined, keysExamined, returned }: Plan): number =>
  documentsExamined + keysExamined - returned

describe('what is explained', () => {
  it('is all that can be asked for: every operation, every command, every list by each of its parameters', () => {
    expect(unasked).toEqual([])
  })

  it('is every list from its first page to one deep in it', () => {
    expect(pages.size).toBeGreaterThan(0)
    expect([...pages].filter(([, count]) => count < 3)).toEqual([])
  })

  it('finds something in collections that exist', () => {
    expect(plans.filter(({ stages }) => stages.length === 0 || stages.includes('EOF'))).toEqual([])
  })

  it.each([
    // The catalogue, in each of its orders: from the start, and from behind a row on.
    'find products by deleted in order of -createdAt, -_id',
    'find products by deleted in order of price, _id',
    'find products by deleted in order of -price, -_id',
    'find products by deleted in order of name, _id',
    'find products by _id, createdAt, deleted in order of -createdAt, -_id',
    'find products by _id, deleted, price in order of price, _id',
    'find products by _id, deleted, price in order of -price, -_id',
    'find products by _id, deleted, name in order of name, _id',
    // Somebody's orders, and everybody's: by one status, or by all but one.
    'find orders by status, userId in order of -createdAt, -_id',
    'find orders by status in order of -createdAt, -_id',
    'find orders by _id, createdAt, status, userId in order of -createdAt, -_id',
    'find orders by _id, createdAt, status in order of -createdAt, -_id',
    // One by its id or its key.
    'find products by _id',
    'find reservations by _id',
    'find stockChangeAnswers by _id',
    'find orders by _id',
    'find orders by _id, userId',
    'find orders by key, userId',
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
  ])('has %s among it, and finds some', (name) => {
    expect(plans.filter((plan) => plan.name === name && plan.returned > 0).length).toBeGreaterThan(0)
  })
})
