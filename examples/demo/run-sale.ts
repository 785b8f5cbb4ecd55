import { setTimeout as sleep } from 'node:timers/promises'
import { buy, type Client, countLost, prepare, readStock } from './buyers.ts'
import { countBuyers, type Sale, type SaleEvent, type ServiceState, unitCount, type Verdict } from './sale.ts'
import { type AuditReport, type DemoShop, startShop } from './shop.ts'

// A busy machine may need several times the half minute of a quiet one.
const maxDurationMs = 240_000
const readStockEveryMs = 200
// The kill meets orders that are under way.
const killAfterMs = 10
const groups = { beforeFaults: 8, afterFaults: 24 }
const groupEveryMs = { beforeFaults: 700, afterFaults: 400 }

/**
 * Runs the whole demo: starts a shop, sells more than it has, kills two processes in the middle, and audits the result.
 * @param options.onEvent is called for each event, after it was added to the sale
 * @param options.interrupted rejects when the demo must end
 */
export async function runSale(
  sale: Sale,
  options: { nowMs(): number; onEvent(event: SaleEvent): void; interrupted: Promise<never> },
): Promise<void> {
  const { nowMs, onEvent, interrupted } = options
  const report: Report = (text, kind = 'progress') => {
    const event = { atMs: nowMs(), text, kind }
    sale.events.push(event)
    onEvent(event)
  }
  const onState = (service: string, state: ServiceState, pid?: number) => {
    const before = sale.services.get(service)
    sale.services.set(service, { state, pid })
    if (before?.state === 'starting' && state === 'ready' && sale.phase === 'selling')
      report(`${service} is ready again (process ${pid})`, 'repair')
  }

  report('starting MongoDB, a gateway, and one process for each module')
  const shop = await startShop({ onState, interrupted })
  try {
    await Promise.race([runIn(shop, sale, nowMs, report), interrupted, failAtLimit()])
  } finally {
    await shop.close()
  }
}

async function failAtLimit(): Promise<never> {
  await sleep(maxDurationMs, undefined, { ref: false })
  throw new Error(`the sale has not ended within ${maxDurationMs / 1_000} s`)
}

async function runIn(shop: DemoShop, sale: Sale, nowMs: () => number, report: Report): Promise<void> {
  const client = { sale, shop, nowMs }
  report(`registering ${sale.buyers.length} buyers, and creating a product with ${unitCount} pieces`)
  const productId = await prepare(client, unitCount)
  sale.phase = 'selling'
  report(`${sale.buyers.length} buyers arrive for ${unitCount} cups`)
  await sell(client, shop, productId, report)
  sale.phase = 'auditing'
  report('all buyers have an answer: auditing products, reservations and orders')
  await readStock(client, productId)
  sale.verdict = judge(sale, await shop.audit(), await countLost(client))
  sale.phase = 'done'
}

type Report = (text: string, kind?: SaleEvent['kind']) => void

/** Lets the buyers arrive in groups. Two groups meet a process that is killed while they order. */
async function sell(client: Client, shop: DemoShop, productId: string, report: Report): Promise<void> {
  const { sale } = client
  const arrivals = [...sale.buyers.entries()]
  const purchases: Promise<void>[] = []
  const arrive = (count: number) => {
    for (const [number, buyer] of arrivals.splice(0, count))
      purchases.push(buy(client, buyer, number, productId))
  }
  const isOver = new AbortController()
  const reading = keepReadingStock(client, productId, isOver.signal)

  arrive(groups.beforeFaults)
  for (const service of ['product', 'order']) {
    await sleep(groupEveryMs.beforeFaults)
    arrive(groups.beforeFaults)
    await sleep(killAfterMs)
    const pid = shop.kill(service)
    report(`kill -9 ${pid} (${service}), while ${countBuyers(sale, 'ordering')} buyers are ordering`, 'fault')
    while (sale.services.get(service)?.state !== 'ready') {
      await sleep(groupEveryMs.beforeFaults)
      // Some of the pieces are left for the second fault.
      if (service === 'order' || arrivals.length > sale.buyers.length - unitCount)
        arrive(groups.beforeFaults / 2)
    }
  }
  while (arrivals.length > 0) {
    arrive(groups.afterFaults)
    await sleep(groupEveryMs.afterFaults)
  }
  await Promise.all(purchases)
  isOver.abort()
  await reading
}

async function keepReadingStock(client: Client, productId: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await readStock(client, productId)
    await sleep(readStockEveryMs)
  }
}

/** Compares what was promised with what has happened. */
function judge(sale: Sale, audit: AuditReport, lost: number): Verdict {
  const orders = sale.buyers.reduce((sum, { orderIds }) => sum + orderIds.size, 0)
  const doubled = sale.buyers.filter(({ orderIds }) => orderIds.size > 1).length
  const unanswered = sale.buyers.filter(({ state }) => state !== 'bought' && state !== 'refused').length
  const checked = Object.entries(audit.checked).map(([what, count]) => `${count} ${what}`)
  return {
    promises: [
      {
        promise: 'No piece is sold twice',
        isKept: orders + (sale.stock ?? Number.NaN) === unitCount,
        evidence: `${orders} sold + ${sale.stock} left = ${unitCount}`,
      },
      {
        promise: 'One key, one order',
        isKept: doubled === 0,
        evidence: `${sale.retries + sale.repeats} requests sent again, ${doubled} second orders`,
      },
      {
        promise: 'No acknowledged order is lost',
        isKept: lost === 0,
        evidence: `${orders - lost} of ${orders} orders are confirmed`,
      },
      {
        promise: 'Every buyer gets an answer',
        isKept: unanswered === 0,
        evidence: `${countBuyers(sale, 'bought')} bought, ${countBuyers(sale, 'refused')} sold out`,
      },
      {
        promise: 'Every piece is accounted for',
        isKept: audit.complete && audit.findings.length === 0,
        evidence: `${audit.findings.length} findings in ${checked.join(', ')}`,
      },
    ],
  }
}
