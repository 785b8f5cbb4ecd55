import type { BenchContext } from '../context.ts'
import { writeBuyerTokens } from '../customers.ts'
import { runAudit } from '../programs.ts'
import { measureInTurn } from '../rounds.ts'
import { atLeast, below, type Chart, type Scenario, type ScenarioResult } from '../scenario.ts'
import { catalogueSize, type RunningShop, type Shop, startPeerShop, startShop } from '../shop.ts'
import { readSoldQuantities } from '../sold-quantities.ts'
import { summarizeMetric, summarizeRatio } from '../statistics.ts'
import { formatCount, formatTimes, loadColumns, loadRow, type Table } from '../tables.ts'
import { measureLoad, type Sample } from '../wrk.ts'

type Variant = 'Trivet' | 'transaction per order' | 'version and retry'
type Samples = Record<Variant, Sample[]>

export const orders: Scenario = {
  name: 'orders',
  title: 'Orders',
  about: `64 buyers order one piece at a time. Each buyer sends the next order when the last one is answered. In the first
table all orders are for the same product. In the second table each order is for a random one of 10,000 products. The tables
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
    const oneProduct = await measureOrders(context, 'orders of one product', shops, tokens, 1)
    const randomProducts = await measureOrders(
      context,
      'orders of random products',
      shops,
      tokens,
      catalogueSize,
    )
    return {
      ...compare(oneProduct, randomProducts),
      notes: [...(await checkSoldQuantities(shops)), await checkAudit(context, shops.Trivet)],
    }
  },
}

function measureOrders(
  context: BenchContext,
  title: string,
  shops: Record<Variant, RunningShop>,
  tokens: string,
  products: number,
): Promise<Samples> {
  const ordering =
    (variant: Variant, expectedStatuses: readonly number[] = []) =>
    (seconds: number) =>
      measureLoad(
        shops[variant].program.url,
        { workload: 'order', products, tokens },
        { connections: 64, seconds, expectedStatuses },
      )
  return measureInTurn(context, title, {
    Trivet: ordering('Trivet'),
    'transaction per order': ordering('transaction per order'),
    // This peer answers 409 if other requests changed the product during each of its attempts.
    'version and retry': ordering('version and retry', [409]),
  })
}

function compare(oneProduct: Samples, randomProducts: Samples): Omit<ScenarioResult, 'notes'> {
  const ratio = (samples: Samples, peer: Variant) =>
    summarizeRatio('perSecond', samples.Trivet, samples[peer])
  const p99 = (samples: Samples) => summarizeMetric('p99Ms', samples.Trivet)
  return {
    ratios: [
      {
        label: 'orders/s of one product, 64 buyers: Trivet ÷ transaction per order',
        ratio: ratio(oneProduct, 'transaction per order'),
      },
      {
        label: 'orders/s of one product, 64 buyers: Trivet ÷ version and retry',
        ratio: ratio(oneProduct, 'version and retry'),
      },
      {
        label: 'orders/s of 10,000 products, 64 buyers: Trivet ÷ transaction per order',
        ratio: ratio(randomProducts, 'transaction per order'),
      },
      {
        label: 'orders/s of 10,000 products, 64 buyers: Trivet ÷ version and retry',
        ratio: ratio(randomProducts, 'version and retry'),
      },
    ],
    targets: [
      atLeast(
        'Orders of one product, 64 buyers: Trivet ÷ transaction per order',
        12,
        ratio(oneProduct, 'transaction per order'),
      ),
      atLeast(
        'Orders of 10,000 products, 64 buyers: Trivet ÷ transaction per order',
        3,
        ratio(randomProducts, 'transaction per order'),
      ),
      below('p99 of an order of one product, 64 buyers', 100, 'ms', p99(oneProduct), formatTimes),
      below('p99 of an order of 10,000 products, 64 buyers', 100, 'ms', p99(randomProducts), formatTimes),
    ],
    tables: [table('One product', oneProduct), table('10,000 products', randomProducts)],
    charts: [
      chart('Orders of one product, 64 buyers', oneProduct),
      chart('Orders of 10,000 products, 64 buyers', randomProducts),
    ],
  }
}

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
