import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest'
import { percentile, purchaseOf, startLoad } from './buyers.ts'
import { expectFigures, isFull } from './figures.ts'
import { countLeftOrders, measureOutage, untilSettled } from './outage.ts'
import { type Services, startServices } from './services.ts'

const buyers = 32
// Each buyer may send some orders before the death of the service is noticed, which takes about 100 ms.
const maxLeftOrders = 10 * buyers
let services: Services
let productIds: string[]
beforeAll(async () => {
  services = await startServices('split')
  productIds = await services.createProducts()
})
afterAll(() => services.stop())

function startBuyers() {
  const load = startLoad(services.of('order').url, {
    clients: buyers,
    token: services.adminToken,
    next: purchaseOf(productIds),
  })
  // They would change the figures of the next test.
  onTestFinished(load.stop)
  return load
}

/** Buyers whose orders are confirmed. */
async function startBuying() {
  const load = startBuyers()
  await vi.waitUntil(() => load.answers.filter(({ status }) => status === 201).length > 2 * buyers, {
    timeout: 60_000,
  })
  return load
}

it('buyers get quick answers while the product service is frozen, and their orders are confirmed soon after it continues', async () => {
  const load = await startBuying()
  const product = services.of('product')
  const outage = await measureOutage(load, {
    takeAway: product.freeze,
    lastsMs: isFull ? 60_000 : 5_000,
    laterAfterMs: isFull ? 5_000 : 3_000,
    bringBack: product.thaw,
  })
  await load.stop()
  expect(outage.later).toBeGreaterThan(buyers)
  expectFigures(`product frozen for ${isFull ? 60 : 5} s, ${buyers} buyers`, [
    { name: 'slowest answer', value: outage.slowestMs, unit: 'ms', atMost: isFull ? 3_000 : 8_000 },
    { name: 'answers later, p99', value: outage.p99LaterMs, unit: 'ms', atMost: isFull ? 100 : 2_500 },
    { name: 'normal again after', value: outage.normalAfterMs, unit: 'ms', atMost: isFull ? 1_000 : 10_000 },
  ])
})

it('orders that the product service cannot reserve are not stored while it is dead', async () => {
  const load = await startBuying()
  const product = services.of('product')
  const undoneBefore = (await countLeftOrders(services)).undone
  let left = 0
  const outage = await measureOutage(load, {
    takeAway: product.kill,
    lastsMs: isFull ? 20_000 : 2_000,
    laterAfterMs: 1_000,
    whileAway: async () => {
      left = (await countLeftOrders(services)).unfinished
    },
    bringBack: () => product.start(),
  })
  await load.stop()
  const settledMs = isFull ? await untilSettled(services) : 0
  const { undone } = await countLeftOrders(services)
  const { report } = await services.audit()
  expect(report.findings).toEqual([])
  expectFigures(`product killed for ${isFull ? 20 : 2} s, ${buyers} buyers, ${outage.later} orders refused`, [
    { name: 'answers later, p99', value: outage.p99LaterMs, unit: 'ms', atMost: isFull ? 100 : 2_500 },
    { name: 'unfinished orders at the end', value: left, unit: '', atMost: maxLeftOrders },
    { name: 'orders undone afterwards', value: undone - undoneBefore, unit: '', atMost: maxLeftOrders },
    { name: 'all orders settled after', value: settledMs / 1_000, unit: 's', atMost: 20 },
    { name: 'normal again after', value: outage.normalAfterMs, unit: 'ms', atMost: isFull ? 1_000 : 10_000 },
  ])
})

it('a service that starts beside a frozen auth service answers quickly that it has no keys', async () => {
  const [order, auth] = [services.of('order'), services.of('auth')]
  auth.freeze()
  await order.kill()
  await order.start()
  const load = startBuyers()
  const outage = await measureOutage(load, {
    takeAway: () => undefined,
    lastsMs: isFull ? 20_000 : 5_000,
    laterAfterMs: 3_000,
    bringBack: auth.thaw,
  })
  await load.stop()
  expectFigures(`auth frozen for ${isFull ? 20 : 5} s, order started beside it`, [
    {
      name: 'answers from the third second on, p99',
      value: outage.p99LaterMs,
      unit: 'ms',
      atMost: isFull ? 100 : 2_500,
    },
    { name: 'normal again after', value: outage.normalAfterMs, unit: 'ms', atMost: isFull ? 1_000 : 10_000 },
  ])
})

// The short form is in src/kernel/ports/http-client.test.ts.
if (isFull)
  it.each([
    ['a host name that does not exist', 'http://product.invalid'],
    ['an address at which no program listens', 'http://127.0.0.1:9'],
  ])('orders are refused quickly when PRODUCT_URL has %s', async (what, url) => {
    const order = services.of('order')
    await order.kill()
    await order.start({ PRODUCT_URL: url })
    const load = startBuyers()
    await sleep(2_000)
    const began = performance.now()
    await sleep(5_000)
    await load.stop()
    const refused = load.answers.filter(({ sentAt, status }) => sentAt > began && status === 503)
    const times = refused.map(({ ms }) => ms)
    expectFigures(`PRODUCT_URL has ${what}, ${refused.length} orders`, [
      { name: 'answers 503, p50', value: percentile(times, 0.5), unit: 'ms', atMost: 50 },
      { name: 'answers 503, p99', value: percentile(times, 0.99), unit: 'ms', atMost: 100 },
      {
        name: 'unfinished orders',
        value: (await countLeftOrders(services)).unfinished,
        unit: '',
        atMost: maxLeftOrders,
      },
    ])
  })
