import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { generatePrivateKey } from '../../src/modules/auth/signing-keys.ts'
import { unbalancedBooks } from '../books.ts'
import type { Answer, Json } from '../client.ts'
import { type Deployment, deploy } from '../processes.ts'
import { databaseName } from '../shop.ts'
import { type Buying, place, startBuying } from './buying.ts'
import { startThreeNodes, type ThreeNodes } from './three-nodes.ts'

const kills = Number(process.env.FAULTS ?? 1)
const products = 4
const stock = 30
const customers = 6
// What is promised, in milliseconds: from a kill to the next new order that is confirmed, and from when all three
// nodes are healthy again until no order is unfinished.
const goesOnWithin = 15_000
const settlesWithin = 30_000

let nodes: ThreeNodes
let shop: Deployment
let buying: Buying
/** Of each kill: milliseconds until an order was confirmed that nobody had asked for before. */
const stalls: number[] = []
let settledAfter: number
let audit: Awaited<ReturnType<typeof runAudit>>
let productIds: string[]
const database = databaseName()
const settings: Record<string, string> = {
  MONGODB_DATABASE: database,
  JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
  ACCESS_TOKEN_TTL: '1d',
}

beforeAll(async () => {
  nodes = await startThreeNodes()
  settings.MONGODB_URI = nodes.uri
  shop = await deploy('one process', settings)
  const made = await Promise.all(
    Array.from({ length: products }, () => shop.product(shop.adminToken, { stock })),
  )
  productIds = made.map(({ productId }) => productId)
  const accounts = await Promise.all(Array.from({ length: customers }, () => shop.customer()))
  buying = startBuying(shop, accounts, productIds)
  for (let nth = 0; nth < kills; nth++) stalls.push(await killPrimary(nth % 2 === 0))
  const healed = Date.now()
  await buying.stop()
  settledAfter = await settled(healed)
  audit = await runAudit()
  await report()
}, 3_600_000)

afterAll(async () => {
  await shop?.stop()
  await nodes?.close()
})

const ascending = (a: number, b: number) => a - b
const confirmed = () => buying.purchases.filter(({ answer }) => answer?.status === 201)

/** @param leaveDead whether it comes back only when the others have gone on without it */
async function killPrimary(leaveDead: boolean): Promise<number> {
  const enough = confirmed().length + 10
  await vi.waitFor(() => expect(confirmed().length).toBeGreaterThanOrEqual(enough), { timeout: 60_000 })
  const node = await nodes.killPrimary()
  const killed = performance.now()
  if (!leaveDead) await node.start()
  const next = await vi.waitUntil(
    () =>
      confirmed()
        .flatMap(({ begun, answered = 0 }) => (begun > killed ? answered : []))
        .sort(ascending)[0],
    { timeout: 60_000 },
  )
  if (leaveDead) await node.start()
  await nodes.healthy()
  return Math.round(next - killed)
}

async function settled(healed: number): Promise<number> {
  const orders = (await shop.collections('order')).collection('orders')
  for (;;) {
    const unfinished = await orders.countDocuments({ status: { $in: ['pending', 'cancelling'] } })
    const took = Date.now() - healed
    if (unfinished === 0 || took > settlesWithin) return took
    await sleep(100)
  }
}

/** `npm run audit`, as its users run it. */
function runAudit(): Promise<{ code: number | null; printed: string }> {
  const script = fileURLToPath(new URL('../../src/audit.ts', import.meta.url))
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...settings }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [script, '--json'], { env }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, printed: `${stdout}${stderr}` }),
    )
  })
}

/** A few at a time: a thousand at once would be another test. */
async function each<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<string[]>,
): Promise<string[]> {
  const rest = items.values()
  const found: string[] = []
  const worker = async () => {
    for (const item of rest) found.push(...(await work(item)))
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return found
}

const contentOf = ({ status, body: { requestId, ...content } }: Answer) => ({ status, ...content })
const text = JSON.stringify

it('answers at worst that it is not available just now', () => {
  // With the stack, which no answer has.
  expect(
    shop
      .output()
      .split('\n')
      .filter((line) => line.includes('"unexpected error"')),
  ).toEqual([])
  expect(buying.unexpected.map(contentOf)).toEqual([])
})

it('confirms new orders again within 15 seconds', () => {
  expect(stalls.length).toBe(kills)
  expect(Math.max(...stalls)).toBeLessThanOrEqual(goesOnWithin)
})

it('loses no order that it has confirmed, and no refusal: each key is answered as it was', async () => {
  const answered = buying.purchases.filter(({ answer }) => answer)
  const changed = await each(answered, async (purchase) => {
    const [first, again] = [purchase.answer as Answer, await place(shop, purchase)]
    const replayed = again.status !== 201 || again.headers.get('idempotent-replayed') === 'true'
    const same = replayed && isDeepStrictEqual(contentOf(again), contentOf(first))
    return same ? [] : [`${purchase.key}: ${text(contentOf(first))}, then ${text(contentOf(again))}`]
  })
  expect(changed).toEqual([])
})

it('keeps what was cancelled cancelled, and what was not, confirmed', async () => {
  const others = await each(confirmed(), async ({ answer, customer, cancellation }) => {
    const { orderId } = answer?.body ?? {}
    const { body } = await shop.get(`/orders/${orderId}`, { token: customer.token })
    const expected = cancellation ? 'cancelled' : 'confirmed'
    return body.status === expected ? [] : [`${orderId} is ${body.status} and not ${expected}`]
  })
  expect(others).toEqual([])
})

it('confirms one order under one key, of the lines that were asked for', async () => {
  const stored = await confirmedOrders()
  const under = new Map<string, Json[]>()
  for (const order of stored) {
    const identity = `${order.userId} ${order.key}`
    under.set(identity, [...(under.get(identity) ?? []), order])
  }
  const asked = new Set<string>()
  const faults = buying.purchases.flatMap(({ customer, key, lines, answer }) => {
    const identity = `${customer.userId} ${key}`
    asked.add(identity)
    const orders = under.get(identity) ?? []
    const ids = orders.map(({ _id }) => String(_id))
    // Nobody knows what became of an order whose customer has walked away: it may be there, once.
    const known = answer?.status === 201 ? [answer.body.orderId] : answer ? [] : ids.slice(0, 1)
    const bought = orders.map((order) =>
      order.lines.map(({ productId, quantity }: Json) => ({ productId, quantity })),
    )
    if (isDeepStrictEqual(ids, known) && bought.every((each) => isDeepStrictEqual(each, lines))) return []
    return [`${identity}: ${text(orders)} instead of ${text(known)} with ${text(lines)}`]
  })
  expect(faults).toEqual([])
  expect([...under.keys()].filter((identity) => !asked.has(identity))).toEqual([])
})

it('leaves of each product what was put in, less what was sold', async () => {
  const expected = new Map(productIds.map((id) => [id, stock + (buying.restocked.get(id) ?? 0)]))
  for (const { status, lines } of await confirmedOrders()) {
    if (status !== 'confirmed') continue
    for (const { productId, quantity } of lines) {
      expected.set(productId, (expected.get(productId) ?? 0) - quantity)
    }
  }
  const left = await Promise.all(
    productIds.map(async (id) => [id, (await shop.get(`/products/${id}`)).body.stock]),
  )
  expect(Object.fromEntries(left)).toEqual(Object.fromEntries(expected))
  expect(await unbalancedBooks(shop)).toEqual([])
})

it('finishes every order within 30 seconds, and leaves the audit nothing to find', () => {
  expect(settledAfter).toBeLessThanOrEqual(settlesWithin)
  expect(audit).toMatchObject({ code: 0, printed: expect.stringContaining('"findings":[]') })
})

async function confirmedOrders(): Promise<Json[]> {
  const orders = (await shop.collections('order')).collection('orders')
  return orders.find({ confirmation: { $exists: true } }).toArray()
}

async function report(): Promise<void> {
  const orders = (await shop.collections('order')).collection('orders')
  const count = (filter: object) => orders.countDocuments(filter)
  const moments = confirmed()
    .map(({ answered = 0 }) => answered)
    .sort(ascending)
  const stall = Math.max(...moments.map((at, nth) => at - (moments[nth - 1] ?? at)))
  const undone = await count({ status: 'cancelled', undo: true })
  const lines = {
    kills: `${kills} of the primary`,
    'goes on after': `${stalls.join(', ')} ms`,
    answers: [...buying.answers].map(([what, times]) => `${times} × ${what}`).join(', '),
    orders: `${await count({ status: 'confirmed' })} confirmed, ${await count({ status: 'rejected' })} rejected, ${await count({ status: 'cancelled' })} cancelled (${undone} undone)`,
    'longest stall': `${Math.round(stall)} ms`,
    settled: `${settledAfter} ms after the last node had caught up`,
    audit: `exit code ${audit.code}, ${audit.printed.trim()}`,
  }
  console.log('a replica set of three, its primary killed under load')
  for (const [name, line] of Object.entries(lines)) console.log(`  ${name.padEnd(14)} ${line}`)
}
