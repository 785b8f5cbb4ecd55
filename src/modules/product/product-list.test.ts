import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { createIndexedReads } from '#kernel/mongo/indexed-reads.ts'
import type { Json } from '#test/support/client.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { connectMongo, type Shop, startComposition, startShop } from '#test/support/shop.ts'
import type { Position } from './product.ts'
import { createProductSearch } from './product-search.repository.ts'

type Query = Record<string, string>

const sorts = ['newest', 'price', '-price', 'name']
const names = ['Cup', 'cup', 'CUP', 'Cafe', 'Café', 'cafe', 'Zebra']
const prices = [0, 1, 1.5, 2]
const stocks = [0, 0, 1, 7]

/** Compares names as the collation of the lists does: without regard to case, but with regard to accents. */
const { compare: compareNames } = new Intl.Collator('en', { sensitivity: 'accent' })
const compareText = (one: string, other: string) => Number(one > other) - Number(one < other)
const byId = (one: Json, other: Json) => compareText(one.productId, other.productId)
const orders: Record<string, (one: Json, other: Json) => number> = {
  newest: (one, other) => compareText(other.createdAt, one.createdAt) || byId(other, one),
  price: (one, other) => one.price - other.price || byId(one, other),
  '-price': (one, other) => other.price - one.price || byId(other, one),
  name: (one, other) => compareNames(one.name, other.name) || byId(one, other),
}

const matches = (product: Json, { minPrice, maxPrice, inStock }: Query): boolean =>
  (minPrice === undefined || product.price >= Number(minPrice)) &&
  (maxPrice === undefined || product.price <= Number(maxPrice)) &&
  (inStock === undefined || product.stock > 0 === (inStock === 'true'))

/** Reads a list to its end. */
async function readList(shop: Shop, query: Query, limit: number, between?: () => Promise<unknown>) {
  const rows: Json[] = []
  for (let cursor: Query = {}; ; ) {
    const list = `/products?${new URLSearchParams({ ...query, ...cursor, limit: String(limit) })}`
    const { status, body } = await shop.get(list)
    expect({ status, body }, list).toMatchObject({ status: 200 })
    expect(body.data.length).toBeLessThanOrEqual(limit)
    rows.push(...body.data)
    if (body.nextCursor === null) return rows
    cursor = { cursor: body.nextCursor }
    await between?.()
  }
}

const optional = (...values: string[]) => fc.option(fc.constantFrom(...values), { nil: undefined })
const queries = fc
  .record({
    sort: optional(...sorts),
    minPrice: optional('0', '1', '1.50'),
    maxPrice: optional('1.5', '2', '100000000'),
    inStock: optional('true', 'false'),
  })
  .map((query): Query => JSON.parse(JSON.stringify(query)))

const change = fc.record({
  kind: fc.constantFrom('create', 'price', 'name', 'stock', 'delete'),
  at: fc.nat(),
  name: fc.constantFrom(...names),
  price: fc.constantFrom(...prices),
  stock: fc.constantFrom(...stocks),
})

describe('lists while products change', () => {
  let shop: Shop
  /** The products as they are now, by id. */
  const products = new Map<string, Json>()
  const idsOf = (rows: Json[]) => rows.map(({ productId }) => productId)

  const create = async (fields: Json) => {
    const created = await shop.product(shop.adminToken, fields)
    products.set(created.productId, created)
    return created.productId
  }
  /** Makes a change, and returns the id of the product that it concerns. */
  const apply = async ({ kind, at, name, price, stock }: Json): Promise<string> => {
    const id = [...products.keys()][at % products.size]
    if (id === undefined || kind === 'create') return create({ name, price, stock })
    const options = { token: shop.adminToken, headers: { 'If-Match': '*' } }
    if (kind === 'delete') {
      expect((await shop.delete(`/products/${id}`, options)).status).toBe(204)
      products.delete(id)
    } else {
      const body = { price: { price }, name: { name }, stock: { stock } }[kind as 'price']
      const changed = await shop.put(`/products/${id}`, { ...options, body })
      expect(changed.status).toBe(200)
      products.set(id, changed.body)
    }
    return id
  }

  beforeAll(async () => {
    shop = await startShop()
    // Products that are created at once have equal times.
    const combinations = prices.flatMap((price) =>
      names.map((name, at) => ({ name, price, stock: stocks[at % stocks.length] })),
    )
    await Promise.all(combinations.map(create))
  })
  afterAll(() => shop.close())

  it('a list has each product that matches once and in order, with every combination of filters and sorts', async () => {
    for (const sort of [undefined, ...sorts]) {
      for (const minPrice of [undefined, '1', '1.5']) {
        for (const maxPrice of [undefined, '1.5']) {
          for (const inStock of [undefined, 'true', 'false']) {
            const query = JSON.parse(JSON.stringify({ sort, minPrice, maxPrice, inStock }))
            const wanted = [...products.values()].filter((product) => matches(product, query))
            const rows = await readList(shop, query, 4)
            expect(rows, JSON.stringify(query)).toEqual(wanted.toSorted(orders[sort ?? 'newest']))
          }
        }
      }
    }
  })

  it('no product that does not change is skipped or repeated while others are added, changed and deleted', async () => {
    const property = fc.asyncProperty(
      queries,
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 }),
      async (query, limit, rounds) => {
        const before = [...products.values()]
        const touched = new Set<string>()
        const rest = [...rounds]
        const rows = await readList(shop, query, limit, async () => {
          for (const each of rest.shift() ?? []) touched.add(await apply(each))
        })
        const isUntouched = ({ productId }: Json) => !touched.has(productId)
        const wanted = before.filter((product) => isUntouched(product) && matches(product, query))
        const order = orders[query.sort ?? 'newest']
        expect(idsOf(rows.filter(isUntouched))).toEqual(idsOf(wanted.toSorted(order)))
        for (const row of rows) expect(matches(row, query)).toBe(true)
        // A product that another change moves may be listed again, and only at a later position.
        if (order) expect(idsOf(rows.toSorted(order))).toEqual(idsOf(rows))
      },
    )
    await fc.assert(property, { numRuns: 60 })
  })
})

describe('the filters', () => {
  let shop: Shop
  beforeAll(async () => {
    shop = await startShop()
    await shop.product(shop.adminToken, { name: 'Cup', price: 5, stock: 1 })
    await shop.product(shop.adminToken, { name: 'Pot', price: 7, stock: 0 })
    await shop.product(shop.adminToken, { name: 'Jug', price: 9, stock: 3 })
  })
  afterAll(() => shop.close())
  const products = async () => (await shop.collections('product')).collection('products')
  const namesOf = async (query: Query) => (await readList(shop, query, 100)).map(({ name }) => name)

  it.each([
    ['minPrice=-1', 'minPrice', 'min'],
    ['minPrice=1.999', 'minPrice', 'format'],
    ['minPrice=1e2', 'minPrice', 'format'],
    ['minPrice=', 'minPrice', 'format'],
    ['minPrice=100000000.01', 'minPrice', 'max'],
    [`maxPrice=${'9'.repeat(400)}`, 'maxPrice', 'max'],
    ['minPrice[$gt]=1', 'minPrice[$gt]', 'unknown'],
    ['maxPrice=cheap', 'maxPrice', 'format'],
    ['maxPrice=1,5', 'maxPrice', 'format'],
    ['maxPrice=1&maxPrice=2', 'maxPrice', 'repeated'],
    ['minPrice=2&maxPrice=1.99', 'maxPrice', 'rule'],
    ['inStock=yes', 'inStock', 'format'],
    ['inStock=', 'inStock', 'format'],
    ['stock=1', 'stock', 'unknown'],
  ])('GET /products answers 400 for ?%s, and names %s with the code %s', async (query, parameter, code) => {
    expect(await shop.get(`/products?${query}`)).toMatchObject({
      status: 400,
      body: { code: 'validation_failed', errors: [{ parameter, code }] },
    })
  })

  it('a cursor is refused with other filters, with another sort and without the filters', async () => {
    const list = { minPrice: '5', maxPrice: '9', sort: 'price' }
    const { body } = await shop.get(`/products?${new URLSearchParams({ ...list, limit: '1' })}`)
    const statusWith = async (query: Query) =>
      (await shop.get(`/products?${new URLSearchParams({ ...query, cursor: body.nextCursor })}`)).status
    expect(await statusWith(list)).toBe(200)
    expect(await statusWith({ ...list, minPrice: '5.00' })).toBe(200)
    const others: Query[] = [
      { ...list, minPrice: '6' },
      { ...list, maxPrice: '8' },
      { ...list, inStock: 'true' },
      { ...list, sort: '-price' },
      { sort: 'price', minPrice: '5' },
      { sort: 'price' },
    ]
    for (const other of others) {
      expect(await statusWith(other), JSON.stringify(other)).toBe(400)
    }
  })

  it('a page ends after 10,000 index entries, and the next page continues there', async () => {
    const collection = await products()
    const { _id: _, ...cup } = (await collection.findOne({ name: 'Cup' })) ?? {}
    const later = Array.from({ length: 10_500 }, (_, at) => ({
      ...cup,
      createdAt: new Date(Date.now() + 60_000 + Math.max(at, 9_000)),
    }))
    await collection.insertMany(later)
    for (const [query, rows] of [
      [{ minPrice: '6' }, ['Jug', 'Pot']],
      [{ sort: 'name', minPrice: '6' }, ['Jug', 'Pot']],
      [{ sort: 'price', inStock: 'false' }, ['Pot']],
    ] as const) {
      const { body } = await shop.get(`/products?${new URLSearchParams(query)}`)
      expect(body.data).toEqual([])
      const rest = await shop.get(`/products?${new URLSearchParams({ ...query, cursor: body.nextCursor })}`)
      expect(rest.body.data.map(({ name }: Json) => name)).toEqual(rows)
      expect(rest.body.nextCursor).toBeNull()
    }
    await collection.deleteMany({ createdAt: { $gte: new Date(Date.now() + 30_000) } })
  })

  it('a filtered list omits corrupt documents', async () => {
    const collection = await products()
    const { _id: _, ...cup } = (await collection.findOne({ name: 'Cup' })) ?? {}
    const { insertedId } = await collection.insertOne({ ...cup, version: 'broken' })
    expect(await namesOf({ inStock: 'true' })).toEqual(['Jug', 'Cup'])
    await collection.deleteOne({ _id: insertedId })
  })

  it('products that an older version created, restocked or sold out are under the right filter after the next start', async () => {
    const collection = await products()
    await collection.updateOne({ name: 'Cup' }, { $unset: { inStock: true } })
    await collection.updateOne({ name: 'Pot' }, { $set: { stock: 4 } })
    await collection.updateOne({ name: 'Jug' }, { $set: { stock: 0 } })
    // An index entry that is out of date never shows a product under the wrong filter.
    expect(await namesOf({ inStock: 'true' })).toEqual([])
    expect(await namesOf({ inStock: 'false' })).toEqual([])
    const { composition, close } = await startComposition({
      environment: { MONGODB_DATABASE: shop.database },
    })
    await composition.prepare(new AbortController().signal)
    await close()
    expect(await namesOf({ inStock: 'true' })).toEqual(['Pot', 'Cup'])
    expect(await namesOf({ inStock: 'false' })).toEqual(['Jug'])
  })
})

describe('the search', () => {
  let shop: Shop
  const create = (name: string, description: string, fields: Json = {}) =>
    shop.product(shop.adminToken, { name, description, ...fields })
  beforeAll(async () => {
    shop = await startShop()
    await create('Jug', 'Stoneware, for milk or crème', { price: 3 })
    await create('Café crème', 'A blend of beans', { price: 2, stock: 0 })
    await create('Cafe table', 'Oak, 0.9 m', { price: 9 })
    await create('Cupboard', 'For every Café', { price: 8 })
    await create('Red cup', 'Stoneware', { price: 1 })
    await create('Blue cup', 'Stoneware-like, not red', { price: 1 })
    await create('한국 도자기', 'Straße')
    const { productId } = await create('Café chair', 'Deleted')
    await shop.delete(`/products/${productId}`, { token: shop.adminToken })
  })
  afterAll(() => shop.close())
  const namesOf = async (query: Query, limit = 100) =>
    (await readList(shop, query, limit)).map(({ name }) => name)
  const found = async (q: string) => (await namesOf({ q })).toSorted()

  it.each([
    ['café', ['Cafe table', 'Café crème', 'Cupboard']],
    ['CREME', ['Café crème', 'Jug']],
    ['cre\u0300me', ['Café crème', 'Jug']],
    ['cup', ['Blue cup', 'Red cup']],
    ['red cup', ['Blue cup', 'Red cup']],
    ['the cup', []],
    ['stoneware milk', ['Jug']],
    ['"red cup"', ['Blue cup', 'Red cup']],
    ['cup -red', ['Blue cup', 'Red cup']],
    ['red"', ['Blue cup', 'Red cup']],
    ['$cup', ['Blue cup', 'Red cup']],
    ['0.9', ['Cafe table']],
    ['like', ['Blue cup']],
    ['한국', ['한국 도자기']],
    ['도자기 한국'.normalize('NFD'), ['한국 도자기']],
    ['STRAẞE', ['한국 도자기']],
    ['chair', []],
    ['stonewares', []],
  ])('the search for %j finds %j', async (q, names) => {
    expect(await found(q)).toEqual(names)
  })

  it('the search lists the best match first, and a match in the name before one in the description', async () => {
    expect(await namesOf({ q: 'creme' })).toEqual(['Café crème', 'Jug'])
    expect(await namesOf({ q: 'red' })).toEqual(['Red cup', 'Blue cup'])
  })

  it('the search can be combined with each order and filter, on pages of any size', async () => {
    for (const limit of [1, 2, 100]) {
      expect(await namesOf({ q: 'cafe', sort: 'name' }, limit)).toEqual([
        'Café crème',
        'Cafe table',
        'Cupboard',
      ])
      expect(await namesOf({ q: 'cafe', sort: '-price' }, limit)).toEqual([
        'Cafe table',
        'Cupboard',
        'Café crème',
      ])
      expect(await namesOf({ q: 'cafe', sort: 'newest' }, limit)).toEqual([
        'Cupboard',
        'Cafe table',
        'Café crème',
      ])
      expect(await namesOf({ q: 'cafe', sort: 'price', minPrice: '8' }, limit)).toEqual([
        'Cupboard',
        'Cafe table',
      ])
      expect(await namesOf({ q: 'cafe', inStock: 'false' }, limit)).toEqual(['Café crème'])
      expect((await namesOf({ q: 'cup' }, limit)).toSorted()).toEqual(['Blue cup', 'Red cup'])
    }
  })

  it.each([
    ['', 'min'],
    ['  ', 'format'],
    ['"-', 'rule'],
    ['x'.repeat(201), 'max'],
    ['a b c d e f g h i j k l m n o p q r s t u', 'max'],
    ['cup\0', 'format'],
  ])('GET /products answers 400 for q=%j with the code %s', async (q, code) => {
    const { status, body } = await shop.get(`/products?${new URLSearchParams({ q })}`)
    expect({ status, errors: body.errors }).toMatchObject({ status: 400, errors: [{ parameter: 'q', code }] })
  })

  it('a cursor of a search is refused with another search and without one', async () => {
    const { body } = await shop.get('/products?q=cup&limit=1')
    const statusWith = async (query: string) =>
      (await shop.get(`/products?${query}&cursor=${body.nextCursor}`)).status
    expect(await statusWith('q=cup')).toBe(200)
    for (const other of ['q=cups', 'q=cup&sort=price', 'q=cup&inStock=true', 'sort=newest'])
      expect(await statusWith(other), other).toBe(400)
  })

  it('at most the best 1,000 matches are listed', async () => {
    const collection = (await shop.collections('product')).collection('products')
    const { _id: _, ...cup } = (await collection.findOne({ name: 'Jug' })) ?? {}
    await collection.insertMany(
      Array.from({ length: 1_200 }, (_, at) => ({
        ...cup,
        name: `Spoon ${at}`,
        description: 'of every kind',
      })),
    )
    await create('Teaspoon', 'A spoon')
    const rows = await readList(shop, { q: 'spoon' }, 100)
    expect(rows).toHaveLength(1_000)
    expect(new Set(rows.map(({ productId }) => productId)).size).toBe(1_000)
    expect(rows.every(({ name }) => name.startsWith('Spoon'))).toBe(true)
    expect(await readList(shop, { q: 'spoon', sort: 'price' }, 100)).toHaveLength(1_000)
  })
})

it('a search with too many matches to rank in time lists any 1,000 of them, on all its pages', async () => {
  const shop = await startShop()
  const mongo = await connectMongo(shop.database)
  const collection = (await shop.collections('product')).collection('products')
  await shop.product(shop.adminToken, { name: 'Cup' })
  const { _id: _, ...cup } = (await collection.findOne({})) ?? {}
  await collection.insertMany(Array.from({ length: 20_000 }, () => ({ ...cup })))
  const database = mongo.database('product')
  const logger = await quiet
  // MongoDB needs about 100 ms to rank these products.
  const search = createProductSearch(database, createIndexedReads(database, logger), logger, 1)
  const ids: string[] = []
  let after: Position | undefined
  do {
    const page = await search({ q: 'cup', sort: 'best', limit: 300, after }, createCall(20_000, 'test'))
    ids.push(...page.products.map(({ productId }) => productId))
    after = page.next
  } while (after)
  expect(ids).toHaveLength(1_000)
  expect(new Set(ids).size).toBe(1_000)
  await mongo.close()
  await shop.close()
})

describe('the indexes while stock changes', () => {
  let shop: Shop
  let customer: string
  beforeAll(async () => {
    shop = await startShop()
    customer = (await shop.customer()).token
  })
  afterAll(() => shop.close())

  /** Returns the index entries of products that MongoDB writes for a request. */
  async function indexWrites(request: () => Promise<{ status: number }>): Promise<number> {
    const db = await shop.collections('product')
    await db.command({ profile: 2 })
    expect((await request()).status).toBeLessThan(300)
    await db.command({ profile: 0 })
    const profile = db.collection('system.profile')
    const updates = await profile
      .find({
        $or: [{ op: 'update' }, { 'command.findAndModify': 'products' }],
        ns: `${db.databaseName}.products`,
      })
      .toArray()
    await profile.drop()
    expect(updates.length).toBeGreaterThan(0)
    return updates.reduce((sum, { keysInserted = 0, keysDeleted = 0 }) => sum + keysInserted + keysDeleted, 0)
  }

  it('a sale writes no index entry of products, unless it sells the last unit', async () => {
    const { productId } = await shop.product(shop.adminToken, { stock: 3 })
    const order = (quantity: number) => () => shop.order(customer, [{ productId, quantity }])
    expect(await indexWrites(order(1))).toBe(0)
    // The entries of the three indexes with `inStock` are replaced.
    expect(await indexWrites(order(2))).toBe(6)
  })

  it('no index of products contains a field that a sale changes', async () => {
    const collection = (await shop.collections('product')).collection('products')
    const { productId } = await shop.product(shop.adminToken, { stock: 3 })
    const read = () => collection.findOne({}, { sort: { createdAt: -1, _id: -1 } })
    const before = await read()
    expect((await shop.order(customer, [{ productId, quantity: 1 }])).status).toBe(201)
    const after = await read()
    const changed = Object.keys(after ?? {}).filter(
      (field) => JSON.stringify(after?.[field]) !== JSON.stringify(before?.[field]),
    )
    expect(changed).toContain('stock')
    const indexed = (await collection.indexes()).flatMap(({ key, weights, partialFilterExpression }) =>
      Object.keys({ ...key, ...weights, ...partialFilterExpression }),
    )
    // On MongoDB 6, a change of an indexed field computes the entries of all indexes again, including the text index.
    expect(indexed.filter((field) => changed.includes(field))).toEqual([])
  })
})
