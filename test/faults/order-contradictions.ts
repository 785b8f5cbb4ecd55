import { isDeepStrictEqual } from 'node:util'
import pLimit from 'p-limit'
import { mergeLines } from '#src/modules/order/order.ts'
import type { Answer, Json } from '#test/support/client.ts'
import type { RunningShop } from './fleet.ts'
import {
  acknowledgedOrder,
  finalAnswersTo,
  type History,
  isCancellation,
  isKeyReused,
  type Line,
  nameOf,
  type Purchase,
  type StatusChange,
} from './history.ts'
import { codeOf, sendUntilFinal } from './outcomes.ts'

// The time for one answer after all faults have healed.
const answerTimeoutMs = 30_000
const maxConcurrent = 16

/**
 * Compares the history with the stored orders.
 * @param orders the stored orders of the history's customers
 */
export async function findOrderContradictions(
  history: History,
  orders: Json[],
  shop: RunningShop,
): Promise<string[]> {
  const { purchases } = history
  const limit = pLimit(maxConcurrent)
  const changed = purchases.map((purchase) => limit(() => findChangedOrder(purchase, shop)))
  return [
    ...purchases.flatMap((purchase) => findUnexplainedAnswers(purchase, history)),
    ...(await Promise.all(changed)).flat(),
    ...findUnexplainedOrders(history, orders),
    ...findWrongStatuses(history, orders),
  ]
}

/** Finds answers that the requests of the clients cannot explain. */
function findUnexplainedAnswers(purchase: Purchase, history: History): string[] {
  const complaints = finalAnswersTo(purchase).flatMap(({ lines, answer }) =>
    explain(answer, lines, history).map((complaint) => `${complaint}: ${JSON.stringify(answer.body)}`),
  )
  const bodies = new Set(purchase.requests.map(({ lines }) => JSON.stringify(lines)))
  if (bodies.size === 1 && purchase.requests.some(({ outcome }) => isKeyReused(outcome))) {
    complaints.push('answered idempotency_key_reused, and all requests with the key had the same body')
  }
  return complaints.map((complaint) => `${nameOf(purchase)}: ${complaint}`)
}

/** @returns what the history does not explain of this answer to a purchase of these lines */
function explain({ status, body }: Answer, lines: Line[], history: History): string[] {
  if (status === 201) return explainConfirmation(body, lines, history)
  const quantities = new Map(mergeLines(lines).map(({ productId, quantity }) => [productId, quantity]))
  const isShort = ({ productId, requested, available }: Json) =>
    quantities.get(productId) === requested && available >= 0 && available < requested
  const isDeleted = (id: string) =>
    history.products.some(({ productId, deletions }) => productId === id && deletions.length > 0)
  switch (body.code) {
    case 'insufficient_stock':
      return body.items.every(isShort) ? [] : ['the items are not short']
    case 'unknown_product':
      return body.productIds.every(isDeleted) ? [] : ['no client has deleted the product']
    case 'invalid_transition':
      // Only a cancellation by a client leads to this answer.
      return history.statusChanges.some(({ to }) => to === 'cancelled')
        ? []
        : ['no client has cancelled the order']
    default:
      return []
  }
}

function explainConfirmation(order: Json, lines: Line[], { products, productUpdates }: History): string[] {
  const complaints: string[] = []
  const bought = order.productList.map(({ productId, quantity }: Json) => ({ productId, quantity }))
  if (!isDeepStrictEqual(bought, mergeLines(lines))) complaints.push('the lines differ from the request')
  if (order.status !== 'confirmed') complaints.push('the order is not confirmed')
  let total = 0
  for (const { productId, price, quantity } of order.productList) {
    const isSet =
      products.some((product) => product.productId === productId && product.price === price) ||
      productUpdates.some((update) => update.product.productId === productId && update.price === price)
    if (!isSet) complaints.push(`no client has set the price ${price}`)
    total += Math.round(price * 100) * quantity
  }
  if (Math.round(order.totalAmount * 100) !== total) complaints.push(`the total should be ${total / 100}`)
  return complaints
}

/** Checks that the owner can read an acknowledged order as it was acknowledged. */
async function findChangedOrder(purchase: Purchase, shop: RunningShop): Promise<string[]> {
  const acknowledged = acknowledgedOrder(purchase)
  if (!acknowledged) return []
  const { token } = purchase.customer
  const read = () => shop.get(`/orders/${acknowledged.orderId}`, { token })
  const { body } = await sendUntilFinal(read, answerTimeoutMs)
  const withoutStatus = ({ status, version, updatedAt, ...content }: Json) => content
  if (isDeepStrictEqual(withoutStatus(body), withoutStatus(acknowledged))) return []
  return [`${nameOf(purchase)}: was ${JSON.stringify(acknowledged)}, and now is ${JSON.stringify(body)}`]
}

/** Checks that each confirmed order was acknowledged, so that no purchase has two, and that a client requested it. */
function findUnexplainedOrders({ purchases, requestsDuplicated }: History, orders: Json[]): string[] {
  const identityOf = (userId: string, key: string | undefined) => `${userId} ${key}`
  const byIdentity = new Map(
    purchases.map((purchase) => [identityOf(purchase.customer.userId, purchase.key), purchase]),
  )
  const confirmed = orders.filter(({ confirmation }) => confirmation)
  const complaints = confirmed.flatMap(({ _id, userId, key, undo }) => {
    if (undo) return [`order ${_id}: was confirmed, and undone`]
    const purchase = byIdentity.get(identityOf(String(userId), key))
    if (!purchase)
      return [`order ${_id}: was confirmed under the key ${key}, which its customer has not sent`]
    if (key === undefined) return []
    const acknowledged = acknowledgedOrder(purchase)?.orderId
    if (acknowledged === String(_id)) return []
    return [`order ${_id}: was confirmed, and ${acknowledged ?? 'no order'} acknowledged under its key`]
  })
  const isWithoutKey = ({ key }: { key?: string | undefined }) => key === undefined
  const withoutKey = confirmed.filter(isWithoutKey).length
  const requests = purchases.filter(isWithoutKey).length
  if (withoutKey > requests + requestsDuplicated) {
    complaints.push(`${withoutKey} orders without a key were confirmed for ${requests} requests`)
  }
  return complaints
}

/** Checks that each order has its last acknowledged status, or a status that can follow from it. */
function findWrongStatuses({ purchases, statusChanges }: History, orders: Json[]): string[] {
  const acknowledged = new Set<string>(
    purchases.flatMap((purchase) => acknowledgedOrder(purchase)?.orderId ?? []),
  )
  const changesOf = Map.groupBy(statusChanges, ({ orderId }) => orderId)
  const statusOf = new Map<string, string>(orders.map(({ _id, status }) => [String(_id), status]))
  return [...new Set([...acknowledged, ...changesOf.keys()])].flatMap((orderId) => {
    const changes = changesOf.get(orderId) ?? []
    const status = statusOf.get(orderId)
    if (possibleStatuses(changes, acknowledged.has(orderId)).includes(status)) return []
    const history = changes.map(({ to, outcome }) => `${to}: ${outcome.status} ${codeOf(outcome)}`)
    return [`order ${orderId}: is ${status} after ${JSON.stringify(history)}`]
  })
}

/** The statuses that the order may have after these changes. Undefined means that the order is not stored. */
function possibleStatuses(changes: StatusChange[], wasConfirmed: boolean): (string | undefined)[] {
  const isRequested = (status: StatusChange['to']) => changes.some(({ to }) => to === status)
  const isAcknowledged = (status: StatusChange['to']) =>
    changes.some(({ to, outcome }) => to === status && outcome.status === 200)
  const requested = (['shipped', 'delivered', 'cancelled'] as const).filter(isRequested)
  // The sweeper may undo an order that was never confirmed.
  const possible = ['confirmed', ...requested, ...(wasConfirmed ? [] : ['cancelled', 'rejected', undefined])]
  return possible.filter(
    (status) =>
      (!changes.some(isCancellation) || status === 'cancelled') &&
      (!isAcknowledged('shipped') || status === 'shipped' || status === 'delivered') &&
      (!isAcknowledged('delivered') || status === 'delivered'),
  )
}
