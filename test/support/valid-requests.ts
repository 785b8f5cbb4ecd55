import { randomUUID } from 'node:crypto'
import { type AddedOperation, addedRoutes } from './added-routes.ts'
import type { Client } from './client.ts'
import type { MakeRequest, People, ValidRequest } from './route-tests.ts'
import { admin } from './shop.ts'

export type { People, ValidRequest }

export async function createPeople(shop: Client): Promise<People> {
  const { accessToken: token, refreshToken } = await shop.signIn(admin.email, admin.password)
  const { userId } = (await shop.get('/profile', { token })).body
  const boss = { ...admin, userId, token, refreshToken }
  return { ada: await shop.customer(), grace: await shop.customer(), boss }
}

const newProduct = (shop: Client, { boss }: People) => shop.product(boss.token)

/** No two drafts are equal, so that none repeats an earlier one under the same idempotency key. */
const newDraft = () => ({ name: `Cup ${randomUUID()}`, description: 'Stoneware', price: 12.9, stock: 10 })

async function newBasket(shop: Client, people: People) {
  const { productId } = await newProduct(shop, people)
  return { productList: [{ productId, quantity: 1 }] }
}

async function newOrderOfAda(shop: Client, people: People): Promise<string> {
  const { productId } = await newProduct(shop, people)
  const { status, body } = await shop.order(people.ada.token, [{ productId, quantity: 1 }])
  if (status !== 201) throw new Error(`no order: ${JSON.stringify(body)}`)
  return body.orderId
}

const ownRequests = {
  'POST /register': () => {
    const username = `u-${randomUUID().slice(0, 8)}`
    const body = { username, email: `${username}@example.com`, password: 'correct horse battery' }
    return { path: '/register', body }
  },
  'POST /login': (_shop, { ada }) => ({
    path: '/login',
    body: { email: ada.email, password: ada.password },
  }),
  'POST /token/refresh': async (shop, { ada }) => {
    const { refreshToken } = await shop.signIn(ada.email, ada.password)
    return { path: '/token/refresh', body: { refreshToken } }
  },
  'POST /logout': async (shop, { ada }) => {
    const { refreshToken } = await shop.signIn(ada.email, ada.password)
    return { path: '/logout', body: { refreshToken } }
  },
  'GET /profile': () => ({ path: '/profile' }),
  'PUT /profile/password': (_shop, _people, { password }) => ({
    path: '/profile/password',
    body: { currentPassword: password, newPassword: password },
  }),
  'GET /.well-known/jwks.json': () => ({ path: '/.well-known/jwks.json' }),

  'POST /products': () => ({ path: '/products', body: newDraft() }),
  'POST /products/create_product': () => ({ path: '/products/create_product', body: newDraft() }),
  'GET /products': () => ({ path: '/products' }),
  'GET /products/{id}': async (shop, people) => {
    const { productId } = await newProduct(shop, people)
    return { path: `/products/${productId}` }
  },
  'PUT /products/{id}': async (shop, people) => {
    const product = await newProduct(shop, people)
    return { path: `/products/${product.productId}`, body: { ...product, price: 14.9 } }
  },
  'PATCH /products/{id}': async (shop, people) => {
    const { productId, version } = await newProduct(shop, people)
    return { path: `/products/${productId}`, body: { price: 14.9, version } }
  },
  'DELETE /products/{id}': async (shop, people) => {
    const { productId } = await newProduct(shop, people)
    return { path: `/products/${productId}` }
  },
  'POST /products/{id}/stock': async (shop, { boss }) => {
    const { productId } = await shop.product(boss.token, { stock: 0 })
    return { path: `/products/${productId}/stock`, body: { change: 5, reason: 'delivery' } }
  },
  'GET /products/{id}/stock': async (shop, people) => {
    const { productId } = await newProduct(shop, people)
    const path = `/products/${productId}/stock`
    const { status } = await shop.post(path, { token: people.boss.token, body: { change: 5 } })
    if (status !== 200) throw new Error(`no change of the stock: ${status}`)
    return { path }
  },

  'POST /orders': async (shop, people) => ({ path: '/orders', body: await newBasket(shop, people) }),
  'POST /orders/create_order': async (shop, people) => ({
    path: '/orders/create_order',
    body: await newBasket(shop, people),
  }),
  'GET /orders': () => ({ path: '/orders' }),
  'GET /orders/{id}': async (shop, people) => ({ path: `/orders/${await newOrderOfAda(shop, people)}` }),
  'GET /orders/{id}/history': async (shop, people) => ({
    path: `/orders/${await newOrderOfAda(shop, people)}/history`,
  }),
  'PUT /orders/{id}': async (shop, people) => ({
    path: `/orders/${await newOrderOfAda(shop, people)}`,
    body: { status: 'cancelled' },
  }),
  'PATCH /orders/{id}': async (shop, people) => ({
    path: `/orders/${await newOrderOfAda(shop, people)}`,
    body: { status: 'cancelled' },
  }),
  'DELETE /orders/{id}': async (shop, people) => ({ path: `/orders/${await newOrderOfAda(shop, people)}` }),

  'GET /healthz': () => ({ path: '/healthz' }),
  'GET /readyz': () => ({ path: '/readyz' }),
  'GET /openapi.json': () => ({ path: '/openapi.json' }),
  'GET /docs': () => ({ path: '/docs' }),
  'GET /': () => ({ path: '/' }),
  'GET /problems': () => ({ path: '/problems' }),
  'GET /problems/{code}': () => ({ path: '/problems/forbidden' }),
} satisfies Record<string, MakeRequest>

export type OperationName = keyof typeof ownRequests | AddedOperation

/**
 * A valid request for every operation of the API. Its resources are created first, so that a refusal is only due to the caller.
 * Orders belong to Ada.
 */
export const validRequests: Record<OperationName, MakeRequest> = { ...ownRequests, ...addedRoutes.requests }
export const operationNames = Object.keys(validRequests) as OperationName[]
