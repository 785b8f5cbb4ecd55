import { type Program, startPeer } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import { atLeast, atMost, type Scenario, type ScenarioResult } from '../scenario.ts'
import { catalogueSize, startShop } from '../shop.ts'
import { type Measured, type Metric, summarizeMetric, summarizeRatio } from '../statistics.ts'
import { formatRates, loadTable } from '../tables.ts'

type Variant = 'Trivet' | 'hand-written' | 'Express with mongoose'
type Samples = Record<Variant, Measured[]>
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
    const programs: Record<Variant, Program> = {
      Trivet: shop.program,
      'hand-written': await startPeer(context, 'hand-written', `${shop.database}_product`),
      'Express with mongoose': await startPeer(context, 'express-mongoose', `${shop.database}_product`),
    }
    const workload = { workload: 'product', products: catalogueSize } as const
    const reading = (variant: Variant, connections: number) =>
      load(programs[variant], workload, { connections })
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
  const times = (samples: Samples, peer: Variant, metric: Metric) =>
    summarizeRatio(metric, samples.Trivet, samples[peer])
  const lessCpuTime = (samples: Samples, peer: Variant) =>
    summarizeRatio('cpuMicros', samples[peer], samples.Trivet)
  const peers = ['hand-written', 'Express with mongoose'] as const
  const cpuAt1 = times(at1, 'hand-written', 'cpuMicros')
  const p50At1 = times(at1, 'hand-written', 'p50Ms')
  return {
    ratios: [
      ...peers.map((peer) => ({
        label: `CPU time of a read by id, 64 connections: ${peer} ÷ Trivet`,
        ratio: lessCpuTime(at64, peer),
      })),
      ...peers.map((peer) => ({
        label: `CPU time of a read by id, 1 connection: Trivet ÷ ${peer}`,
        ratio: times(at1, peer, 'cpuMicros'),
      })),
      ...peers.map((peer) => ({
        label: `p50 of a read by id, 1 connection: Trivet ÷ ${peer}`,
        ratio: times(at1, peer, 'p50Ms'),
      })),
      ...peers.map((peer) => ({
        label: `reads/s by id, 64 connections: Trivet ÷ ${peer}`,
        ratio: times(at64, peer, 'perSecond'),
      })),
      ...peers.map((peer) => ({
        label: `reads/s by id, 1 connection: Trivet ÷ ${peer}`,
        ratio: times(at1, peer, 'perSecond'),
      })),
    ],
    targets: [
      atLeast(
        'CPU time of a read by id, 64 connections: hand-written ÷ Trivet',
        6.5,
        lessCpuTime(at64, 'hand-written'),
      ),
      atMost('CPU time of a read by id, 1 connection: Trivet ÷ hand-written', 1.2, cpuAt1),
      atMost('p50 of a read by id, 1 connection: Trivet ÷ hand-written', 1.15, p50At1),
      atLeast(
        'Reads/s by id, 64 connections: Trivet ÷ hand-written',
        4,
        times(at64, 'hand-written', 'perSecond'),
      ),
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
