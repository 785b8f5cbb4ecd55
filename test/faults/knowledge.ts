import { isDeepStrictEqual } from 'node:util'
import { mergeLines } from '#src/modules/order/order.ts'
import type { Account, Answer, Json } from '#test/support/client.ts'
import { contentOf, findDifferentAnswers, isFinal, type Outcome, persist } from './attempts.ts'
import type { Fleet } from './fleet.ts'

// The time for one answer after all faults have healed.
const answerTimeoutMs = 30_000

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

export interface Restock {
  product: Shelf
  key: string
  change: number
  outcomes: Outcome[]
}

/** An update of a product by the version that it was read with. */
export interface Edit {
  product: Shelf
  version: number
  price?: number
  /** The difference between the requested stock and the stock that was read. */
  moved?: number
  outcome: Outcome
}

/** A product as the clients created it, and the outcomes of the requests to delete it. */
export interface Shelf {
  productId: string
  stock: number
  price: number
  deletions: Outcome[]
}

/** The history of the clients: all their requests, and all answers that reached them. */
export interface Knowledge {
  customers: Account[]
  products: Shelf[]
  purchases: Purchase[]
  statusChanges: StatusChange[]
  restocks: Restock[]
  edits: Edit[]
  /** The number of client requests that arrived twice. Each may have taken effect twice if it has no key. */
  doubled: number
}

export const codeOf = (outcome: Outcome): string =>
  'body' in outcome ? (outcome.body?.code ?? outcome.body?.status ?? '') : 'lost'

const isReuse = (outcome: Outcome): boolean => codeOf(outcome) === 'idempotency_key_reused'

/** Whether the request may or may not have taken effect. */
const isOpen = ({ status }: Outcome): boolean => status === 0 || status >= 500

/** The final answers to a purchase, without `idempotency_key_reused`, which decides nothing about the purchase. */
const decisionsOn = ({ requests }: Purchase) =>
  requests.flatMap(({ lines, outcome }) =>
    isFinal(outcome) && !isReuse(outcome) ? [{ lines, answer: outcome }] : [],
  )

export const acknowledgedOrder = (purchase: Purchase): Json | undefined =>
  decisionsOn(purchase).find(({ answer }) => answer.status === 201)?.answer.body

/** The id of the purchase's order, if an answer named it. A 503 with `orderId` counts too. */
export const orderIdOf = ({ requests }: Purchase): string | undefined =>
  requests
    .map(({ outcome }) => ('body' in outcome ? outcome.body?.orderId : undefined))
    .findLast((orderId) => orderId !== undefined)

export const place = (fleet: Fleet, { customer, key }: Purchase, lines: Line[]): Promise<Answer> =>
  fleet.order(customer.token, lines, key === undefined ? {} : { 'Idempotency-Key': key })

/** Another body, which a client sends with the same key by mistake. */
export const otherLines = ({ lines }: Purchase): Line[] =>
  lines.map((line, at) => (at === 0 ? { ...line, quantity: line.quantity + 1 } : line))

export const putIn = (fleet: Fleet, { product, key, change }: Restock): Promise<Answer> =>
  fleet.post(`/products/${product.productId}/stock`, {
    token: fleet.adminToken,
    headers: { 'Idempotency-Key': key },
    body: { change },
  })

/**
 * Repeats all requests after the faults have healed, and compares the history of the clients with the stored state.
 * @returns the contradictions; a test expects none
 */
export async function disagreements(known: Knowledge, fleet: Fleet): Promise<string[]> {
  const repeated = [
    ...(await repeatedPurchases(known, fleet)),
    ...(await repeatedCancellations(known, fleet)),
    ...(await repeatedRestocks(known, fleet)),
  ]
  const customers = new Set(known.customers.map(({ userId }) => userId))
  const db = await fleet.collections('order')
  const orders = (await db.collection('orders').find().toArray()).filter(({ userId }) =>
    customers.has(String(userId)),
  )
  return [
    ...repeated,
    ...known.purchases.flatMap((purchase) => decidedTwice(purchase)),
    ...known.purchases.flatMap((purchase) => oddDecisions(purchase, known)),
    ...(await forgotten(known, fleet)),
    ...strayOrders(known, orders),
    ...wrongStatuses(known, orders),
    ...(await miscounted(known, orders, fleet)),
    ...(await mispriced(known, fleet)),
  ]
}

const nameOf = ({ customer, key }: Purchase) => `${customer.username}'s ${key ?? 'order without a key'}`

/** Checks that a repeated purchase gets its first answer again, marked as replayed, or a first answer if it had none. */
async function repeatedPurchases({ purchases }: Knowledge, fleet: Fleet): Promise<string[]> {
  const faults: string[] = []
  for (const purchase of purchases) {
    if (purchase.key === undefined) continue
    const first = decisionsOn(purchase)[0]
    const bodies = [purchase.lines, otherLines(purchase)].filter((lines) =>
      purchase.requests.some((request) => isDeepStrictEqual(request.lines, lines)),
    )
    for (const lines of bodies) {
      const answer = await persist(() => place(fleet, purchase, lines), answerTimeoutMs)
      purchase.requests.push({ lines, outcome: answer })
      const isSame = first === undefined || isDeepStrictEqual(first.lines, lines)
      const replayed = answer.headers.get('idempotent-replayed') === 'true'
      if (first !== undefined && isSame && !replayed) {
        faults.push(`${nameOf(purchase)}: not marked as replayed: ${JSON.stringify(answer.body)}`)
      }
      if (!isSame && !isReuse(answer)) {
        faults.push(`${nameOf(purchase)}: another body was answered ${JSON.stringify(answer.body)}`)
      }
    }
    if (decisionsOn(purchase).length === 0) faults.push(`${nameOf(purchase)}: no body of it is decided on`)
  }
  return faults
}

const isCancelled = ({ to, outcome }: StatusChange) =>
  to === 'cancelled' && (outcome.status === 200 || outcome.status === 202)

async function repeatedCancellations({ statusChanges }: Knowledge, fleet: Fleet): Promise<string[]> {
  const faults: string[] = []
  for (const { orderId } of statusChanges.filter(isCancelled)) {
    const { status, body } = await persist(
      () => fleet.delete(`/orders/${orderId}`, { token: fleet.adminToken }),
      answerTimeoutMs,
    )
    if (status !== 200 || body.status !== 'cancelled') {
      faults.push(`order ${orderId}: cancelled once, and then ${JSON.stringify(body)}`)
    }
  }
  return faults
}

/** Checks that a repeated stock change gets its first answer again. Each stock change has an answer afterwards. */
async function repeatedRestocks({ restocks }: Knowledge, fleet: Fleet): Promise<string[]> {
  const faults: string[] = []
  for (const restock of restocks) {
    const first = restock.outcomes.filter(isFinal).find(({ status }) => status !== 404)
    const again = await persist(() => putIn(fleet, restock), answerTimeoutMs)
    restock.outcomes.push(again)
    if (first && !isDeepStrictEqual(contentOf(again), contentOf(first))) {
      const [was, is] = [first, again].map((answer) => JSON.stringify(contentOf(answer)))
      faults.push(`restock ${restock.key}: was answered ${was}, is replayed ${is}`)
    }
  }
  return faults
}

function decidedTwice(purchase: Purchase): string[] {
  if (purchase.key === undefined) return []
  return findDifferentAnswers(
    nameOf(purchase),
    decisionsOn(purchase).map(({ answer }) => answer),
  )
}

/** Finds answers that the requests of the clients cannot explain. */
function oddDecisions(purchase: Purchase, { products, edits, statusChanges }: Knowledge): string[] {
  const faults: string[] = []
  const complain = (about: string, body: Json) =>
    faults.push(`${nameOf(purchase)}: ${about}: ${JSON.stringify(body)}`)
  for (const { lines, answer } of decisionsOn(purchase)) {
    const { body, status } = answer
    if (status === 201) {
      const bought: Line[] = body.productList.map(({ productId, quantity }: Json) => ({
        productId,
        quantity,
      }))
      if (!isDeepStrictEqual(bought, mergeLines(lines))) complain('is not what was asked for', body)
      if (body.status !== 'confirmed') complain('is not confirmed', body)
      let total = 0
      for (const { productId, price, quantity } of body.productList) {
        const prices = products.filter((product) => product.productId === productId).map(({ price }) => price)
        for (const edit of edits) {
          if (edit.product.productId === productId && edit.price !== undefined) prices.push(edit.price)
        }
        if (!prices.includes(price)) complain(`no client has set the price ${price}`, body)
        total += Math.round(price * 100) * quantity
      }
      if (Math.round(body.totalAmount * 100) !== total) complain(`the lines come to ${total / 100}`, body)
    }
    if (body.code === 'insufficient_stock') {
      const asked = new Map(mergeLines(lines).map(({ productId, quantity }) => [productId, quantity]))
      for (const { productId, requested, available } of body.items) {
        const isShort = asked.get(productId) === requested && available >= 0 && available < requested
        if (!isShort) complain('is not short', body)
      }
    }
    if (body.code === 'unknown_product') {
      const deleted = products.filter(({ deletions }) => deletions.length > 0)
      const isDeleted = (id: string) => deleted.some(({ productId }) => productId === id)
      if (!body.productIds.every(isDeleted)) complain('no client has deleted the product', body)
    }
    // Only a cancellation by a client leads to this answer.
    if (body.code === 'invalid_transition' && !statusChanges.some(({ to }) => to === 'cancelled')) {
      complain('no client has cancelled the order', body)
    }
  }
  const bodies = new Set(purchase.requests.map(({ lines }) => JSON.stringify(lines)))
  const reuse = purchase.requests.find(({ outcome }) => isReuse(outcome))
  if (reuse && bodies.size === 1) complain('no other body was sent', reuse.outcome)
  return faults
}

/** Checks that the owner can read each acknowledged order as it was acknowledged. */
async function forgotten({ purchases }: Knowledge, fleet: Fleet): Promise<string[]> {
  const faults: string[] = []
  for (const purchase of purchases) {
    const acknowledged = acknowledgedOrder(purchase)
    if (!acknowledged) continue
    const { token } = purchase.customer
    const { body } = await persist(
      () => fleet.get(`/orders/${acknowledged.orderId}`, { token }),
      answerTimeoutMs,
    )
    const lasting = ({ status, version, updatedAt, ...content }: Json) => content
    if (!isDeepStrictEqual(lasting(body), lasting(acknowledged))) {
      faults.push(
        `${nameOf(purchase)}: was ${JSON.stringify(acknowledged)}, and now is ${JSON.stringify(body)}`,
      )
    }
  }
  return faults
}

/** Finds confirmed orders without a request, and second confirmed orders for one request. */
function strayOrders({ purchases, doubled }: Knowledge, orders: Json[]): string[] {
  const faults: string[] = []
  const complain = (order: Json, about: string) => faults.push(`order ${order._id}: ${about}`)
  let withoutKey = 0
  for (const order of orders) {
    if (!order.confirmation) continue
    if (order.undo) complain(order, 'was confirmed, and undone')
    const asked = purchases.filter(({ customer, key }) => {
      return customer.userId === String(order.userId) && key === order.key
    })
    if (asked.length === 0) complain(order, `was confirmed under ${order.key}, which no customer has sent`)
    for (const purchase of order.key === undefined ? [] : asked) {
      const acknowledged = acknowledgedOrder(purchase)
      if (acknowledged && acknowledged.orderId !== String(order._id)) {
        complain(order, `was confirmed, and ${acknowledged.orderId} acknowledged under the same key`)
      }
    }
    if (order.key === undefined) withoutKey++
  }
  const requests = purchases.filter(({ key }) => key === undefined).length
  if (withoutKey > requests + doubled) {
    faults.push(`${withoutKey} orders without a key were confirmed for ${requests} requests`)
  }
  return faults
}

/** Checks that each order has its last acknowledged status, or a status that can follow from it. */
function wrongStatuses({ purchases, statusChanges }: Knowledge, orders: Json[]): string[] {
  const faults: string[] = []
  const ids = new Set(statusChanges.map(({ orderId }) => orderId))
  for (const purchase of purchases) {
    const acknowledged = acknowledgedOrder(purchase)
    if (acknowledged) ids.add(acknowledged.orderId)
  }
  for (const id of ids) {
    const changes = statusChanges.filter(({ orderId }) => orderId === id)
    const order = orders.find(({ _id }) => String(_id) === id)
    const isAcknowledged = (status: StatusChange['to']) =>
      status === 'cancelled'
        ? changes.some(isCancelled)
        : changes.some(({ to, outcome }) => to === status && outcome.status === 200)
    const isAsked = (status: StatusChange['to']) => changes.some(({ to }) => to === status)

    let allowed = ['confirmed', 'shipped', 'delivered', 'cancelled', 'rejected', undefined]
    if (purchases.some((purchase) => acknowledgedOrder(purchase)?.orderId === id)) {
      allowed = ['confirmed', ...(['shipped', 'delivered', 'cancelled'] as const).filter(isAsked)]
    }
    if (!isAsked('shipped')) allowed = allowed.filter((status) => status !== 'shipped')
    if (!isAsked('delivered')) allowed = allowed.filter((status) => status !== 'delivered')
    const only = (...statuses: string[]) => {
      allowed = allowed.filter((status) => status !== undefined && statuses.includes(status))
    }
    if (isAcknowledged('cancelled')) only('cancelled')
    if (isAcknowledged('shipped')) only('shipped', 'delivered')
    if (isAcknowledged('delivered')) only('delivered')
    if (!allowed.includes(order?.status)) {
      const history = changes.map(({ to, outcome }) => `${to}: ${outcome.status} ${codeOf(outcome)}`)
      faults.push(`order ${id}: is ${order?.status} after ${JSON.stringify(history)}`)
    }
  }
  return faults
}

const live = ['confirmed', 'shipped', 'delivered']

/** Checks that the stock of each product equals the quantity put in minus the quantity in live orders. */
async function miscounted(
  { products, restocks, edits }: Knowledge,
  orders: Json[],
  fleet: Fleet,
): Promise<string[]> {
  const faults: string[] = []
  const stored = (await fleet.collections('product')).collection('products')
  const all = await stored.find().toArray()
  for (const product of products) {
    let expected = product.stock
    for (const { product: restocked, change, outcomes } of restocks) {
      if (restocked === product && outcomes.at(-1)?.status === 200) expected += change
    }
    for (const { status, lines } of orders) {
      if (!live.includes(status)) continue
      for (const { productId, quantity } of lines) if (productId === product.productId) expected -= quantity
    }
    // An update without an answer may have taken effect or not.
    let possible = new Set([expected])
    for (const { product: edited, moved = 0, outcome } of edits) {
      if (edited !== product || moved === 0) continue
      const made = [...possible].map((count) => count + moved)
      if (outcome.status === 200) possible = new Set(made)
      if (isOpen(outcome)) possible = new Set([...possible, ...made])
    }
    const stock = all.find(({ _id }) => String(_id) === product.productId)?.stock
    if (!possible.has(stock)) {
      faults.push(`${product.productId}: ${stock} are left instead of ${[...possible].join(' or ')}`)
    }
    const seen = await persist(() => fleet.get(`/products/${product.productId}`), answerTimeoutMs)
    if (seen.status === 404 && product.deletions.length === 0) {
      faults.push(`${product.productId}: is gone, and no client has deleted it`)
    }
    if (seen.status !== 404 && product.deletions.some(({ status }) => status === 204)) {
      faults.push(`${product.productId}: was deleted, and is there again`)
    }
    if (seen.status === 200 && seen.body.stock !== stock) {
      faults.push(`${product.productId}: shows ${seen.body.stock} of ${stock}`)
    }
  }
  return faults
}

/** Checks that no update overwrote one that its client had not read, and that the last update is stored. */
async function mispriced({ products, edits }: Knowledge, fleet: Fleet): Promise<string[]> {
  const faults: string[] = []
  for (const product of products) {
    const ofProduct = edits.filter((edit) => edit.product === product)
    const made = ofProduct.filter(({ outcome }) => outcome.status === 200)
    const prices = [product.price, ...ofProduct.map(({ price }) => price)]
    // An update that changes nothing makes no new version, so another update may use the same version.
    const isAlone = ({ price }: Edit) => prices.filter((other) => other === price).length === 1
    const bases = {
      price: made.filter((edit) => edit.price !== undefined && isAlone(edit)),
      stock: made.filter(({ moved = 0 }) => moved !== 0),
    }
    for (const [field, updates] of Object.entries(bases)) {
      const versions = updates.map(({ version }) => version)
      if (new Set(versions).size < versions.length) {
        faults.push(`${product.productId}: ${field} was set twice from one version: ${versions.join(', ')}`)
      }
    }
    const priced = ofProduct.filter(({ price }) => price !== undefined)
    const versionOf = ({ outcome }: Edit): number => ('body' in outcome ? outcome.body.version : 0)
    const last = priced
      .filter(({ outcome }) => outcome.status === 200)
      .sort((a, b) => versionOf(a) - versionOf(b))
      .at(-1)
    const possible = [
      last?.price ?? product.price,
      ...priced.filter(({ outcome }) => isOpen(outcome)).map(({ price }) => price),
    ]
    const seen = await persist(() => fleet.get(`/products/${product.productId}`), answerTimeoutMs)
    if (seen.status === 200 && !possible.includes(seen.body.price)) {
      faults.push(`${product.productId}: costs ${seen.body.price} instead of ${possible.join(' or ')}`)
    }
  }
  return faults
}
