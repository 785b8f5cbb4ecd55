import { buyers } from '../customers.ts'
import { atLeast, loadTable, type Scenario } from '../outcome.ts'
import { startTrivet } from '../programs.ts'
import { inTurn } from '../rounds.ts'
import { openShop } from '../shop.ts'
import { ratioOf } from '../spread.ts'
import { type Load, load } from '../wrk.ts'

const shares = [22, 21, 21]

export const replicas: Scenario = {
  name: 'replicas',
  title: 'One replica and three, on one product',
  about: `Orders of one product by 64 buyers, all at one whole process, or shared out among three on the same databases
(three wrk at once; requests added up, the worst of the three latencies). Replicas decide for themselves, so that they meet
at that product in MongoDB: this is what it costs to have three. The processes are the same ones in both cases.`,
  async run(stage) {
    const first = await openShop(stage, 'replicas')
    const urls = [first.program.url]
    for (const _ of shares.slice(1)) urls.push((await startTrivet(stage, first.database)).url)
    const tokens = await buyers(stage, first.program.url)
    const ordering = (url: string, connections: number, seconds: number) =>
      load(url, { workload: 'order', products: 1, tokens }, { connections, seconds })

    // A third of the load warms a process up in three times the time.
    for (const url of urls) await ordering(url, 64, stage.effort.warmUpSeconds)
    const measured = await inTurn(stage, 'orders of one product', {
      'one replica': (seconds) => ordering(first.program.url, 64, seconds),
      'three replicas': async (seconds) =>
        together(await Promise.all(urls.map((url, replica) => ordering(url, shares[replica] ?? 0, seconds)))),
    })
    const ratio = ratioOf(
      measured['three replicas'].map((each) => each.rate),
      measured['one replica'].map((each) => each.rate),
    )
    return {
      ratios: [{ what: 'orders/s of one product, 64 buyers: three replicas ÷ one', ratio }],
      targets: [atLeast('Orders of one product: three replicas ÷ one', 0.7, ratio)],
      tables: [loadTable('Orders of one product, 64 buyers', measured)],
      notes: [],
    }
  },
}

function together(loads: readonly Load[]): Load {
  const sum = (value: 'rate' | 'refused') => loads.reduce((total, each) => total + each[value], 0)
  const worst = (value: 'p50' | 'p99' | 'max') => Math.max(...loads.map((each) => each[value]))
  return {
    rate: sum('rate'),
    refused: sum('refused'),
    p50: worst('p50'),
    p99: worst('p99'),
    max: worst('max'),
  }
}
