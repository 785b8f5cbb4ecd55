import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { scrape } from '#test/support/metrics.ts'
import { type ShopWithProductStub, startShopWithProductStub } from '#test/support/product-stub-shop.ts'
import { loadPasswordCheck } from '#test/support/shop.ts'

let shop: ShopWithProductStub
beforeAll(async () => {
  shop = await startShopWithProductStub({ LOGIN_FAILURES_PER_ACCOUNT: '1/1h' })
  await loadPasswordCheck()
})
afterAll(() => shop.close())

/** Returns by how much each of these series has changed while `work` ran. */
async function changes(names: readonly string[], work: () => Promise<unknown>) {
  const before = await scrape(shop)
  await work()
  const after = await scrape(shop)
  return Object.fromEntries(
    names.map((name) => [name, (after.get(name) ?? Number.NaN) - (before.get(name) ?? Number.NaN)]),
  )
}

const transition = (from: string, to: string) => `trivet_order_transitions_total{from="${from}",to="${to}"}`
const reservation = (outcome: string) => `trivet_reservations_total{outcome="${outcome}"}`
const event = (name: string, action?: string) =>
  `trivet_security_events_total{event="${name}"${action ? `,action="${action}"` : ''}}`

it('each change of the status of an order and each answer to a reservation is counted once', async () => {
  const { token } = await shop.customer()
  const { productId } = await shop.product(shop.adminToken, { stock: 3 })
  const buy = (quantity: number) =>
    shop.order(token, [{ productId, quantity }], { 'Idempotency-Key': `buy-${quantity}` })
  const counted = await changes(
    [
      ...[transition('new', 'confirmed'), transition('new', 'rejected'), transition('new', 'pending')],
      ...[transition('confirmed', 'cancelling'), transition('cancelling', 'cancelled')],
      ...['held', 'insufficient_stock', 'unknown_product', 'released'].map(reservation),
    ],
    async () => {
      const { status, body } = await buy(2)
      expect(status).toBe(201)
      expect((await buy(2)).headers.get('idempotent-replayed')).toBe('true')
      expect((await buy(5)).status).toBe(409)
      const unknown = await shop.order(token, [{ productId: '0'.repeat(24), quantity: 1 }])
      expect(unknown.status).toBe(422)
      const cancel = { token, body: { status: 'cancelled' } }
      expect((await shop.put(`/orders/${body.orderId}`, cancel)).body.status).toBe('cancelled')
    },
  )
  expect(counted).toEqual({
    [transition('new', 'confirmed')]: 1,
    [transition('new', 'rejected')]: 2,
    [transition('new', 'pending')]: 0,
    [transition('confirmed', 'cancelling')]: 1,
    [transition('cancelling', 'cancelled')]: 1,
    [reservation('held')]: 1,
    [reservation('insufficient_stock')]: 1,
    [reservation('unknown_product')]: 1,
    [reservation('released')]: 1,
  })
})

it('sign-ins are counted by their outcome, and hashes wait in a queue with metrics', async () => {
  const { email, password } = await shop.customer()
  const hashes = 'trivet_queue_wait_seconds_count{queue="passwords"}'
  const signIn = (given: string) => shop.post('/login', { body: { email, password: given } })
  const counted = await changes(
    [event('signed_in'), event('sign_in_failed', 'login'), event('throttled', 'login'), hashes],
    async () => {
      expect((await signIn(password)).status).toBe(200)
      const { status } = await signIn('not the password of this account')
      expect(status).toBe(401)
      const stranger = shop.from('203.0.113.99')
      const body = { email, password: 'not the password of this account' }
      expect((await stranger.post('/login', { body })).status).toBe(401)
      expect((await stranger.post('/login', { body })).status).toBe(429)
    },
  )
  expect(counted).toEqual({
    [event('signed_in')]: 1,
    [event('sign_in_failed', 'login')]: 2,
    [event('throttled', 'login')]: 1,
    [hashes]: 3,
  })
})

it('the lag of the sweeper grows while an order cannot be finished, and is zero when it is finished', async () => {
  const { token } = await shop.customer()
  const { productId } = await shop.product(shop.adminToken)
  const lag = async () => (await scrape(shop)).get('trivet_sweeper_lag_seconds')
  const unreachable = () => Promise.reject(dependencyUnavailable('product is not available'))
  shop.stubProduct(() => ({ reserve: unreachable, release: unreachable }))
  const { status, body } = await shop.order(token, [{ productId, quantity: 1 }])
  expect(status).toBe(503)
  await shop.ageLease(body.orderId, 60_000)
  await vi.waitFor(async () => expect(await lag()).toBeGreaterThan(3), { timeout: 20_000, interval: 100 })
  shop.stubProduct()
  // The attempt that failed has renewed the lease.
  await shop.ageLease(body.orderId, 60_000)
  await vi.waitFor(async () => expect(await lag()).toBe(0), { timeout: 20_000, interval: 100 })
  const done = 'trivet_job_done_total{task="sweep unfinished orders"}'
  expect((await scrape(shop)).get(done)).toBeGreaterThanOrEqual(1)
})
