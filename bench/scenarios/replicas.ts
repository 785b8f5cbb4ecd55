import { writeBuyerTokens } from '../customers.ts'
import { type Program, startTrivet } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import { atLeast, type Scenario } from '../scenario.ts'
import { startShop } from '../shop.ts'
import { summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'
import type { Sample } from '../wrk.ts'

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
    const programs = [first.program]
    while (programs.length < connectionsPerReplica.length)
      programs.push(await startTrivet(context, first.database))
    const tokens = await writeBuyerTokens(context, first.program.url)
    const ordering = (program: Program, connections: number) =>
      load(program, { workload: 'order', products: 1, tokens }, { connections })

    // With a third of the load, the warm-up of the measurement would be too short.
    for (const program of programs) await ordering(program, 64).measure(context.options.warmUpSeconds)
    const samples = await measureInTurn(context, 'orders of one product', {
      'one replica': ordering(first.program, 64),
      'three replicas': {
        programs,
        measure: async (seconds) =>
          combine(
            await Promise.all(
              programs.map((program, replica) =>
                ordering(program, connectionsPerReplica[replica] ?? 0).measure(seconds),
              ),
            ),
          ),
      },
    })
    const ratio = summarizeRatio('perSecond', samples['three replicas'], samples['one replica'])
    return {
      ratios: [
        {
          label: 'CPU time of an order of one product, 64 buyers: three replicas ÷ one',
          ratio: summarizeRatio('cpuMicros', samples['three replicas'], samples['one replica']),
        },
        { label: 'orders/s of one product, 64 buyers: three replicas ÷ one', ratio },
      ],
      targets: [atLeast('Orders of one product, 64 buyers: three replicas ÷ one', 0.7, ratio)],
      tables: [loadTable('Orders of one product, 64 buyers', samples)],
      notes: [],
    }
  },
}

/** Adds the rates, and takes the worst latencies. */
function combine(samples: readonly Sample[]): Sample {
  const sum = (metric: 'requests' | 'perSecond' | 'refused') =>
    samples.reduce((total, sample) => total + sample[metric], 0)
  const worst = (metric: 'p50Ms' | 'p99Ms' | 'maxMs') => Math.max(...samples.map((sample) => sample[metric]))
  return {
    requests: sum('requests'),
    perSecond: sum('perSecond'),
    refused: sum('refused'),
    p50Ms: worst('p50Ms'),
    p99Ms: worst('p99Ms'),
    maxMs: worst('maxMs'),
  }
}
