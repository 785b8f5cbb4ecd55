import { isDeepStrictEqual } from 'node:util'
import pLimit from 'p-limit'
import type { RunningShop } from './fleet.ts'
import {
  finalAnswersTo,
  type History,
  isCancellation,
  isKeyReused,
  nameOf,
  otherLines,
  type ProductCreation,
  type Purchase,
  type StockChange,
  sendCreation,
  sendPurchase,
  sendStockChange,
} from './history.ts'
import { findDifferentAnswers, isFinal, sendUntilFinal } from './outcomes.ts'

// The time for one answer after all faults have healed.
const answerTimeoutMs = 30_000
const maxConcurrent = 16

/**
 * Repeats all purchases with a key, all acknowledged cancellations, all stock changes and all creations of products, and adds the
 * answers to the history.
 * Each of these requests has a final answer afterwards.
 * @returns a complaint about each answer that differs from an earlier answer to the same request
 */
export async function repeatRequests(history: History, shop: RunningShop): Promise<string[]> {
  const limit = pLimit(maxConcurrent)
  const all = <Item>(items: readonly Item[], repeat: (item: Item) => Promise<string[]>) =>
    Promise.all(items.map((item) => limit(() => repeat(item))))
  const keyed = history.purchases.filter(({ key }) => key !== undefined)
  const cancelled = new Set(history.statusChanges.filter(isCancellation).map(({ orderId }) => orderId))
  const complaints = [
    await all(keyed, (purchase) => repeatPurchase(purchase, shop)),
    await all([...cancelled], (orderId) => repeatCancellation(orderId, shop)),
    await all(history.stockChanges, (stockChange) => repeatStockChange(stockChange, shop)),
    await all(history.creations, (creation) => repeatCreation(creation, shop)),
  ]
  return complaints.flat(2)
}

/** Checks that a repeated purchase gets its first answer again, marked as replayed, or a first answer if it had none. */
async function repeatPurchase(purchase: Purchase, shop: RunningShop): Promise<string[]> {
  const complaints: string[] = []
  const first = finalAnswersTo(purchase)[0]
  const bodies = [purchase.lines, otherLines(purchase)].filter((lines) =>
    purchase.requests.some((request) => isDeepStrictEqual(request.lines, lines)),
  )
  for (const lines of bodies) {
    const answer = await sendUntilFinal(() => sendPurchase(shop, purchase, lines), answerTimeoutMs)
    purchase.requests.push({ lines, outcome: answer })
    const isSameBody = first === undefined || isDeepStrictEqual(first.lines, lines)
    const isReplayed = answer.headers.get('idempotent-replayed') === 'true'
    if (first !== undefined && isSameBody && !isReplayed) {
      complaints.push(`${nameOf(purchase)}: not marked as replayed: ${JSON.stringify(answer.body)}`)
    }
    if (!isSameBody && !isKeyReused(answer)) {
      complaints.push(`${nameOf(purchase)}: another body was answered ${JSON.stringify(answer.body)}`)
    }
  }
  const answers = finalAnswersTo(purchase).map(({ answer }) => answer)
  if (answers.length === 0) complaints.push(`${nameOf(purchase)}: no body was answered with a decision`)
  return [...complaints, ...findDifferentAnswers(nameOf(purchase), answers)]
}

async function repeatCancellation(orderId: string, shop: RunningShop): Promise<string[]> {
  const cancel = () => shop.delete(`/orders/${orderId}`, { token: shop.adminToken })
  const { status, body } = await sendUntilFinal(cancel, answerTimeoutMs)
  if (status === 200 && body.status === 'cancelled') return []
  return [`order ${orderId}: was cancelled, and a repeated cancellation was answered ${JSON.stringify(body)}`]
}

async function repeatStockChange(stockChange: StockChange, shop: RunningShop): Promise<string[]> {
  // An answer 404 is not stored under the key.
  const first = stockChange.outcomes.filter(isFinal).find(({ status }) => status !== 404)
  const repeated = await sendUntilFinal(() => sendStockChange(shop, stockChange), answerTimeoutMs)
  stockChange.outcomes.push(repeated)
  return first ? findDifferentAnswers(`stock change ${stockChange.key}`, [first, repeated]) : []
}

async function repeatCreation(creation: ProductCreation, shop: RunningShop): Promise<string[]> {
  const first = creation.outcomes.find(isFinal)
  const repeated = await sendUntilFinal(() => sendCreation(shop, creation), answerTimeoutMs)
  creation.outcomes.push(repeated)
  return findDifferentAnswers(`creation ${creation.key}`, first ? [first, repeated] : [repeated])
}
