import { isDeepStrictEqual } from 'node:util'
import pLimit from 'p-limit'
import { mergeLines } from '#src/modules/order/order.ts'
import type { Account, Answer, Json } from '#test/support/client.ts'
import { contentOf, findDifferentAnswers, isFinal, type Outcome, persist } from './attempts.ts'
import type { RunningShop } from './fleet.ts'

// The time for one answer after all faults have healed.
const answerTimeoutMs = 20_000

/** One purchase under one key. The customer may send the request several times. */
export interface Purchase {
  customer: Account
  key: string
  lines: { productId: string; quantity: number }[]
  /** The outcome of each request of the purchase. */
  outcomes: Outcome[]
  /** The outcome of each request to cancel the order; undefined while the request is in flight. */
  cancellations: (Outcome | undefined)[]
}

/** One stock change by an admin. */
export interface Restock {
  productId: string
  key: string
  change: number
  outcomes: Outcome[]
}

/** The history of the clients: all their requests, and all answers that reached them. */
export interface Journal {
  purchases: Purchase[]
  restocks: Restock[]
  /** The first stock of each product, by product id. */
  initialStock: Map<string, number>
}

export const createJournal = (): Journal => ({ purchases: [], restocks: [], initialStock: new Map() })

export const outcomesOf = ({ purchases, restocks }: Journal): (Outcome | undefined)[] => [
  ...purchases.flatMap(({ outcomes, cancellations }) => [...outcomes, ...cancellations]),
  ...restocks.flatMap(({ outcomes }) => outcomes),
]

/** The id of the purchase's order, if an answer named it. A 503 with `orderId` counts too. */
export const orderIdOf = ({ outcomes }: Purchase): string | undefined =>
  outcomes.map((outcome) => ('body' in outcome ? outcome.body.orderId : undefined)).findLast((id) => id)

/** The final answers to a purchase, which must all be equal. */
const finalAnswers = ({ outcomes }: Purchase): Answer[] => outcomes.filter(isFinal)

/** Sends the request of a purchase. */
export const place = (fleet: RunningShop, { customer, key, lines }: Purchase): Promise<Answer> =>
  fleet.order(customer.token, lines, { 'Idempotency-Key': key })

const mentioned = ({ customer, key }: Purchase) => `${customer.username}'s ${key}`

/**
 * Compares the history of the clients with the stored state after the system has settled.
 * @returns the contradictions; a test expects none
 */
export async function contradictions(journal: Journal, fleet: RunningShop): Promise<string[]> {
  const all = await ordersOf(fleet)
  return [
    ...journal.purchases.flatMap((purchase) =>
      findDifferentAnswers(mentioned(purchase), finalAnswers(purchase)),
    ),
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
    const { body } = await persist(() => fleet.get(page, { token: fleet.adminToken }), answerTimeoutMs)
    for (const order of body.data) orders.set(order.orderId, order)
    cursor = body.nextCursor
  }
  return orders
}

/** Checks that an acknowledged order exists as it was acknowledged. */
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
  // An unanswered request to cancel may have taken effect or not.
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

/** Checks that each key has at most one confirmed order, and that a customer requested each order. */
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
    if (!purchase) return [`order ${_id} was confirmed under the key ${key}, which no customer has sent`]
    const other = found.get(identity)
    if (other) return [`${mentioned(purchase)}: ${other} and ${_id} were both confirmed`]
    found.set(identity, String(_id))
    const bought = lines.map(({ productId, quantity }: Json) => ({ productId, quantity }))
    return isDeepStrictEqual(bought, mergeLines(purchase.lines))
      ? []
      : [`${mentioned(purchase)}: bought ${JSON.stringify(bought)}`]
  })
}

/** Checks that the stock of each product equals the quantity put in minus the quantity in confirmed orders. */
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
    const { stock } = (await persist(() => fleet.get(`/products/${productId}`), answerTimeoutMs)).body
    if (stock !== count) faults.push(`${productId}: ${stock} are left instead of ${count}`)
  }
  return faults
}

/** Checks that a repeated purchase gets its first answer again. */
async function replayedDifferently({ purchases }: Journal, fleet: RunningShop): Promise<string[]> {
  const atOnce = pLimit(16)
  const faults = await Promise.all(
    purchases.map((purchase) =>
      atOnce(async () => {
        const [first] = finalAnswers(purchase)
        if (!first) return []
        const again = await persist(() => place(fleet, purchase), answerTimeoutMs)
        const marked = again.headers.get('idempotent-replayed') === 'true' || again.status >= 400
        if (marked && isDeepStrictEqual(contentOf(again), contentOf(first))) return []
        const [was, is] = [first, again].map((answer) => JSON.stringify(contentOf(answer)))
        return [`${mentioned(purchase)}: was answered ${was}, is replayed ${is}`]
      }),
    ),
  )
  return faults.flat()
}
