import { randomUUID } from 'node:crypto'
import type { RunningShop } from './fleet.ts'
import {
  acknowledgedOrder,
  type History,
  orderIdOf,
  otherLines,
  type Product,
  type ProductCreation,
  type ProductUpdate,
  type Purchase,
  type StatusChange,
  type StockChange,
  sendCreation,
  sendPurchase,
  sendStockChange,
} from './history.ts'
import type { Request } from './operations.ts'
import { type Outcome, sendOnce } from './outcomes.ts'

interface Sender {
  shop: RunningShop
  history: History
  /** The number of the operation in its run, for the keys of purchases. */
  operationNumber: number
}

/**
 * Sends one request, or several equal ones, and adds them to the history.
 * @returns an empty list if the history has no purchase or order yet that the request could name
 */
export async function sendRandomRequest(sender: Sender, request: Request): Promise<Outcome[]> {
  const { shop, history, operationNumber } = sender
  const { customers, products, purchases } = history
  const { adminToken } = shop
  switch (request.kind) {
    case 'buy': {
      const lines = request.lines.map(({ product, quantity }) => {
        const { productId } = elementAt(products, product)
        return { productId, quantity }
      })
      // The key names the operation that first sent it.
      const key = request.keyed ? `${operationNumber}-${randomUUID()}` : undefined
      const customer = elementAt(customers, request.customer)
      const purchase: Purchase = { customer, key, lines, requests: [] }
      purchases.push(purchase)
      return [await buy(shop, purchase, lines)]
    }
    case 'retry':
    case 'retry with another body': {
      const keyed = purchases.filter(({ key }) => key !== undefined)
      const purchase = recentElement(keyed, request.back)
      if (!purchase) return []
      if (request.kind !== 'retry') return [await buy(shop, purchase, otherLines(purchase))]
      const retries = Array.from({ length: request.times }, () => buy(shop, purchase, purchase.lines))
      return Promise.all(retries)
    }
    case 'cancel': {
      const purchase = recentElement(purchases.filter(orderIdOf), request.back)
      if (!purchase) return []
      const token = request.as === 'owner' ? purchase.customer.token : adminToken
      return [await changeStatus(sender, orderIdOf(purchase) ?? '', 'cancelled', token, request.by)]
    }
    case 'cancel the newest': {
      const purchase = recentElement(purchases, request.back)
      if (!purchase) return []
      const { token } = purchase.customer
      const listed = await sendOnce(() => shop.get('/orders?limit=1', { token }))
      if (listed.status !== 200 || !('body' in listed)) return [listed]
      const [order] = listed.body.data
      return order ? [await changeStatus(sender, order.orderId, 'cancelled', token, 'DELETE')] : []
    }
    case 'ship':
    case 'deliver': {
      const purchase = recentElement(purchases.filter(acknowledgedOrder), request.back)
      if (!purchase) return []
      const to = request.kind === 'ship' ? 'shipped' : 'delivered'
      return [await changeStatus(sender, orderIdOf(purchase) ?? '', to, adminToken, 'PUT')]
    }
    case 'change stock': {
      const product = elementAt(products, request.product)
      const stockChange: StockChange = { product, key: randomUUID(), change: request.change, outcomes: [] }
      history.stockChanges.push(stockChange)
      const outcome = await sendOnce(() => sendStockChange(shop, stockChange))
      stockChange.outcomes.push(outcome)
      return [outcome]
    }
    case 'create product': {
      const creation: ProductCreation = { key: randomUUID(), name: `Pot ${randomUUID()}`, outcomes: [] }
      history.creations.push(creation)
      const sent = Array.from({ length: request.times }, () => sendOnce(() => sendCreation(shop, creation)))
      creation.outcomes.push(...(await Promise.all(sent)))
      return creation.outcomes
    }
    case 'set price': {
      const { price } = request
      return [await updateProduct(sender, elementAt(products, request.product), () => ({ price }))]
    }
    case 'set stock': {
      const { stock } = request
      const change = (current: number) => ({ stock, stockChange: stock - current })
      return [await updateProduct(sender, elementAt(products, request.product), change)]
    }
    case 'delete product': {
      const { productId, deletions } = elementAt(products, request.product)
      // The product may be deleted before the answer arrives.
      const at = deletions.push({ status: 0, lost: 'in flight' }) - 1
      const outcome = await sendOnce(() => shop.delete(`/products/${productId}`, { token: adminToken }))
      deletions[at] = outcome
      return [outcome]
    }
  }
}

async function buy(shop: RunningShop, purchase: Purchase, lines: Purchase['lines']): Promise<Outcome> {
  const outcome = await sendOnce(() => sendPurchase(shop, purchase, lines))
  purchase.requests.push({ lines, outcome })
  return outcome
}

async function changeStatus(
  { shop, history }: Sender,
  orderId: string,
  to: StatusChange['to'],
  token: string,
  method: 'PUT' | 'DELETE',
): Promise<Outcome> {
  const outcome = await sendOnce(() =>
    method === 'DELETE'
      ? shop.delete(`/orders/${orderId}`, { token })
      : shop.put(`/orders/${orderId}`, { token, body: { status: to } }),
  )
  history.statusChanges.push({ orderId, to, outcome })
  return outcome
}

/** Reads a product, and updates it with the version that was read. */
async function updateProduct(
  { shop, history }: Sender,
  product: Product,
  change: (stock: number) => { price: number } | { stock: number; stockChange: number },
): Promise<Outcome> {
  const read = await sendOnce(() => shop.get(`/products/${product.productId}`))
  if (read.status !== 200 || !('body' in read)) return read
  const { version, stock } = read.body
  const { stockChange, ...fields } = { stockChange: undefined, ...change(stock) }
  const body = { ...fields, version }
  const token = shop.adminToken
  const outcome = await sendOnce(() => shop.put(`/products/${product.productId}`, { token, body }))
  const update: ProductUpdate = { product, version, outcome }
  if ('price' in fields) update.price = fields.price
  if (stockChange !== undefined) update.stockChange = stockChange
  history.productUpdates.push(update)
  return outcome
}

function elementAt<Element>(elements: readonly Element[], at: number): Element {
  const element = elements[at]
  if (element === undefined) throw new Error(`there is no element ${at} among ${elements.length}`)
  return element
}

/** Counts back from the last element, and starts again at the last one if there are too few. */
const recentElement = <Element>(elements: readonly Element[], back: number): Element | undefined =>
  elements.at(-1 - (elements.length === 0 ? 0 : back % elements.length))

const answersToAny = ['0 lost', '503 dependency_unavailable', '503 overloaded']
const answersToPurchase = [
  '201 confirmed',
  '409 insufficient_stock',
  '409 request_in_progress',
  '409 invalid_transition',
  '422 unknown_product',
  '422 idempotency_key_reused',
]
const answersToCancellation = [
  '200 cancelled',
  '202 cancelling',
  '409 invalid_transition',
  '404 order_not_found',
]
const answersToUpdate = ['200', '409 version_conflict', '404 product_not_found']
const answersByKind: Record<Request['kind'], string[]> = {
  buy: answersToPurchase,
  retry: answersToPurchase,
  'retry with another body': answersToPurchase,
  cancel: answersToCancellation,
  'cancel the newest': answersToCancellation,
  ship: ['200 shipped', '409 invalid_transition'],
  deliver: ['200 delivered', '409 invalid_transition'],
  'change stock': ['200', '409 insufficient_stock', '404 product_not_found'],
  'create product': ['201'],
  'set price': answersToUpdate,
  'set stock': answersToUpdate,
  'delete product': ['204', '404 product_not_found'],
}

/** The allowed answers to each kind of request, each as its status and its code. */
export const possibleAnswers = ({ kind }: Request): string[] => [...answersToAny, ...answersByKind[kind]]
