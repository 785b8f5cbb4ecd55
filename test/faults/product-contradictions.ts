import type { Json } from '#test/support/client.ts'
import type { RunningShop } from './fleet.ts'
import type { History, Product, ProductUpdate } from './history.ts'
import { isUnknown, sendUntilFinal } from './outcomes.ts'

// The time for one answer after all faults have healed.
const answerTimeoutMs = 30_000

/**
 * Compares the history with the stored products.
 * @param orders the stored orders of the history's customers
 */
export async function findProductContradictions(
  history: History,
  orders: Json[],
  shop: RunningShop,
): Promise<string[]> {
  const stored = await (await shop.collections('product')).collection('products').find().toArray()
  const complaints: string[] = []
  for (const product of history.products) {
    const { productId, deletions } = product
    const updates = history.productUpdates.filter((update) => update.product === product)
    const { status, body } = await sendUntilFinal(() => shop.get(`/products/${productId}`), answerTimeoutMs)
    const stock: number | undefined = stored.find(({ _id }) => String(_id) === productId)?.stock
    const stocks = possibleStocks(product, updates, history, orders)
    const prices = possiblePrices(product, updates)
    const complain = (complaint: string) => complaints.push(`product ${productId}: ${complaint}`)

    if (!stocks.includes(stock)) complain(`the stock is ${stock} instead of ${stocks.join(' or ')}`)
    if (status === 404 && deletions.length === 0) complain('is gone, and no client has deleted it')
    if (status !== 404 && deletions.some((outcome) => outcome.status === 204)) {
      complain('was deleted, and is there again')
    }
    if (status === 200 && body.stock !== stock) complain(`shows a stock of ${body.stock} instead of ${stock}`)
    if (status === 200 && !prices.includes(body.price)) {
      complain(`costs ${body.price} instead of ${prices.join(' or ')}`)
    }
    for (const complaint of findOverwrittenUpdates(product, updates)) complain(complaint)
  }
  for (const { key, name, outcomes } of history.creations) {
    const { length } = stored.filter((product) => product.name === name)
    const status = outcomes.at(-1)?.status
    if (length !== 1 || status !== 201)
      complaints.push(`creation ${key}: made ${length} products, and was answered ${status}`)
  }
  return complaints
}

const statusesWithHold = ['confirmed', 'shipped', 'delivered']

/** The quantity that was put in minus the quantity in orders that hold stock. */
function possibleStocks(
  product: Product,
  updates: ProductUpdate[],
  { stockChanges }: History,
  orders: Json[],
): (number | undefined)[] {
  let expected = product.stock
  for (const { product: changed, change, outcomes } of stockChanges) {
    if (changed === product && outcomes.at(-1)?.status === 200) expected += change
  }
  for (const { status, lines } of orders) {
    if (!statusesWithHold.includes(status)) continue
    for (const { productId, quantity } of lines) if (productId === product.productId) expected -= quantity
  }
  // An update without an answer may have taken effect or not.
  let possible = new Set([expected])
  for (const { stockChange = 0, outcome } of updates) {
    if (stockChange === 0) continue
    const updated = [...possible].map((stock) => stock + stockChange)
    if (outcome.status === 200) possible = new Set(updated)
    if (isUnknown(outcome)) possible = new Set([...possible, ...updated])
  }
  return [...possible]
}

/** The price of the last acknowledged update, and the prices of updates without an answer. */
function possiblePrices(product: Product, updates: ProductUpdate[]): (number | undefined)[] {
  const priced = updates.filter(({ price }) => price !== undefined)
  const versionOf = ({ outcome }: ProductUpdate): number => ('body' in outcome ? outcome.body.version : 0)
  const last = priced
    .filter(({ outcome }) => outcome.status === 200)
    .sort((a, b) => versionOf(a) - versionOf(b))
    .at(-1)
  const unknown = priced.filter(({ outcome }) => isUnknown(outcome))
  return [last?.price ?? product.price, ...unknown.map(({ price }) => price)]
}

/** Checks that no update overwrote another update that its client had not read. */
function findOverwrittenUpdates(product: Product, updates: ProductUpdate[]): string[] {
  const acknowledged = updates.filter(({ outcome }) => outcome.status === 200)
  const prices = [product.price, ...updates.map(({ price }) => price)]
  // An update that changes nothing makes no new version, so another update may use the same version.
  const isUnique = ({ price }: ProductUpdate) => prices.filter((other) => other === price).length === 1
  const changes = {
    price: acknowledged.filter((update) => update.price !== undefined && isUnique(update)),
    stock: acknowledged.filter(({ stockChange = 0 }) => stockChange !== 0),
  }
  return Object.entries(changes).flatMap(([field, changed]) => {
    const versions = changed.map(({ version }) => version)
    if (new Set(versions).size === versions.length) return []
    return [`the ${field} was set twice from one version: ${versions.join(', ')}`]
  })
}
