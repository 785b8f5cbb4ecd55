import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Deployment, deploy } from '#test/support/processes.ts'
import { percentile } from './buyers.ts'
import { expectFigures, isFull } from './figures.ts'
import { memoryOf, watchMemory } from './measurements.ts'
import { type LoadPlan, type LoadResult, offerLoad, type RequestKind } from './offered-load.ts'

// More requests arrive than the process can carry out: at a fixed rate that does not wait for answers, and over thousands of
// connections. The process carries out what it can, refuses the rest quickly, and answers probes.

// On a machine that has more to do, the first answers may take two seconds.
const seconds = isFull ? 60 : 5
const peakSeconds = isFull ? 10 : 1
// The best rate of lists needs many connections, because waiting requests share a query.
const peakConnections = isFull ? [64, 256, 64, 256] : [64]
const normalAfterSeconds = isFull ? 5 : 1
const manyConnections = isFull ? 4_096 : 512
// Node.js accepts one connection in each iteration of the event loop, so that a burst of connections would take as long.
const connectMs = isFull ? 5_000 : 0
/** The limits of the short form only tell a process that works from one that does not. */
const times = isFull ? 1 : 30

let shop: Deployment
const kinds: Record<string, RequestKind[]> = {}
beforeAll(async () => {
  shop = await deploy('one process', { MANAGEMENT_PORT: '0', ACCESS_TOKEN_TTL: '1h' })
  const products = await Promise.all(
    Array.from({ length: 20 }, () => shop.product(shop.adminToken, { stock: 10_000_000 })),
  )
  const ids = products.map(({ productId }) => productId)
  const head = (line: string, ...fields: string[]) =>
    [`${line} HTTP/1.1`, 'Host: shop', ...fields, '', ''].join('\r\n')
  const order = (productId: string) => {
    const body = JSON.stringify({ productList: [{ productId, quantity: 1 }] })
    const fields = [
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
      'Idempotency-Key: {key}',
    ]
    return head('POST /orders', `Authorization: Bearer ${shop.adminToken}`, ...fields) + body
  }
  const sorts = ['newest', 'price', '-price', 'name']
  kinds.reads = [{ weight: 1, requests: ids.map((id) => head(`GET /products/${id}`)) }]
  kinds.lists = [{ weight: 1, requests: sorts.map((sort) => head(`GET /products?sort=${sort}`)) }]
  kinds.orders = [{ weight: 1, requests: ids.map(order) }]
})
afterAll(() => shop?.stop())

const load = (plan: Omit<LoadPlan, 'port'>) => offerLoad({ ...plan, port: Number(new URL(shop.url).port) })

const goodputOf = ({ seconds: each }: LoadResult) =>
  each.reduce((sum, { accepted }) => sum + accepted, 0) / Math.max(1, each.length)

/** Sends a probe over a new connection to the management port every half a second. */
function startProbes(path: string) {
  const answered: number[] = []
  let failures = 0
  const probe = () => {
    const sentAt = performance.now()
    const request = get({ host: '127.0.0.1', port: shop.managementPort, path, agent: false }, (answer) => {
      answer.resume().once('end', () => answered.push(performance.now() - sentAt))
      if (answer.statusCode !== 200) failures += 1
    })
    request.once('error', () => {
      failures += 1
    })
  }
  const timer = setInterval(probe, 500)
  return {
    stop() {
      clearInterval(timer)
      return { p99: percentile(answered, 0.99), failures }
    },
  }
}

/** Offers a load beside probes, and holds what every overload has in common to its limits. */
async function measure(title: string, plan: Omit<LoadPlan, 'port'>, peak: number): Promise<LoadResult> {
  const pids = [shop.child.pid as number]
  const before = await memoryOf(pids)
  const memory = watchMemory(pids)
  const [healthProbes, readinessProbes] = [startProbes('/healthz'), startProbes('/readyz')]
  const result = await load(plan)
  const [healthz, readyz] = [healthProbes.stop(), readinessProbes.stop()]
  // Few clients see whether the process is normal again.
  const after = await load({ kinds: plan.kinds, connections: 8, seconds: normalAfterSeconds + peakSeconds })
  const refusedLater = after.seconds.slice(normalAfterSeconds).reduce((sum, { refused }) => sum + refused, 0)
  const grown = (await memory.stop()) - before
  await sleep(isFull ? 20_000 : 0)
  expectFigures(title, [
    { name: 'goodput', value: goodputOf(result) / peak, unit: '×', atLeast: isFull ? 0.9 : 0.05 },
    { name: 'refusals, p99', value: result.refused.p99, unit: 'ms', atMost: 50 * times },
    { name: '/healthz, p99', value: healthz.p99, unit: 'ms', atMost: 100 * times },
    { name: '/readyz, p99', value: readyz.p99, unit: 'ms', atMost: 100 * times },
    { name: 'probes that failed', value: healthz.failures + readyz.failures, unit: '', atMost: 0 },
    { name: `requests refused ${normalAfterSeconds} s after it`, value: refusedLater, unit: '', atMost: 0 },
    { name: 'growth of memory', value: grown, unit: 'MiB', atMost: isFull ? 100 : 300 },
    ...(isFull
      ? [
          {
            name: 'growth that is left',
            value: (await memoryOf(pids)) - before,
            unit: 'MiB',
            atMost: 50,
          } as const,
        ]
      : []),
  ])
  return result
}

describe.each(isFull ? ['reads', 'lists', 'orders'] : ['orders'])('%s', (kind) => {
  const requests = () => kinds[kind] as RequestKind[]
  let peak = 0
  beforeAll(async () => {
    for (const connections of peakConnections)
      peak = Math.max(peak, goodputOf(await load({ kinds: requests(), connections, seconds: peakSeconds })))
  })

  it('three times the rate that the process can carry out is offered', async () => {
    const perSecond = Math.round(3 * peak)
    const plan = { kinds: requests(), connections: 1_024, connectMs, seconds, perSecond, lingerMs: 1_000 }
    const { errors } = await measure(
      `${kind}: ${perSecond}/s are offered for ${seconds} s, three times the best rate`,
      plan,
      peak,
    )
    expect(errors).toBe(0)
  })

  it('thousands of clients send their next request when the last one is answered', async () => {
    const plan = {
      kinds: requests(),
      connections: manyConnections,
      connectMs,
      seconds,
      waitsAfterRefusalMs: 1_000,
    }
    await measure(`${kind}: ${manyConnections} clients for ${seconds} s`, plan, peak)
  })
})
