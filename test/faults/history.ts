import type { Account, Answer, Json } from '#test/support/client.ts'
import type { RunningShop } from './fleet.ts'
import { codeOf, isFinal, type Outcome } from './outcomes.ts'

export interface Line {
  productId: string
  quantity: number
}

/** One purchase. A client with a key may repeat the request, and may by mistake send another body with the same key. */
export interface Purchase {
  customer: Account
  key: string | undefined
  lines: Line[]
  requests: { lines: Line[]; outcome: Outcome }[]
}

export interface StatusChange {
  orderId: string
  to: 'cancelled' | 'shipped' | 'delivered'
  outcome: Outcome
}

/** One stock change by an admin, which may be sent several times. */
export interface StockChange {
  product: Product
  key: string
  change: number
  outcomes: Outcome[]
}

/** One creation of a product by an admin, which may be sent several times. No other product has its name. */
export interface ProductCreation {
  key: string
  name: string
  outcomes: Outcome[]
}

/** An update of a product by the version that it was read with. */
export interface ProductUpdate {
  product: Product
  version: number
  price?: number
  /** The difference between the requested stock and the stock that was read. */
  stockChange?: number
  outcome: Outcome
}

/** A product as the clients created it, and the outcomes of the requests to delete it. */
export interface Product {
  productId: string
  stock: number
  price: number
  deletions: Outcome[]
}

/** The history of the clients: all their requests, and all answers that reached them. */
export interface History {
  customers: Account[]
  products: Product[]
  purchases: Purchase[]
  statusChanges: StatusChange[]
  stockChanges: StockChange[]
  creations: ProductCreation[]
  productUpdates: ProductUpdate[]
  /** The number of requests of clients that arrived twice. Each may have taken effect twice if it has no key. */
  requestsDuplicated: number
}

/** Creates customers and products, before the first fault. */
export async function startHistory(
  shop: RunningShop,
  count: { customers: number; products: number; stock: number },
): Promise<History> {
  const customers: Account[] = []
  for (let nth = 0; nth < count.customers; nth++) customers.push(await shop.customer())
  const products: Product[] = []
  for (let nth = 0; nth < count.products; nth++) {
    const { productId, stock, price } = await shop.product(shop.adminToken, { stock: count.stock })
    products.push({ productId, stock, price, deletions: [] })
  }
  return {
    customers,
    products,
    purchases: [],
    statusChanges: [],
    stockChanges: [],
    creations: [],
    productUpdates: [],
    requestsDuplicated: 0,
  }
}

/** The outcomes of all requests in the history. */
export const outcomesOf = (history: History): Outcome[] => [
  ...history.purchases.flatMap(({ requests }) => requests.map(({ outcome }) => outcome)),
  ...history.statusChanges.map(({ outcome }) => outcome),
  ...history.stockChanges.flatMap(({ outcomes }) => outcomes),
  ...history.creations.flatMap(({ outcomes }) => outcomes),
  ...history.productUpdates.map(({ outcome }) => outcome),
  ...history.products.flatMap(({ deletions }) => deletions),
]

export const isKeyReused = (outcome: Outcome): boolean => codeOf(outcome) === 'idempotency_key_reused'

/** The final answers to a purchase, without `idempotency_key_reused`, which decides nothing about the purchase. */
export const finalAnswersTo = ({ requests }: Purchase): { lines: Line[]; answer: Answer }[] =>
  requests.flatMap(({ lines, outcome }) =>
    isFinal(outcome) && !isKeyReused(outcome) ? [{ lines, answer: outcome }] : [],
  )

/** The order in an answer 201 to the purchase. */
export const acknowledgedOrder = (purchase: Purchase): Json | undefined =>
  finalAnswersTo(purchase).find(({ answer }) => answer.status === 201)?.answer.body

/** The id of the purchase's order, if an answer named it. A 503 with `orderId` counts too. */
export const orderIdOf = ({ requests }: Purchase): string | undefined =>
  requests
    .map(({ outcome }) => ('body' in outcome ? outcome.body?.orderId : undefined))
    .findLast((orderId) => orderId !== undefined)

export const isCancellation = ({ to, outcome }: StatusChange): boolean =>
  to === 'cancelled' && (outcome.status === 200 || outcome.status === 202)

/** Another body, which a client sends with the same key by mistake. */
export const otherLines = ({ lines }: Purchase): Line[] =>
  lines.map((line, at) => (at === 0 ? { ...line, quantity: line.quantity + 1 } : line))

export const sendPurchase = (
  shop: RunningShop,
  { customer, key }: Purchase,
  lines: Line[],
): Promise<Answer> => shop.order(customer.token, lines, key === undefined ? {} : { 'Idempotency-Key': key })

export const sendStockChange = (shop: RunningShop, { product, key, change }: StockChange): Promise<Answer> =>
  shop.post(`/products/${product.productId}/stock`, {
    token: shop.adminToken,
    headers: { 'Idempotency-Key': key },
    body: { change },
  })

export const sendCreation = (shop: RunningShop, { key, name }: ProductCreation): Promise<Answer> =>
  shop.post('/products', {
    token: shop.adminToken,
    headers: { 'Idempotency-Key': key },
    body: { name, price: 12.9, stock: 1 },
  })

/** The name of a purchase in a contradiction. */
export const nameOf = ({ customer, key }: Purchase): string =>
  `${customer.username}'s ${key ?? 'order without a key'}`
