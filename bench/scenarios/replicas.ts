import { writeBuyerTokens } from '../customers.ts'
import { startTrivet } from '../programs.ts'
import { measureInTurn } from '../rounds.ts'
import { atLeast, type Scenario } from '../scenario.ts'
import { startShop } from '../shop.ts'
import { summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'
import { measureLoad, type Sample } from '../wrk.ts'

/** The 64 connections are divided among the three replicas. */
const connectionsPerReplica = [22, 21, 21]

export const replicas: Scenario = {
  name: 'replicas',
  title: 'One replica and three, orders of one product',
  about: `64 buyers order one product. Either one replica gets all orders, or the orders are divided among three replicas on the
same databases. With three replicas, three wrk processes run at once: the table has the sum of their rates and the worst of their
latencies.
Replicas do not coordinate with each other, so their transactions conflict in MongoDB. The ratio shows the cost of these
conflicts. The processes are the same in both cases.`,
  async run(context) {
    const first = await startShop(context, 'replicas')
    const urls = [first.program.url]
    while (urls.length < connectionsPerReplica.length)
      urls.push((await startTrivet(context, first.database)).url)
    const tokens = await writeBuyerTokens(context, first.program.url)
    const order = (url: string, connections: number, seconds: number) =>
      measureLoad(url, { workload: 'order', products: 1, tokens }, { connections, seconds })

    // With a third of the load, the warm-up of the measurement would be too short.
    for (const url of urls) await order(url, 64, context.options.warmUpSeconds)
    const samples = await measureInTurn(context, 'orders of one product', {
      'one replica': (seconds) => order(first.program.url, 64, seconds),
      'three replicas': async (seconds) =>
        combine(
          await Promise.all(
            urls.map((url, replica) => order(url, connectionsPerReplica[replica] ?? 0, seconds)),
          ),
        ),
    })
    const ratio = summarizeRatio('perSecond', samples['three replicas'], samples['one replica'])
    return {
      ratios: [{ label: 'orders/s of one product, 64 buyers: three replicas ÷ one', ratio }],
      targets: [atLeast('Orders of one product, 64 buyers: three replicas ÷ one', 0.7, ratio)],
      tables: [loadTable('Orders of one product, 64 buyers', samples)],
      notes: [],
    }
  },
}

/** Adds the rates, and takes the worst latencies. */
function combine(samples: readonly Sample[]): Sample {
  const sum = (metric: 'perSecond' | 'refused') =>
    samples.reduce((total, sample) => total + sample[metric], 0)
  const worst = (metric: 'p50Ms' | 'p99Ms' | 'maxMs') => Math.max(...samples.map((sample) => sample[metric]))
  return {
    perSecond: sum('perSecond'),
    refused: sum('refused'),
    p50Ms: worst('p50Ms'),
    p99Ms: worst('p99Ms'),
    maxMs: worst('maxMs'),
  }
}
