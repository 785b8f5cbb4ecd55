import { setTimeout as sleep } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { Buyer, BuyerState, Sale } from './sale.ts'
import { admin, type DemoShop } from './shop.ts'

const maxConcurrent = 8
const retryAfterMs = 500
// Every fifth buyer sends the order again after it was placed, like a client that lost the answer.
const repeatsEach = 5

export interface Client {
  sale: Sale
  shop: Pick<DemoShop, 'url'>
  /** Milliseconds since the start of the demo. */
  nowMs(): number
}

/** The fields that the demo reads from an answer. */
interface Body {
  accessToken: string
  productId: string
  stock: number
  orderId: string
  data: { orderId: string }[]
  code: string
  retryable: boolean
}

interface Reply {
  status: number
  body: Partial<Body> | undefined
}

/** Sends a request. @returns undefined if the connection fails */
async function send(
  { sale, shop, nowMs }: Client,
  method: string,
  path: string,
  options: { body?: object; token?: string; key?: string } = {},
): Promise<Reply | undefined> {
  const { body, token, key } = options
  const startedAt = nowMs()
  const headers = {
    'Content-Type': 'application/json',
    ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    ...(key !== undefined && { 'Idempotency-Key': key }),
  }
  const init = { method, headers, ...(body && { body: JSON.stringify(body) }) }
  const response = await fetch(`${shop.url}${path}`, init).catch(() => undefined)
  const answer = response && {
    status: response.status,
    body: (await response.json().catch(() => undefined)) as Reply['body'],
  }
  if (key !== undefined) sale.answers.push({ atMs: nowMs(), durationMs: nowMs() - startedAt })
  return answer
}

async function sendOk(
  client: Client,
  method: string,
  path: string,
  options: Parameters<typeof send>[3],
): Promise<Body> {
  const reply = await send(client, method, path, options)
  if (!reply || reply.status >= 300)
    throw new Error(`${method} ${path} answered ${reply?.status} ${JSON.stringify(reply?.body)}`)
  return reply.body as Body
}

/** Creates the product, and an account for each buyer. @returns the product's id */
export async function prepare(client: Client, units: number): Promise<string> {
  const { email, password } = admin
  const { accessToken: token } = await sendOk(client, 'POST', '/login', { body: { email, password } })
  const cup = { name: 'Cup', description: 'The last of its kind', price: 12, stock: units }
  const { productId } = await sendOk(client, 'POST', '/products', { body: cup, token })
  client.sale.stock = units

  const limit = pLimit(maxConcurrent)
  const register = async (buyer: Buyer, number: number) => {
    const email = `buyer-${number}@example.com`
    const password = 'cups for everyone'
    await sendOk(client, 'POST', '/register', { body: { username: `buyer-${number}`, email, password } })
    buyer.token = (await sendOk(client, 'POST', '/login', { body: { email, password } })).accessToken
  }
  await Promise.all(client.sale.buyers.map((buyer, number) => limit(register, buyer, number)))
  return productId
}

/** Orders one piece, with one idempotency key, until the shop says that the buyer has it or that it is sold out. */
export async function buy(client: Client, buyer: Buyer, number: number, productId: string): Promise<void> {
  const { sale } = client
  /** @returns whether the buyer has the piece */
  const order = async (whileWaiting: BuyerState): Promise<boolean> => {
    for (;;) {
      const reply = await send(client, 'POST', '/orders', {
        body: { productList: [{ productId, quantity: 1 }] },
        token: buyer.token,
        key: `sale-${number}`,
      })
      if (reply?.status === 201 && reply.body?.orderId !== undefined) {
        buyer.orderIds.add(reply.body.orderId)
        return true
      }
      if (reply?.body?.code === 'insufficient_stock') return false
      if (reply?.body && !reply.body.retryable)
        throw new Error(`an order was answered ${JSON.stringify(reply.body)}`)
      buyer.state = whileWaiting
      sale.retries += 1
      await sleep(retryAfterMs * (1 + Math.random()))
    }
  }
  buyer.state = 'ordering'
  buyer.state = (await order('retrying')) ? 'bought' : 'refused'
  if (buyer.state !== 'bought' || number % repeatsEach !== 0) return
  sale.repeats += 1
  await order('bought')
}

/** Reads the stock, or nothing while the shop cannot answer. */
export async function readStock(client: Client, productId: string): Promise<void> {
  const reply = await send(client, 'GET', `/products/${productId}`)
  client.sale.stock = reply?.status === 200 ? reply.body?.stock : undefined
}

/** Reads the ids of the confirmed orders of each buyer, as the shop has them. */
export function readConfirmed(client: Client): Promise<Set<string>[]> {
  const limit = pLimit(maxConcurrent)
  const read = async ({ token }: Buyer) => {
    const { data } = await sendOk(client, 'GET', '/orders?status=confirmed', { token })
    return new Set(data.map(({ orderId }) => orderId))
  }
  return Promise.all(client.sale.buyers.map((buyer) => limit(read, buyer)))
}
