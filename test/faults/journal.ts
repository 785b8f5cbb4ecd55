import { isDeepStrictEqual } from 'node:util'
import pLimit from 'p-limit'
import { mergeLines } from '#src/modules/order/order.ts'
import type { Account, Answer, Json } from '#test/support/client.ts'
import { isFinal, type Outcome, persist } from './attempts.ts'
import type { RunningShop } from './fleet.ts'

// Milliseconds for one answer when everything is well again.
const limit = 20_000

/** What one customer wants to buy once, under one key, however often it is asked for. */
export interface Purchase {
  customer: Account
  key: string
  lines: { productId: string; quantity: number }[]
  /** Of every request that asked for it. */
  outcomes: Outcome[]
  /** Of every request to cancel it; undefined while it is under way. */
  cancellations: (Outcome | undefined)[]
}

/** What an admin wants to put in (or take out) once. */
export interface Restock {
  productId: string
  key: string
  change: number
  outcomes: Outcome[]
}

/** What the clients know: all that they have asked for, and every answer that has reached them. */
export interface Journal {
  purchases: Purchase[]
  restocks: Restock[]
  /** What each product had from the start, by id. */
  initialStock: Map<string, number>
}

export const createJournal = (): Journal => ({ purchases: [], restocks: [], initialStock: new Map() })

export const outcomesOf = ({ purchases, restocks }: Journal): (Outcome | undefined)[] => [
  ...purchases.flatMap(({ outcomes, cancellations }) => [...outcomes, ...cancellations]),
  ...restocks.flatMap(({ outcomes }) => outcomes),
]

/** The order that a purchase is known to have led to, be it from the answer that its outcome is not known yet. */
export const orderIdOf = ({ outcomes }: Purchase): string | undefined =>
  outcomes.map((outcome) => ('body' in outcome ? outcome.body.orderId : undefined)).findLast((id) => id)

/** The final answers to a purchase, of which there must be one at most, however often it was given. */
const finalAnswers = ({ outcomes }: Purchase): Answer[] => outcomes.filter(isFinal)

/** An answer without what belongs to its request alone. */
const contentOf = ({ status, body: { requestId, ...content } }: Answer) => ({ status, ...content })

/** Asks for a purchase, once more or for the first time. */
export const place = (fleet: RunningShop, { customer, key, lines }: Purchase): Promise<Answer> =>
  fleet.order(customer.token, lines, { 'Idempotency-Key': key })

const mentioned = ({ customer, key }: Purchase) => `${customer.username}'s ${key}`

/**
 * Compares what the clients know with what there is when everything has settled.
 * @returns what does not agree, for a test to expect nothing
 */
export async function contradictions(journal: Journal, fleet: RunningShop): Promise<string[]> {
  const all = await ordersOf(fleet)
  return [
    ...journal.purchases.flatMap(answeredDifferently),
    ...journal.purchases.flatMap((purchase) => forgotten(purchase, all)),
    ...(await confirmedTwice(journal, fleet)),
    ...(await miscounted(journal, all, fleet)),
    ...(await replayedDifferently(journal, fleet)),
  ]
}

/** All orders, as an admin sees them. */
async function ordersOf(fleet: RunningShop): Promise<Map<string, Json>> {
  const orders = new Map<string, Json>()
  let cursor: string | null = ''
  while (cursor !== null) {
    const page = `/orders?limit=100${cursor && `&cursor=${cursor}`}`
    const { body } = await persist(() => fleet.get(page, { token: fleet.adminToken }), limit)
    for (const order of body.data) orders.set(order.orderId, order)
    cursor = body.nextCursor
  }
  return orders
}

function answeredDifferently(purchase: Purchase): string[] {
  const [first, ...others] = finalAnswers(purchase).map(contentOf)
  return others
    .filter((other) => !isDeepStrictEqual(other, first))
    .map(
      (other) => `${mentioned(purchase)}: answered ${JSON.stringify(first)}, then ${JSON.stringify(other)}`,
    )
}

/** An order that was acknowledged is there, and as it was acknowledged last. */
function forgotten(purchase: Purchase, all: ReadonlyMap<string, Json>): string[] {
  const answer = finalAnswers(purchase).find(({ status }) => status === 201)
  if (!answer) return []
  const { status: _, version: __, updatedAt: ___, ...acknowledged } = answer.body
  const order = all.get(acknowledged.orderId)
  if (!order) return [`${mentioned(purchase)}: order ${acknowledged.orderId} was acknowledged and is gone`]
  const faults: string[] = []
  for (const [name, value] of Object.entries(acknowledged)) {
    if (!isDeepStrictEqual(order[name], value)) {
      faults.push(`${mentioned(purchase)}: ${name} is ${JSON.stringify(order[name])}`)
    }
  }
  // A request to cancel without an answer may have been carried out, or not.
  const { cancellations } = purchase
  const cancelled = cancellations.some((outcome) => outcome?.status === 200 || outcome?.status === 202)
  const expected = cancelled
    ? ['cancelled']
    : cancellations.length > 0
      ? ['confirmed', 'cancelled']
      : ['confirmed']
  if (!expected.includes(order.status)) {
    faults.push(`${mentioned(purchase)}: is ${order.status} instead of ${expected.join(' or ')}`)
  }
  return faults
}

/** One confirmed order per key at most, and none that no customer asked for. */
async function confirmedTwice({ purchases }: Journal, fleet: RunningShop): Promise<string[]> {
  const orders = (await fleet.collections('order')).collection('orders')
  const confirmed = await orders.find({ confirmation: { $exists: true } }).toArray()
  const asked = new Map(
    purchases.map((purchase) => [`${purchase.customer.userId} ${purchase.key}`, purchase]),
  )
  const found = new Map<string, string>()
  return confirmed.flatMap(({ _id, userId, key, lines }) => {
    const identity = `${userId} ${key}`
    const purchase = asked.get(identity)
    if (!purchase) return [`order ${_id} was confirmed under the key ${key}, which nobody has sent`]
    const other = found.get(identity)
    if (other) return [`${mentioned(purchase)}: ${other} and ${_id} were both confirmed`]
    found.set(identity, String(_id))
    const bought = lines.map(({ productId, quantity }: Json) => ({ productId, quantity }))
    return isDeepStrictEqual(bought, mergeLines(purchase.lines))
      ? []
      : [`${mentioned(purchase)}: bought ${JSON.stringify(bought)}`]
  })
}

/** What is left of each product is what was put in, less what is in confirmed orders. */
async function miscounted(
  { initialStock, restocks }: Journal,
  all: ReadonlyMap<string, Json>,
  fleet: RunningShop,
): Promise<string[]> {
  const expected = new Map(initialStock)
  const add = (productId: string, change: number) =>
    expected.set(productId, (expected.get(productId) ?? 0) + change)
  for (const { productId, change, outcomes } of restocks) {
    if (outcomes.some(({ status }) => status === 200)) add(productId, change)
  }
  for (const { status, productList } of all.values()) {
    if (status !== 'confirmed') continue
    for (const { productId, quantity } of productList) add(productId, -quantity)
  }
  const faults: string[] = []
  for (const [productId, count] of expected) {
    const { stock } = (await persist(() => fleet.get(`/products/${productId}`), limit)).body
    if (stock !== count) faults.push(`${productId}: ${stock} are left instead of ${count}`)
  }
  return faults
}

/** Whoever asks again gets the first answer. */
async function replayedDifferently({ purchases }: Journal, fleet: RunningShop): Promise<string[]> {
  const atOnce = pLimit(16)
  const faults = await Promise.all(
    purchases.map((purchase) =>
      atOnce(async () => {
        const [first] = finalAnswers(purchase)
        if (!first) return []
        const again = await persist(() => place(fleet, purchase), limit)
        const marked = again.headers.get('idempotent-replayed') === 'true' || again.status >= 400
        if (marked && isDeepStrictEqual(contentOf(again), contentOf(first))) return []
        const [was, is] = [first, again].map((answer) => JSON.stringify(contentOf(answer)))
        return [`${mentioned(purchase)}: was answered ${was}, is replayed ${is}`]
      }),
    ),
  )
  return faults.flat()
}
