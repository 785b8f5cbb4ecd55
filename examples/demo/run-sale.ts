import { setTimeout as sleep } from 'node:timers/promises'
import { buy, type Client, prepare, readConfirmed, readStock } from './buyers.ts'
import { countBuyers, type Sale, type SaleEvent, type ServiceState, unitCount } from './sale.ts'
import { type DemoShop, startShop } from './shop.ts'
import { judge } from './verdict.ts'

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
    sale.services.set(service, state)
    if (before === 'starting' && state === 'ready' && sale.phase === 'selling')
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
  sale.verdict = judge(sale, await shop.audit(), await readConfirmed(client))
  sale.phase = 'done'
}

type Report = (text: string, kind?: SaleEvent['kind']) => void

/** Lets the buyers arrive in groups. Two groups meet a process that is killed while they order. */
async function sell(client: Client, shop: DemoShop, productId: string, report: Report): Promise<void> {
  const { sale } = client
  const { arrive, waiting, allServed, failed } = createArrivals(client, productId)
  const letArrive = async () => {
    arrive(groups.beforeFaults)
    for (const service of ['product', 'order']) {
      await sleep(groupEveryMs.beforeFaults)
      arrive(groups.beforeFaults)
      await sleep(killAfterMs)
      const pid = shop.kill(service)
      report(
        `kill -9 ${pid} (${service}), while ${countBuyers(sale, 'ordering')} buyers are ordering`,
        'fault',
      )
      while (sale.services.get(service) !== 'ready') {
        await sleep(groupEveryMs.beforeFaults)
        // Some of the pieces are left for the second fault.
        if (service === 'order' || waiting() > sale.buyers.length - unitCount) arrive(groups.beforeFaults / 2)
      }
    }
    while (waiting() > 0) {
      arrive(groups.afterFaults)
      await sleep(groupEveryMs.afterFaults)
    }
    await allServed()
  }
  const isOver = new AbortController()
  const reading = keepReadingStock(client, productId, isOver.signal)
  await Promise.race([letArrive(), failed])
  isOver.abort()
  await reading
}

/** The buyers that have not arrived yet, and the purchases of the others. */
function createArrivals(client: Client, productId: string) {
  const waiting = [...client.sale.buyers.entries()]
  const purchases: Promise<void>[] = []
  const { promise: failed, reject } = Promise.withResolvers<never>()
  return {
    arrive(count: number): void {
      for (const [number, buyer] of waiting.splice(0, count)) {
        const purchase = buy(client, buyer, number, productId)
        purchase.catch(reject)
        purchases.push(purchase)
      }
    },
    waiting: () => waiting.length,
    allServed: () => Promise.all(purchases),
    /** Rejects as soon as a purchase fails. */
    failed,
  }
}

/** Reads the stock until the sale is over, and then until it is known. */
async function keepReadingStock(client: Client, productId: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await readStock(client, productId)
    await sleep(readStockEveryMs)
  }
  do await readStock(client, productId)
  while (client.sale.stock === undefined)
}
