import { startPeer } from '../programs.ts'
import { measureInTurn } from '../rounds.ts'
import { atLeast, type Scenario, type ScenarioResult } from '../scenario.ts'
import { catalogueSize, startShop } from '../shop.ts'
import { summarizeMetric, summarizeRatio } from '../statistics.ts'
import { formatRates, loadTable } from '../tables.ts'
import { measureLoad, type Sample } from '../wrk.ts'

type Variant = 'Trivet' | 'hand-written' | 'Express with mongoose'
type Samples = Record<Variant, Sample[]>
/** Samples of Trivet and the hand-written program, by the number of connections. */
type SamplesByConnections = ReadonlyMap<number, Omit<Samples, 'Express with mongoose'>>

const otherConnections = [8, 256, 512]

const titleOf = (connections: number) => `reads over ${connections} connection${connections === 1 ? '' : 's'}`

export const reads: Scenario = {
  name: 'reads',
  title: 'A product by its id',
  about:
    'Each request reads a random one of 10,000 products. All programs read the same collection. The hand-written program shows the limit of one query per request.',
  async run(context) {
    const shop = await startShop(context, 'reads')
    const urls: Record<Variant, string> = {
      Trivet: shop.program.url,
      'hand-written': (await startPeer(context, 'hand-written', `${shop.database}_product`)).url,
      'Express with mongoose': (await startPeer(context, 'express-mongoose', `${shop.database}_product`)).url,
    }
    const reading = (variant: Variant, connections: number) => (seconds: number) =>
      measureLoad(urls[variant], { workload: 'product', products: catalogueSize }, { connections, seconds })
    const measureAll = (connections: number) =>
      measureInTurn(context, titleOf(connections), {
        Trivet: reading('Trivet', connections),
        'hand-written': reading('hand-written', connections),
        'Express with mongoose': reading('Express with mongoose', connections),
      })

    const at64 = await measureAll(64)
    const at1 = await measureAll(1)
    const byConnections = new Map<number, Omit<Samples, 'Express with mongoose'>>([
      [64, at64],
      [1, at1],
    ])
    for (const connections of otherConnections) {
      const samples = await measureInTurn(context, titleOf(connections), {
        Trivet: reading('Trivet', connections),
        'hand-written': reading('hand-written', connections),
      })
      byConnections.set(connections, samples)
    }
    return compare(at64, at1, byConnections)
  },
}

function compare(at64: Samples, at1: Samples, byConnections: SamplesByConnections): ScenarioResult {
  const ratio = (samples: Samples, peer: Variant) =>
    summarizeRatio('perSecond', samples.Trivet, samples[peer])
  return {
    ratios: [
      {
        label: 'reads/s by id, 64 connections: Trivet ÷ hand-written',
        ratio: ratio(at64, 'hand-written'),
      },
      {
        label: 'reads/s by id, 64 connections: Trivet ÷ Express with mongoose',
        ratio: ratio(at64, 'Express with mongoose'),
      },
      { label: 'reads/s by id, 1 connection: Trivet ÷ hand-written', ratio: ratio(at1, 'hand-written') },
      {
        label: 'reads/s by id, 1 connection: Trivet ÷ Express with mongoose',
        ratio: ratio(at1, 'Express with mongoose'),
      },
    ],
    targets: [
      atLeast('Reads by id, 64 connections: Trivet ÷ hand-written', 4, ratio(at64, 'hand-written')),
      atLeast('Reads by id, 1 connection: Trivet ÷ hand-written', 0.8, ratio(at1, 'hand-written')),
    ],
    tables: [
      loadTable('64 connections', at64),
      loadTable('1 connection', at1),
      connectionsTable(byConnections),
    ],
    notes: [],
    charts: [
      {
        title: 'Reads of a product by id, 64 connections',
        unit: 'requests/s',
        bars: Object.entries(at64).map(([label, rounds]) => ({
          label,
          value: summarizeMetric('perSecond', rounds).median,
        })),
      },
    ],
  }
}

const connectionsTable = (byConnections: SamplesByConnections) => ({
  title: 'Requests/s by connections',
  head: ['connections', 'Trivet', 'hand-written'],
  rows: [...byConnections]
    .toSorted(([one], [other]) => one - other)
    .map(([connections, samples]) => [
      String(connections),
      formatRates(summarizeMetric('perSecond', samples.Trivet)),
      formatRates(summarizeMetric('perSecond', samples['hand-written'])),
    ]),
})
