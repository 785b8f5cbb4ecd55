import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLogger } from '#kernel/logger.ts'
import { createMetrics, type Metrics } from '#kernel/metrics.ts'
import { openListeners } from '#src/host/listeners.ts'
import { registry } from '#src/registry.ts'
import { createClient } from '#test/support/client.ts'
import { admin, startComposition } from '#test/support/shop.ts'
import { percentile } from './buyers.ts'
import { expectFigures, isFull } from './figures.ts'
import { offerLoad } from './offered-load.ts'

// Two shops run in this process, one with metrics and one without. Reads by id go to them in turn, and the CPU time of the process
// is compared. Turns are short, so that both sides meet the same noise of the machine.

const turns = isFull ? 200 : 1
const connections = 64

const withoutMetrics: Metrics = {
  counter: () => ({ add() {} }),
  histogram: () => ({ observe() {} }),
  gauge() {},
  total() {},
  scrape: async () => ({ text: '', contentType: 'text/plain' }),
}

interface ReadShop {
  /** Offers reads for a second, and returns the CPU time that each answer took, in microseconds. */
  cpuOfRead(): Promise<number>
  stop(): Promise<void>
}

async function startReadShop(metrics: Metrics): Promise<ReadShop> {
  const environment = { PORT: '0', HOST: '127.0.0.1' }
  const logger = await createLogger({ level: 'silent', human: false, service: 'test' })
  const { composition, config, close } = await startComposition({ environment, metrics, logger })
  await composition.prepare(new AbortController().signal)
  const listeners = await openListeners(composition, {
    config,
    modules: registry,
    logger,
    metrics,
  })
  const { port } = listeners
  const shop = createClient((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init))
  const token = await shop.login(admin.email, admin.password)
  const products = await Promise.all(Array.from({ length: 20 }, () => shop.product(token)))
  const requests = products.map(
    ({ productId }) => `GET /products/${productId} HTTP/1.1\r\nHost: shop\r\n\r\n`,
  )
  return {
    async cpuOfRead() {
      const before = process.cpuUsage()
      const { accepted, refused, errors } = await offerLoad({
        port,
        kinds: [{ weight: 1, requests }],
        connections,
        seconds: 1,
      })
      expect({ refused: refused.count, errors }).toEqual({ refused: 0, errors: 0 })
      expect(accepted.count).toBeGreaterThan(0)
      const { user, system } = process.cpuUsage(before)
      return (user + system) / accepted.count
    },
    async stop() {
      await listeners.close(1_000)
      await close()
    },
  }
}

let shops: { plain: ReadShop; measured: ReadShop }
beforeAll(async () => {
  shops = { plain: await startReadShop(withoutMetrics), measured: await startReadShop(createMetrics()) }
})
afterAll(() => Promise.all(Object.values(shops ?? {}).map((shop) => shop.stop())))

it('the metrics cost at most 2 % of the CPU time of a read by id', async () => {
  const { plain, measured } = shops
  // The code of both is compiled before the first turn that counts.
  if (isFull) for (const shop of [plain, measured, plain, measured]) await shop.cpuOfRead()
  const costs: { plain: number; measured: number }[] = []
  for (let turn = 0; turn < turns; turn++) {
    // Neither side is always the first.
    const first = turn % 2 === 0 ? 'plain' : 'measured'
    const second = first === 'plain' ? 'measured' : 'plain'
    const cost = { plain: 0, measured: 0 }
    for (const side of [first, second] as const) cost[side] = await shops[side].cpuOfRead()
    costs.push(cost)
  }
  const ratios = costs.map((cost) => cost.measured / cost.plain)
  const [quarter, median, threeQuarters] = [0.25, 0.5, 0.75].map((share) => percentile(ratios, share)) as [
    number,
    number,
    number,
  ]
  console.log(`half of the ratios are between ${quarter.toFixed(2)} and ${threeQuarters.toFixed(2)}`)
  expectFigures(`reads by id over ${connections} connections, with and without metrics`, [
    { name: 'CPU time with metrics', value: 100 * (median - 1), unit: '%', atMost: isFull ? 2 : 400 },
  ])
})
