import { setTimeout as sleep } from 'node:timers/promises'
import type { mongo } from 'mongoose'
import type { BenchContext } from '../context.ts'
import { registerCustomers, signIn } from '../customers.ts'
import { followCursors, type List, measurePages, summarizeTimeRatio } from '../pages.ts'
import { admin } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import { atMost, type Scenario } from '../scenario.ts'
import { seedOrders, seedProducts } from '../seed.ts'
import { checkSeedForm } from '../seed-check.ts'
import { type RunningShop, startShop } from '../shop.ts'
import { formatCount, loadColumns, loadRow } from '../tables.ts'

const sizes = { full: [1_000, 10_000, 100_000, 1_000_000], quick: [1_000, 30_000] }
/** One order in 33 belongs to the same customer, so that a million orders give that customer more than a thousand pages. */
const everyNth = 33

export const growth: Scenario = {
  name: 'growth',
  title: 'From a thousand products to a million',
  about: `This scenario measures a read by id and a page in shops of different size. Each shop has a process of its own. The
benchmark follows the cursors once to page 1,000, or to the last page, and then reads that page repeatedly. Page 2 shows the
cost of a cursor near the beginning. Over 1 connection, each page is a query of its own. Over 64 connections, requests for the
same page may share a query. The orders are those of one customer (one order in ${everyNth}), and all orders, as an admin lists
them.`,
  async run(context) {
    const shops = await startShops(context)
    const [smallest = 0, largest = 0] = [Math.min(...shops.keys()), Math.max(...shops.keys())]
    const reads = await measureInTurn(
      context,
      'reads by id',
      Object.fromEntries(
        [...shops].map(([size, { program }]) => [
          `${formatCount(size)} products`,
          load(program, { workload: 'product', products: size }, { connections: 64 }),
        ]),
      ),
    )

    const productLists = await Promise.all([...shops].map(productList))
    const pages = []
    for (const list of productLists) pages.push(await measurePages(context, list, 1))
    for (const list of productLists.slice(-1)) pages.push(await measurePages(context, list, 64))
    for (const list of await orderLists(context, shops.get(largest), largest))
      pages.push(await measurePages(context, list, 1))

    const sizeRatio = `${formatCount(largest)} products ÷ ${formatCount(smallest)} products`
    const readTimeRatio = summarizeTimeRatio(
      reads[`${formatCount(largest)} products`],
      reads[`${formatCount(smallest)} products`],
    )
    return {
      ratios: [
        { label: `time of a read by id: ${sizeRatio}`, ratio: readTimeRatio },
        ...pages.flatMap(({ ratios }) => ratios),
      ],
      targets: [
        atMost(`Time of a read by id: ${sizeRatio}`, 1.3, readTimeRatio),
        ...pages.flatMap(({ targets }) => targets),
      ],
      tables: [
        {
          title: 'Reads by id, 64 connections',
          head: ['shop', ...loadColumns],
          rows: Object.entries(reads).map(([shop, samples]) => loadRow(shop, samples)),
        },
        { title: 'Pages of 20', head: ['list', ...loadColumns], rows: pages.flatMap(({ rows }) => rows) },
      ],
      notes: [],
    }
  },
}

async function startShops(context: BenchContext): Promise<Map<number, RunningShop>> {
  const shops = new Map<number, RunningShop>()
  for (const size of context.options.quick ? sizes.quick : sizes.full) {
    context.log(`  inserting ${formatCount(size)} products ...`)
    const shop = await startShop(context, `n${size}`, { products: 0 })
    if (shops.size === 0) await checkSeedForm(shop, shop.program.url)
    await seedProducts(shop.products, size)
    shops.set(size, shop)
  }
  await prepareCollections(
    context,
    [...shops.values()].map(({ products }) => products.collection('products')),
  )
  return shops
}

const productList = async ([size, { program }]: [number, RunningShop]): Promise<List> => ({
  name: `${formatCount(size)} products`,
  program,
  pages: await followCursors(program.url, '/products'),
})

async function orderLists(
  context: BenchContext,
  shop: RunningShop | undefined,
  orders: number,
): Promise<List[]> {
  if (!shop) return []
  const { program } = shop
  const { url } = program
  context.log(`  inserting ${formatCount(orders)} orders ...`)
  const [customer] = await registerCustomers(url, 1)
  if (!customer) return []
  const { userId, token } = customer
  await seedOrders(shop.orders, orders, { userId, everyNth, customers: 10_000, products: orders })
  await prepareCollections(context, [shop.orders.collection('orders')])
  const adminToken = await signIn(url, admin.email, admin.password)
  return [
    {
      name: `orders of one customer (of ${formatCount(orders)})`,
      program,
      token,
      pages: await followCursors(url, '/orders', token),
    },
    {
      name: `all ${formatCount(orders)} orders`,
      program,
      token: adminToken,
      pages: await followCursors(url, '/orders', adminToken),
    },
  ]
}

/** Writes the inserted documents to the disk and reads them into the cache, so that the first measurement does not pay for it. */
async function prepareCollections(
  { client }: BenchContext,
  collections: readonly mongo.Collection[],
): Promise<void> {
  await client.db('admin').command({ fsync: 1 })
  // The filter matches no document, so MongoDB reads the whole index of ids and each document.
  for (const collection of collections) await collection.findOne({ status: 'none' }, { hint: { _id: 1 } })
  await sleep(2_000)
}
