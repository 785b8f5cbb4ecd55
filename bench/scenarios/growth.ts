import { setTimeout as sleep } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'
import type { mongo } from 'mongoose'
import { post, registerCustomers, signIn } from '../customers.ts'
import { atMost, loadHead, loadRow, type Outcome, type Scenario, type Target } from '../outcome.ts'
import { admin } from '../programs.ts'
import { inTurn } from '../rounds.ts'
import { productIdOf, seedOrders, seedProducts } from '../seed.ts'
import { openShop, type Shop } from '../shop.ts'
import { ratioOf, type Spread } from '../spread.ts'
import type { Stage } from '../stage.ts'
import { type Load, load } from '../wrk.ts'

const sizes = { full: [1_000, 10_000, 100_000, 1_000_000], quick: [1_000, 30_000] }
const farPage = 1_000
const pageSize = 20
/** Every so many orders are one customer's, who so has more than a thousand pages of a million. */
const everyNth = 33

const count = (value: number) => value.toLocaleString('en')

export const growth: Scenario = {
  name: 'growth',
  title: 'A thousand products, and a million',
  about: `What a read by id and a page cost in shops of different size, one process each. Page 1,000, or the last one where
there are fewer, is reached once by its cursors and then asked for again and again; page 2 shows what a cursor costs that
does not lead far. Over 1 connection a page is a query of its own; over 64, those who ask for the same page at once may
share one. Orders are one customer's (one order in ${everyNth}), and all of them, as an admin lists them.`,
  async run(stage) {
    const [few = 0, ...more] = stage.effort.quick ? sizes.quick : sizes.full
    const many = more.at(-1) ?? 0
    const shops = new Map<number, Awaited<ReturnType<typeof openShop>>>()
    for (const size of [few, ...more]) {
      stage.say(`  ${count(size)} products ...`)
      const shop = await openShop(stage, `n${size}`, { products: 0 })
      if (size === few) await seedsLikeTheProgram(shop, shop.program.url)
      await seedProducts(shop.products, size)
      shops.set(size, shop)
    }
    await warmedUp(
      stage,
      [...shops.values()].map(({ products }) => products.collection('products')),
    )

    const urlOf = (size: number) => shops.get(size)?.program.url ?? ''
    const reading = (size: number) => (seconds: number) =>
      load(urlOf(size), { workload: 'product', products: size }, { connections: 64, seconds })
    const reads = await inTurn(
      stage,
      'reads by id',
      Object.fromEntries([...shops.keys()].map((size) => [count(size), reading(size)])),
    )

    const productLists: List[] = []
    for (const size of shops.keys()) {
      const pages = await walk(urlOf(size), '/products/')
      productLists.push({ name: `${count(size)} products`, url: urlOf(size), pages })
    }
    const productPages = [
      ...(await measurePages(stage, productLists, 1)),
      ...(await measurePages(stage, productLists.slice(-1), 64)),
    ]
    const orderPages = await measurePages(stage, await orderLists(stage, shops.get(many), many), 1)

    const timeOfRead = timeRatio(reads[count(many)], reads[count(few)])
    return {
      ratios: [
        { what: `time of a read by id: ${count(many)} products ÷ ${count(few)}`, ratio: timeOfRead },
        ...[...productPages, ...orderPages].flatMap(({ ratio }) => ratio ?? []),
      ],
      targets: [
        atMost(`Time of a read by id: ${count(many)} products ÷ ${count(few)}`, 1.3, timeOfRead),
        ...[...productPages, ...orderPages].flatMap(({ target }) => target ?? []),
      ],
      tables: [
        {
          title: 'Reads by id, 64 connections',
          head: ['products', ...loadHead.slice(1)],
          rows: Object.entries(reads).map(([name, loads]) => loadRow(name, loads)),
        },
        {
          title: 'Pages of 20',
          head: ['list', ...loadHead.slice(1)],
          rows: [...productPages, ...orderPages].flatMap(({ rows }) => rows),
        },
      ],
      notes: [],
    }
  },
}

/** Each connection sends one request after the other: time is connections ÷ rate. */
const timeRatio = (slow: readonly Load[] = [], fast: readonly Load[] = []): Spread =>
  ratioOf(
    fast.map((each) => each.rate),
    slow.map((each) => each.rate),
  )

/** Paths of pages of a list. */
interface Pages {
  first: string
  second: string
  far: string
  /** Which one `far` is. */
  number: number
}

/** Follows the cursors as far as they lead, or to page 1,000. */
async function walk(url: string, list: string, token?: string): Promise<Pages> {
  const first = `${list}?limit=${pageSize}`
  let second = first
  let far = first
  let number = 1
  for (; number < farPage; number++) {
    const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
    const response = await fetch(url + far, { headers })
    if (!response.ok) throw new Error(`${far} answered ${response.status}`)
    const { nextCursor } = (await response.json()) as { nextCursor: string | null }
    if (nextCursor === null) break
    far = `${first}&cursor=${nextCursor}`
    if (number === 1) second = far
  }
  return { first, second, far, number }
}

interface List {
  name: string
  url: string
  pages: Pages
  token?: string
}

/** The first two pages of each list, and a far one. */
async function measurePages(stage: Stage, lists: readonly List[], connections: number) {
  const results: { ratio?: Outcome['ratios'][number]; target?: Target; rows: string[][] }[] = []
  const over = `${connections} connection${connections === 1 ? '' : 's'}`
  for (const { name, url, pages, token } of lists) {
    const getting = (path: string) => (seconds: number) =>
      load(url, { workload: 'get', path, ...(token !== undefined && { token }) }, { connections, seconds })
    const measured = await inTurn(stage, `${name}, ${over}`, {
      'page 1': getting(pages.first),
      'page 2': getting(pages.second),
      far: getting(pages.far),
    })
    const far = `page ${count(pages.number)}`
    const ratio = timeRatio(measured.far, measured['page 1'])
    const what = `time of a page of ${name}, ${over}: ${far} ÷ page 1`
    results.push({
      ...(pages.number === farPage && { ratio: { what, ratio } }),
      // Where nobody shares a query is where its cost shows.
      ...(pages.number === farPage && connections === 1 && { target: atMost(capitalized(what), 1.2, ratio) }),
      rows: [
        loadRow(`${name}, ${over}: page 1`, measured['page 1']),
        loadRow(`${name}, ${over}: page 2`, measured['page 2']),
        loadRow(`${name}, ${over}: ${far}`, measured.far),
      ],
    })
  }
  return results
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

async function orderLists(
  stage: Stage,
  shop: Awaited<ReturnType<typeof openShop>> | undefined,
  orders: number,
): Promise<List[]> {
  if (!shop) return []
  const { url } = shop.program
  stage.say(`  ${count(orders)} orders ...`)
  const [customer] = await registerCustomers(url, 1)
  if (!customer) return []
  const { userId, token } = customer
  await seedOrders(shop.orders, orders, { userId, everyNth, customers: 10_000, products: orders })
  await warmedUp(stage, [shop.orders.collection('orders')])
  const all = await signIn(url, admin.email, admin.password)
  return [
    {
      name: `one customer's of ${count(orders)} orders`,
      url,
      token,
      pages: await walk(url, '/orders', token),
    },
    { name: `all ${count(orders)} orders`, url, token: all, pages: await walk(url, '/orders', all) },
  ]
}

/** What is still on its way to the disk must not be in the first measurement, nor what has never been read from there. */
async function warmedUp({ client }: Stage, collections: readonly mongo.Collection[]): Promise<void> {
  await client.db('admin').command({ fsync: 1 })
  // By its ids, as a page of a list and a read by id find a document.
  for (const collection of collections) await collection.findOne({ status: 'none' }, { hint: { _id: 1 } })
  await sleep(2_000)
}

/**
 * Has the program store one product and one order, and compares them with what this benchmark stores.
 * @throws Error if they have other fields, or of other types
 */
async function seedsLikeTheProgram(shop: Shop, url: string): Promise<void> {
  const token = await signIn(url, admin.email, admin.password)
  const product = { name: 'Cup', description: 'Stoneware', price: 12.9, stock: 10 }
  const { productId } = await post<{ productId: string }>(`${url}/products/create_product`, product, token)
  const headers = { 'Idempotency-Key': 'first' }
  await post(`${url}/orders/create_order`, { productList: [{ productId, quantity: 1 }] }, token, headers)
  const own = {
    products: await shop.products.collection('products').findOneAndDelete({}),
    orders: await shop.orders.collection('orders').findOneAndDelete({}),
  }
  await seedProducts(shop.products, 1)
  await seedOrders(shop.orders, 1, { userId: productIdOf(0), everyNth: 1, customers: 1, products: 1 })
  const seeded = {
    products: await shop.products.collection('products').findOneAndDelete({}),
    orders: await shop.orders.collection('orders').findOneAndDelete({}),
  }
  for (const name of ['products', 'orders'] as const) {
    const [theirs, ours] = [shapeOf(own[name]), shapeOf(seeded[name])]
    if (!isDeepStrictEqual(theirs, ours))
      throw new Error(
        `bench/seed.ts stores ${name} otherwise than the program: ${inspect(ours)} for ${inspect(theirs)}`,
      )
  }
}

/** Names and types of fields, whatever their order. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return typeof value
  if (Object.getPrototypeOf(value) !== Object.prototype) return value.constructor.name
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, shapeOf(field)]))
}
