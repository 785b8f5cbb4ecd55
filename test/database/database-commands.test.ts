import { randomBytes } from 'node:crypto'
import { mongo } from 'mongoose'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { createHttpClient } from '#kernel/ports/http-client.ts'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import type { AuthPort } from '#src/modules/auth/contract.ts'
import { connectAuth } from '#src/modules/auth/http.ts'
import { type ProductPort, productPort } from '#src/modules/product/contract.ts'
import { connectProduct } from '#src/modules/product/http.ts'
import { registry } from '#src/registry.ts'
import { addedOperations, addedRoutes } from '#test/support/added-routes.ts'
import type { Account, Answer, Json, RequestOptions } from '#test/support/client.ts'
import { call, internalSecret } from '#test/support/port-shop.ts'
import { type ShopWithProductStub, startShopWithProductStub } from '#test/support/product-stub-shop.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { filtersOf, recordCommands, recordedUri, type SentCommand } from '#test/support/recorded-commands.ts'
import type { People, ShardKey } from '#test/support/route-tests.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { createPeople } from '#test/support/valid-requests.ts'

// These tests record the commands that the driver sends to MongoDB. The scenarios below cover every route, every operation
// of a port and every job.

type Document = mongo.Document

let shop: ShopWithProductStub
let people: People
let ada: Account
let product: ProductPort
let auth: AuthPort
const sent = new Map<string, SentCommand[]>()
let documented: string[]

beforeAll(async () => {
  shop = await startShopWithProductStub({ MONGODB_URI: recordedUri(), INTERNAL_SECRET: internalSecret })
  const http = createHttpClient({
    target: productPort.name,
    url: 'http://shop',
    credential: createCredentialIssuer(internalSecret),
    logger: await quiet,
    metrics: createMetrics(),
    fetch: async (input, init) => shop.fetch(new Request(input, init)),
  })
  product = connectProduct(http).port
  auth = connectAuth(http).port
  people = await createPeople(shop)
  ada = people.ada
  const { paths } = (await shop.get('/openapi.json')).body
  documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods as Json).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const commands = recordCommands()
  for (const [name, { go }] of Object.entries(scenarios)) {
    await go()
    sent.set(name, commands.take())
  }
  commands.stop()
}, 120_000)

afterAll(async () => {
  expect(await findUnbalancedBooks(shop)).toEqual([])
  await shop.close()
})

const newId = () => randomBytes(12).toString('hex')
const newProduct = (fields: Record<string, unknown> = {}) => shop.product(shop.adminToken, fields)
const asAdmin = (options: RequestOptions = {}): RequestOptions => ({ token: shop.adminToken, ...options })
const asAda = (options: RequestOptions = {}): RequestOptions => ({ token: ada.token, ...options })

const answers = async (status: number, request: Promise<Answer>): Promise<Json> => {
  const answer = await request
  expect(answer.status, JSON.stringify(answer.body)).toBe(status)
  return answer.body
}

/** Places a confirmed order. `again` repeats the request. */
async function bought() {
  const { productId } = await newProduct()
  const again = () => shop.order(ada.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': productId })
  const { orderId } = await answers(201, again())
  return { orderId, productId, again }
}

/** Runs `event` before the next reserve or release reaches the product module. */
const beforeReserve = (event: (orderId: string) => Promise<unknown>) =>
  shop.stubProduct((port) => ({
    async reserve(request, call) {
      shop.stubProduct()
      await event(request.orderId)
      return port.reserve(request, call)
    },
  }))
const beforeRelease = (event: () => Promise<unknown>) =>
  shop.stubProduct((port) => ({
    async release(request, call) {
      shop.stubProduct()
      await event()
      return port.release(request, call)
    },
  }))

/** Places an order that stays pending because its reserve is lost. */
async function unfinished() {
  const { productId } = await newProduct()
  let orderId = ''
  beforeReserve(async (id) => {
    orderId = id
    throw dependencyUnavailable('lost on the way')
  })
  const again = () => shop.order(ada.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': productId })
  await answers(503, again())
  return { orderId, again }
}

interface Scenario {
  go(): Promise<unknown>
  /** The commands that a sharded cluster would send to every shard. */
  scatters?: string[]
}

const sweep = 'sweep unfinished orders'
const holdSweep = 'sweep holds'
const catalogue = { scatters: ['find products'] }
const lookUpByAdmin = { scatters: ['find orders'] }

/** The valid requests of the added routes, by each caller to whom the access table grants them. */
const addedScenarios = Object.fromEntries(
  addedOperations.flatMap(({ name, method, make, access }) =>
    (['owner', 'admin'] as const).flatMap((caller): [string, Scenario][] => {
      const status = access[caller]
      if (typeof status !== 'number') return []
      const key = caller === 'admin' ? `${name}, by an admin` : name
      const go = async () => {
        const account = caller === 'admin' ? people.boss : ada
        const { path, body } = await make(shop, people, account)
        return answers(status, shop.request(method, path, { token: account.token, body }))
      }
      return [[key, { go, scatters: addedRoutes.scatters[key] ?? [] }]]
    }),
  ),
)

/** The keys are a method and path, an operation of a port, or a job, and after a comma the case. */
const scenarios: Record<string, Scenario> = {
  'GET /healthz': { go: () => answers(200, shop.get('/healthz')) },
  'GET /readyz': { go: () => answers(200, shop.get('/readyz')) },
  'GET /openapi.json': { go: () => answers(200, shop.get('/openapi.json')) },
  'GET /docs': { go: () => answers(200, shop.get('/docs')) },
  'GET /': { go: () => answers(200, shop.get('/')) },
  'GET /problems': { go: () => answers(200, shop.get('/problems')) },
  'GET /problems/{code}': { go: () => answers(200, shop.get('/problems/forbidden')) },

  'POST /register': { go: () => shop.customer() },
  'POST /register, with a taken name': {
    go: () =>
      answers(409, shop.post('/register', { body: { ...credentialsOf(ada), email: 'new@example.com' } })),
  },
  'POST /login': { go: () => shop.login(ada.email, ada.password) },
  'POST /login, for the first time': { go: () => shop.customer() },
  'POST /login, with a wrong password, until the account is throttled': {
    async go() {
      const { email } = await shop.customer()
      const wrong = { body: { email, password: 'wrong password' } }
      for (let attempt = 1; attempt <= 10; attempt++) await answers(401, shop.post('/login', wrong))
      await answers(429, shop.post('/login', wrong))
      const unknown = { body: { email: 'nobody@example.com', password: 'wrong password' } }
      await answers(401, shop.post('/login', unknown))
    },
  },
  'POST /token/refresh': {
    async go() {
      const { refreshToken } = await shop.customer()
      await answers(200, shop.post('/token/refresh', { body: { refreshToken } }))
    },
  },
  'POST /token/refresh, with a token that was used long ago': {
    async go() {
      const { refreshToken } = await shop.customer()
      const next = await answers(200, shop.post('/token/refresh', { body: { refreshToken } }))
      await answers(200, shop.post('/token/refresh', { body: { refreshToken: next.refreshToken } }))
      const families = (await shop.collections('auth')).collection('refreshFamilies')
      await families.updateMany({}, { $set: { 'spent.$[].at': new Date(0) } })
      await answers(401, shop.post('/token/refresh', { body: { refreshToken } }))
    },
  },
  'POST /logout': {
    async go() {
      const { refreshToken } = await shop.customer()
      await answers(204, shop.post('/logout', { body: { refreshToken } }))
    },
  },
  'PUT /profile/password': {
    async go() {
      const { token, password } = await shop.customer()
      const body = { currentPassword: password, newPassword: 'another horse battery' }
      await answers(204, shop.put('/profile/password', { token, body }))
    },
  },
  'GET /profile': { go: () => answers(200, shop.get('/profile', asAda())) },
  'GET /.well-known/jwks.json': { go: () => answers(200, shop.get('/.well-known/jwks.json')) },
  'auth.publicKeys': { go: () => auth.publicKeys({}, call()) },

  'POST /products': { go: () => newProduct() },
  'POST /products/create_product': {
    go: () =>
      answers(
        201,
        shop.post('/products/create_product', asAdmin({ body: { name: 'Cup', price: 1, stock: 1 } })),
      ),
  },
  'GET /products': { go: () => answers(200, shop.get('/products?limit=100')), ...catalogue },
  'GET /products, by name, the second page': {
    async go() {
      await Promise.all([newProduct({ name: 'Saucer' }), newProduct({ name: 'Pot' })])
      const { nextCursor } = await answers(200, shop.get('/products?sort=name&limit=1'))
      await answers(200, shop.get(`/products?sort=name&limit=1&cursor=${nextCursor}`))
    },
    ...catalogue,
  },
  'GET /products/{id}': {
    go: async () => answers(200, shop.get(`/products/${(await newProduct()).productId}`)),
  },
  'PUT /products/{id}, of its content': {
    async go() {
      const { productId, version } = await newProduct()
      await answers(200, shop.put(`/products/${productId}`, asAdmin({ body: { price: 1, version } })))
    },
  },
  'PUT /products/{id}, of its stock': {
    async go() {
      const { productId, version } = await newProduct()
      await answers(200, shop.put(`/products/${productId}`, asAdmin({ body: { stock: 3, version } })))
    },
  },
  'POST /products/{id}/stock': {
    async go() {
      const { productId } = await newProduct()
      await answers(200, shop.post(`/products/${productId}/stock`, asAdmin({ body: { change: 1 } })))
    },
  },
  'POST /products/{id}/stock, twice with one key': {
    async go() {
      const { productId } = await newProduct()
      const change = asAdmin({ body: { change: 1 }, headers: { 'Idempotency-Key': productId } })
      await answers(200, shop.post(`/products/${productId}/stock`, change))
      await answers(200, shop.post(`/products/${productId}/stock`, change))
    },
  },
  'POST /products/{id}/stock, of a product that another transaction changes': {
    async go() {
      const { productId } = await newProduct()
      const db = await shop.collections('product')
      const products = db.collection('products')
      const commands = recordCommands()
      await db.client.withSession((session) =>
        session.withTransaction(async () => {
          await products.updateOne(
            { _id: new mongo.ObjectId(productId) },
            { $inc: { version: 1 } },
            { session },
          )
          const changed = shop.post(`/products/${productId}/stock`, asAdmin({ body: { change: 1 } }))
          await vi.waitFor(() => expect(namesOf(commands.take())).toContain('abortTransaction'))
          await session.abortTransaction()
          await answers(200, changed)
        }),
      )
      commands.stop()
    },
  },
  'POST /products/{id}/stock, of a product that does not exist': {
    go: () => answers(404, shop.post(`/products/${newId()}/stock`, asAdmin({ body: { change: 1 } }))),
  },
  'PATCH /products/{id}': {
    async go() {
      const { productId, version } = await newProduct()
      const options = asAdmin({ body: { price: 1, version } })
      await answers(200, shop.request('PATCH', `/products/${productId}`, options))
    },
  },
  'GET /products/{id}/stock': {
    go: async () => answers(200, shop.get(`/products/${(await newProduct()).productId}/stock`, asAdmin())),
  },
  'DELETE /products/{id}': {
    async go() {
      const { productId } = await newProduct()
      await answers(204, shop.delete(`/products/${productId}`, asAdmin()))
    },
  },

  'product.reserve': {
    async go() {
      const { productId } = await newProduct()
      const request = { orderId: newId(), lines: [{ productId, quantity: 1 }] }
      expect(await product.reserve(request, call())).toMatchObject({ state: 'held' })
      expect(await product.reserve(request, call())).toMatchObject({ state: 'held' })
    },
  },
  'product.reserve, as many as one batch takes': {
    async go() {
      const { productId } = await newProduct({ stock: 1_000 })
      const calls = Array.from({ length: 200 }, () => ({
        request: { orderId: newId(), lines: [{ productId, quantity: 1 }] },
        call: call(),
      }))
      const credential = await createCredentialIssuer(internalSecret)('product')
      for (let time = 0; time < 2; time++) {
        const { outcomes } = await answers(
          200,
          shop.post('/internal/product/reserve', { token: credential, body: { calls } }),
        )
        expect(outcomes.every(({ result }: Json) => result?.state === 'held')).toBe(true)
      }
    },
  },
  'product.reservations': { go: () => product.reservations({ orderIds: [newId(), newId()] }, call()) },
  'product.holds': {
    go: () => product.holds({ after: newId(), limit: 10 }, call()),
    scatters: ['find reservations'],
  },
  'product.holdsByTime': {
    go: () =>
      product.holdsByTime({ after: { orderId: newId(), heldAt: 1 }, until: Date.now(), limit: 10 }, call()),
    scatters: ['find reservations'],
  },
  'product.release': {
    async go() {
      const { productId } = await newProduct()
      const orderId = newId()
      await product.reserve({ orderId, lines: [{ productId, quantity: 1 }] }, call())
      await product.release({ orderId }, call())
      await product.release({ orderId }, call())
    },
  },
  'product.release, before the reserve': { go: () => product.release({ orderId: newId() }, call()) },

  'POST /orders': {
    async go() {
      const [cup, pot] = await Promise.all([newProduct(), newProduct()])
      const basket = [cup, pot].map(({ productId }) => ({ productId, quantity: 1 }))
      await answers(201, shop.order(ada.token, basket))
    },
  },
  'POST /orders/create_order': {
    async go() {
      const { productId } = await newProduct()
      const body = { productList: [{ productId, quantity: 1 }] }
      await answers(201, shop.post('/orders/create_order', asAda({ body })))
    },
  },
  'POST /orders, of products that are not available': {
    async go() {
      const { productId } = await newProduct({ stock: 0 })
      await answers(409, shop.order(ada.token, [{ productId, quantity: 1 }]))
      await answers(422, shop.order(ada.token, [{ productId: newId(), quantity: 1 }]))
    },
  },
  'POST /orders, replayed': { go: async () => answers(201, (await bought()).again()) },
  'POST /orders, carried on by a retry': {
    async go() {
      const { orderId, again } = await unfinished()
      expect((await answers(201, again())).orderId).toBe(orderId)
    },
  },
  'POST /orders, cancelled meanwhile': {
    async go() {
      const { again } = await unfinished()
      beforeReserve((orderId) => answers(200, shop.delete(`/orders/${orderId}`, asAda())))
      await answers(409, again())
    },
  },
  'POST /orders, under an id whose reservation was released': {
    async go() {
      const { productId } = await newProduct()
      beforeReserve((orderId) => product.release({ orderId }, call()))
      const key = { 'Idempotency-Key': productId }
      await answers(201, shop.order(ada.token, [{ productId, quantity: 1 }], key))
    },
  },
  'GET /orders': { go: () => answers(200, shop.get('/orders?limit=100', asAda())) },
  'GET /orders, the second page of a status': {
    async go() {
      const query = '/orders?limit=1&status=confirmed'
      const { nextCursor } = await answers(200, shop.get(query, asAda()))
      await answers(200, shop.get(`${query}&cursor=${nextCursor}`, asAda()))
    },
  },
  'GET /orders, of several statuses and a time, the second page': {
    async go() {
      await Promise.all([bought(), bought()])
      const query = '/orders?limit=1&status=confirmed&status=pending&createdAfter=2026-01-01T00:00:00Z'
      const { nextCursor } = await answers(200, shop.get(query, asAda()))
      await answers(200, shop.get(`${query}&cursor=${nextCursor}`, asAda()))
    },
  },
  'GET /orders, in the order of changes': {
    go: () => answers(200, shop.get('/orders?sort=updated&status=shipped', asAda())),
  },
  'GET /orders, by an admin': { go: () => answers(200, shop.get('/orders', asAdmin())), ...lookUpByAdmin },
  'GET /orders/{id}': {
    go: async () => answers(200, shop.get(`/orders/${(await bought()).orderId}`, asAda())),
  },
  'GET /orders/{id}, by an admin': {
    go: async () => answers(200, shop.get(`/orders/${(await bought()).orderId}`, asAdmin())),
    ...lookUpByAdmin,
  },
  'GET /orders/{id}/history': {
    go: async () => answers(200, shop.get(`/orders/${(await bought()).orderId}/history`, asAda())),
  },
  'PUT /orders/{id}, to cancel': {
    async go() {
      const { orderId } = await bought()
      await answers(200, shop.put(`/orders/${orderId}`, asAda({ body: { status: 'cancelled' } })))
    },
  },
  'PUT /orders/{id}, by an admin': {
    async go() {
      const { orderId } = await bought()
      for (const status of ['shipped', 'delivered'])
        await answers(200, shop.put(`/orders/${orderId}`, asAdmin({ body: { status } })))
    },
    ...lookUpByAdmin,
  },
  'PATCH /orders/{id}': {
    async go() {
      const { orderId } = await bought()
      const options = asAda({ body: { status: 'cancelled' } })
      await answers(200, shop.request('PATCH', `/orders/${orderId}`, options))
    },
  },
  'DELETE /orders/{id}': {
    async go() {
      const { orderId } = await bought()
      await answers(200, shop.delete(`/orders/${orderId}`, asAda()))
      await answers(200, shop.delete(`/orders/${orderId}`, asAda()))
    },
  },
  [sweep]: {
    async go() {
      const { orderId } = await unfinished()
      await shop.ageLease(orderId, 60_000)
      await vi.waitFor(
        async () => {
          const order = await answers(200, shop.get(`/orders/${orderId}`, asAda()))
          expect(order.status).toBe('cancelled')
        },
        { timeout: 30_000, interval: 100 },
      )
    },
    scatters: ['find orders'],
  },
  [holdSweep]: {
    async go() {
      const { productId } = await newProduct()
      let orderId = ''
      shop.stubProduct((port) => ({
        async reserve(request, call) {
          shop.stubProduct()
          orderId = request.orderId
          await port.reserve(request, call)
          throw new Error('the process dies here')
        },
      }))
      const place = () =>
        shop.order(ada.token, [{ productId, quantity: 1 }], { 'Idempotency-Key': productId })
      await answers(500, place())
      await vi.waitFor(
        async () => {
          const { status } = await shop.get(`/orders/${orderId}`, asAda())
          if (status === 404) await shop.ageHold(orderId, 60_000)
          expect(status).toBe(200)
        },
        { timeout: 30_000, interval: 500 },
      )
      await vi.waitFor(async () => expect((await answers(201, place())).orderId).not.toBe(orderId))
    },
    scatters: ['find orders', 'find reservations'],
  },
  'DELETE /orders/{id}, twice at once': {
    async go() {
      const { orderId } = await bought()
      beforeRelease(() => answers(200, shop.delete(`/orders/${orderId}`, asAda())))
      await answers(200, shop.delete(`/orders/${orderId}`, asAda()))
    },
  },

  ...addedScenarios,
}

const credentialsOf = ({ username, email, password }: Account) => ({ username, email, password })

const namesOf = (commands: readonly SentCommand[]): string[] => [
  ...new Set(commands.map(({ name, collection }) => `${name} ${collection}`.trim())),
]

it('the scenarios cover every public route, every operation of a port and every job', () => {
  const operations = registry.flatMap(({ needs }) =>
    Object.values(needs).flatMap((port) =>
      Object.keys(port.operations).map((operation) => `${port.name}.${operation}`),
    ),
  )
  const taken = Object.keys(scenarios).map((name) => name.split(',')[0])
  const all = [...documented, ...operations, sweep, holdSweep]
  expect([...new Set(taken)].toSorted()).toEqual([...new Set(all)].toSorted())
})

describe('time limits of commands', () => {
  const exceptions: Record<string, string> = {
    abortTransaction: 'no request waits for it, and the server ends the transaction without it',
    getMore: 'it has the rest of the limit of its find',
  }
  const hasNoLimit = ({ command }: SentCommand) =>
    !(Number.isInteger(command.maxTimeMS) && command.maxTimeMS > 0)

  it.each(Object.keys(scenarios))('every command of the scenario has a time limit: %s', (name) => {
    const unlimited = sent.get(name)?.filter(hasNoLimit) ?? []
    expect(namesOf(unlimited.filter((command) => !(command.name in exceptions)))).toEqual([])
  })

  it('every command that is exempt from the time limit occurs', () => {
    const unlimited = [...sent.values()].flat().filter(hasNoLimit)
    expect(new Set(unlimited.map(({ name }) => name))).toEqual(new Set(Object.keys(exceptions)))
  })
})

describe('shard keys', () => {
  /** The shard key of each collection that grows with customers or products. */
  const plan: Record<string, ShardKey> = {
    orders: { userId: 1 },
    products: { _id: 'hashed' },
    reservations: { _id: 'hashed' },
    stockLedger: { productId: 1 },
    stockChangeAnswers: { _id: 'hashed' },
    ...addedRoutes.shardKeys,
  }
  const onOneShard = [
    'users',
    'roleChanges',
    'refreshFamilies',
    'knownClients',
    'throttles',
    'migrations',
    'locks',
    'holdSweeps',
  ]
  const isEqual = (value: unknown): boolean =>
    value !== undefined && !Object.keys(Object(value)).some((key) => key.startsWith('$'))
  const isOneOf = (value: Document | undefined): boolean => value?.$in !== undefined

  /** An order has several products and a batch several reservations. The orders of a customer are on one shard. */
  const isTargeted = (collection: string, filter: Document): boolean => {
    if (collection === 'orders') return isEqual(filter.userId)
    const fields = Object.keys(plan[collection] ?? {})
    return fields.length > 0 && fields.every((field) => isEqual(filter[field]) || isOneOf(filter[field]))
  }
  /** A getMore goes to the shards of its find. A command without a collection is about sessions. */
  const hasFilter = ({ name, collection }: SentCommand) => name !== 'getMore' && collection !== ''
  const scatters = (sent: SentCommand): boolean =>
    hasFilter(sent) &&
    !onOneShard.includes(sent.collection) &&
    !filtersOf(sent).every((filter) => isTargeted(sent.collection, filter))
  // The queries of the sweepers may come during any scenario.
  /** For orders to finish, and for the oldest unfinished one. */
  const isSweepOfOrders = ({ collection, command }: SentCommand) =>
    collection === 'orders' &&
    (command.filter?.$or?.every((filter: Document) => 'leaseUntil' in filter) === true ||
      command.filter?.status?.$in?.join() === 'pending,cancelling')
  /** For holds, and for the statuses of their orders. */
  const isSweepOfHolds = ({ collection, command }: SentCommand) =>
    (collection === 'orders' && command.projection?.status === 1) ||
    (collection === 'reservations' && command.filter?.createdAt !== undefined)
  const isOther = (name: string, command: SentCommand) =>
    (isSweepOfOrders(command) && name !== sweep) ||
    (isSweepOfHolds(command) && name !== holdSweep && name !== 'product.holdsByTime')

  it.each(Object.entries(scenarios))(
    'the scenario sends commands to the expected shards: %s',
    (name, { scatters: expected = [] }) => {
      const commands = sent.get(name)?.filter((command) => !isOther(name, command)) ?? []
      expect(namesOf(commands.filter(scatters)).toSorted()).toEqual(expected)
    },
  )

  it('queries for an order of a customer name its owner and its id, except lists and look-ups by key', () => {
    const customers = Object.entries(scenarios).filter(([, { scatters = [] }]) => scatters.length === 0)
    const filters = customers
      .flatMap(([name]) => sent.get(name) ?? [])
      .filter(
        (command) => command.collection === 'orders' && !isSweepOfOrders(command) && !isSweepOfHolds(command),
      )
      .flatMap(filtersOf)
    const shapes = filters
      .filter(({ userId, _id }) => !isEqual(userId) || !isEqual(_id))
      .map((filter) => fieldsOf(filter).toSorted().join())
    const ofLists = ['_id,createdAt,status,userId', '_id,userId', 'status,userId', 'userId']
    const ofKeys = ['key,userId', '_id,status,undo,userId']
    expect([...new Set(shapes)].toSorted()).toEqual([...ofLists, ...ofKeys].toSorted())
  })

  it('every unique index starts with the shard key, and every range shard key has an index', async () => {
    const seen: string[] = []
    for (const { name: module } of registry) {
      const db = await shop.collections(module)
      for (const { name } of await db.listCollections().toArray()) {
        seen.push(name)
        const key = plan[name]
        if (!key) continue
        const indexes = await db.collection(name).listIndexes().toArray()
        const prefixed = indexes.filter((index) => startsWith(index.key, key))
        expect(indexes.filter((index) => index.unique && !prefixed.includes(index))).toEqual([])
        // A hashed index is built when the collection is sharded.
        const isRange = !Object.values(key).includes('hashed')
        const whole = prefixed.filter((index) => !index.partialFilterExpression && !index.sparse)
        if (isRange)
          expect(whole.length, `an index of ${name} that starts with its shard key`).toBeGreaterThan(0)
      }
    }
    expect(new Set(seen)).toEqual(new Set([...Object.keys(plan), ...onOneShard]))
  })
})

/** Returns the fields of a filter. An undefined value gets a name of its own, because the driver may omit it. */
const fieldsOf = (filter: Document): string[] =>
  Object.entries(filter).map(([field, value]) => (value === undefined ? `${field} undefined` : field))

const startsWith = (index: Document, key: Document): boolean => {
  const fields = Object.entries(index)
  return Object.entries(key).every(
    ([field, kind], at) => fields[at]?.[0] === field && fields[at]?.[1] === kind,
  )
}
