import type { BenchContext } from '../context.ts'
import { writeBuyerTokens } from '../customers.ts'
import { runAudit } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import {
  atLeast,
  atMost,
  below,
  type Chart,
  type Ratio,
  type Scenario,
  type ScenarioResult,
} from '../scenario.ts'
import { catalogueSize, type RunningShop, type Shop, startPeerShop, startShop } from '../shop.ts'
import { readSoldQuantities } from '../sold-quantities.ts'
import { type Measured, type Metric, type Summary, summarizeMetric, summarizeRatio } from '../statistics.ts'
import { formatCount, formatTimes, loadColumns, loadRow, type Table } from '../tables.ts'

type Variant = 'Trivet' | 'transaction per order' | 'version and retry'
type Samples = Record<Variant, Measured[]>

export const orders: Scenario = {
  name: 'orders',
  title: 'Orders',
  about: `Buyers order one piece at a time. Each buyer sends the next order when the last one is answered. In the first
table all orders are for the same product. In the others each order is for a random one of 10,000 products. The rates
count only confirmed orders. Every order is durable when it is answered.

Trivet does more: it checks the token, the body and the \`Idempotency-Key\`, and keeps orders and stock consistent in two
databases even after a crash. The peers get the same requests and do none of this.`,
  async run(context) {
    const shops = {
      Trivet: await startShop(context, 'orders'),
      'transaction per order': await startPeerShop(context, 'transaction-per-order'),
      'version and retry': await startPeerShop(context, 'version-retry'),
    }
    const tokens = await writeBuyerTokens(context, shops.Trivet.program.url)
    const measure = (title: string, products: number, buyers: number) =>
      measureOrders(context, title, shops, { products, tokens }, buyers)
    const all: AllSamples = {
      oneProduct: await measure('orders of one product', 1, 64),
      randomProducts: await measure('orders of random products', catalogueSize, 64),
      oneBuyer: await measure('orders of one buyer', catalogueSize, 1),
    }
    return {
      ...compare(all),
      notes: [...(await checkSoldQuantities(shops)), await checkAudit(context, shops.Trivet)],
    }
  },
}

function measureOrders(
  context: BenchContext,
  title: string,
  shops: Record<Variant, RunningShop>,
  workload: { products: number; tokens: string },
  connections: number,
): Promise<Samples> {
  const ordering = (variant: Variant, expectedStatuses: readonly number[] = []) =>
    load(shops[variant].program, { workload: 'order', ...workload }, { connections, expectedStatuses })
  return measureInTurn(context, title, {
    Trivet: ordering('Trivet'),
    'transaction per order': ordering('transaction per order'),
    // This peer answers 409 if other requests changed the product during each of its attempts.
    'version and retry': ordering('version and retry', [409]),
  })
}

type AllSamples = Record<'oneProduct' | 'randomProducts' | 'oneBuyer', Samples>

const peers = ['transaction per order', 'version and retry'] as const
const oneProductTitle = 'order of one product, 64 buyers'
const randomProductsTitle = 'order of 10,000 products, 64 buyers'
const oneBuyerTitle = 'order of 10,000 products, 1 buyer'

function compare(all: AllSamples): Omit<ScenarioResult, 'notes'> {
  const { oneProduct, randomProducts, oneBuyer } = all
  const lessCpuTime = (samples: Samples, peer: Variant) =>
    summarizeRatio('cpuMicros', samples[peer], samples.Trivet)
  const ratioOf = (metric: Metric, samples: Samples, peer: Variant) =>
    summarizeRatio(metric, samples.Trivet, samples[peer])
  const p99 = (samples: Samples) => summarizeMetric('p99Ms', samples.Trivet)
  const tutorial = 'transaction per order'
  return {
    ratios: [
      ...ratiosOf(`CPU time of an ${oneProductTitle}: %s ÷ Trivet`, (peer) => lessCpuTime(oneProduct, peer)),
      ...ratiosOf(`CPU time of an ${randomProductsTitle}: %s ÷ Trivet`, (peer) =>
        lessCpuTime(randomProducts, peer),
      ),
      ...ratiosOf(`CPU time of an ${oneBuyerTitle}: Trivet ÷ %s`, (peer) =>
        ratioOf('cpuMicros', oneBuyer, peer),
      ),
      ...ratiosOf(`p50 of an ${oneBuyerTitle}: Trivet ÷ %s`, (peer) => ratioOf('p50Ms', oneBuyer, peer)),
      ...ratiosOf('orders/s of one product, 64 buyers: Trivet ÷ %s', (peer) =>
        ratioOf('perSecond', oneProduct, peer),
      ),
      ...ratiosOf('orders/s of 10,000 products, 64 buyers: Trivet ÷ %s', (peer) =>
        ratioOf('perSecond', randomProducts, peer),
      ),
    ],
    targets: [
      atLeast(
        `CPU time of an ${oneProductTitle}: ${tutorial} ÷ Trivet`,
        22,
        lessCpuTime(oneProduct, tutorial),
      ),
      atLeast(
        `CPU time of an ${randomProductsTitle}: ${tutorial} ÷ Trivet`,
        3.5,
        lessCpuTime(randomProducts, tutorial),
      ),
      atMost(
        `CPU time of an ${oneBuyerTitle}: Trivet ÷ ${tutorial}`,
        1.5,
        ratioOf('cpuMicros', oneBuyer, tutorial),
      ),
      atMost(`p50 of an ${oneBuyerTitle}: Trivet ÷ ${tutorial}`, 1.5, ratioOf('p50Ms', oneBuyer, tutorial)),
      below(`p99 of an ${oneProductTitle}`, 100, 'ms', p99(oneProduct), formatTimes),
      below(`p99 of an ${randomProductsTitle}`, 100, 'ms', p99(randomProducts), formatTimes),
    ],
    tables: [
      table('One product, 64 buyers', oneProduct),
      table('10,000 products, 64 buyers', randomProducts),
      table('10,000 products, 1 buyer', oneBuyer),
    ],
    charts: [
      chart('Orders of one product, 64 buyers', oneProduct),
      chart('Orders of 10,000 products, 64 buyers', randomProducts),
    ],
  }
}

/** @param label `%s` stands for the peer */
const ratiosOf = (label: string, ratioOf: (peer: Variant) => Summary): Ratio[] =>
  peers.map((peer) => ({ label: label.replace('%s', peer), ratio: ratioOf(peer) }))

const table = (title: string, samples: Samples): Table => ({
  title,
  head: ['', ...loadColumns, 'refused'],
  rows: Object.entries(samples).map(([variant, rounds]) => [
    ...loadRow(variant, rounds),
    formatCount(rounds.reduce((sum, { refused }) => sum + refused, 0)),
  ]),
})

const chart = (title: string, samples: Samples): Chart => ({
  title,
  unit: 'orders/s',
  bars: Object.entries(samples).map(([label, rounds]) => ({
    label,
    value: summarizeMetric('perSecond', rounds).median,
  })),
})

async function checkSoldQuantities(shops: Record<Variant, Shop>): Promise<string[]> {
  const notes: string[] = []
  for (const [variant, { products, orders }] of Object.entries(shops)) {
    const { takenFromStock, inConfirmedOrders } = await readSoldQuantities(
      products.collection('products'),
      orders.collection('orders'),
    )
    if (takenFromStock !== inConfirmedOrders)
      throw new Error(
        `${variant}: ${takenFromStock} pieces were taken from stock, but ${inConfirmedOrders} are in confirmed orders`,
      )
    notes.push(
      `${variant}: ${formatCount(takenFromStock)} pieces were taken from stock, and as many are in confirmed orders.`,
    )
  }
  return notes
}

async function checkAudit(context: BenchContext, { database }: Shop): Promise<string> {
  const { hasFindings, output } = await runAudit(context, database)
  if (hasFindings) throw new Error(`the audit of Trivet has findings:\n${output}`)
  return `Output of Trivet's audit (\`npm run audit\`): ${output.replace(/\.?$/, '.')}`
}
