import { atLeast, loadTable, rates, type Scenario } from '../outcome.ts'
import { startPeer } from '../programs.ts'
import { inTurn } from '../rounds.ts'
import { catalogue, openShop } from '../shop.ts'
import { ratioOf, spreadOf } from '../spread.ts'
import { load } from '../wrk.ts'

const growth = [1, 8, 64, 256, 512]

export const reads: Scenario = {
  name: 'reads',
  title: 'A product by its id',
  about:
    'Random ones of 10,000, all contenders on the same collection. The hand-written program is the limit of a program that sends one query for each request.',
  async run(stage) {
    const shop = await openShop(stage, 'reads')
    const programs = {
      Trivet: shop.program,
      'hand-written': await startPeer(stage, 'hand-written', `${shop.database}_product`),
      'Express, mongoose': await startPeer(stage, 'express-mongoose', `${shop.database}_product`),
    }
    const reading = (contender: keyof typeof programs, connections: number) => (seconds: number) =>
      load(programs[contender].url, { workload: 'product', products: catalogue }, { connections, seconds })
    const at = (connections: number) =>
      inTurn(stage, `reads, ${connections} connections`, {
        Trivet: reading('Trivet', connections),
        'hand-written': reading('hand-written', connections),
        'Express, mongoose': reading('Express, mongoose', connections),
      })

    const many = await at(64)
    const one = await at(1)
    const grown = new Map<number, Pick<typeof many, 'Trivet' | 'hand-written'>>([
      [64, many],
      [1, one],
    ])
    for (const connections of growth.filter((count) => !grown.has(count))) {
      const measured = await inTurn(stage, `reads, ${connections} connections`, {
        Trivet: reading('Trivet', connections),
        'hand-written': reading('hand-written', connections),
      })
      grown.set(connections, measured)
    }

    const rate = (loads: (typeof many)['Trivet']) => loads.map((each) => each.rate)
    const ratio = (measured: typeof many, to: 'hand-written' | 'Express, mongoose') =>
      ratioOf(rate(measured.Trivet), rate(measured[to]))
    return {
      ratios: [
        { what: 'reads/s by id, 64 connections: Trivet ÷ hand-written', ratio: ratio(many, 'hand-written') },
        {
          what: 'reads/s by id, 64 connections: Trivet ÷ Express with mongoose',
          ratio: ratio(many, 'Express, mongoose'),
        },
        { what: 'reads/s by id, 1 connection: Trivet ÷ hand-written', ratio: ratio(one, 'hand-written') },
        {
          what: 'reads/s by id, 1 connection: Trivet ÷ Express with mongoose',
          ratio: ratio(one, 'Express, mongoose'),
        },
      ],
      targets: [
        atLeast('Reads by id ÷ hand-written, 64 connections', 4, ratio(many, 'hand-written')),
        atLeast('Reads by id ÷ hand-written, 1 connection', 0.8, ratio(one, 'hand-written')),
      ],
      tables: [
        loadTable('64 connections', many),
        loadTable('1 connection', one),
        {
          title: 'Requests/s by connections',
          head: ['connections', 'Trivet', 'hand-written'],
          rows: growth.map((connections) => {
            const measured = grown.get(connections) ?? many
            const of = (contender: 'Trivet' | 'hand-written') => rates(spreadOf(rate(measured[contender])))
            return [String(connections), of('Trivet'), of('hand-written')]
          }),
        },
      ],
      notes: [],
      charts: [
        {
          title: 'Reads of a product by id, 64 connections',
          unit: 'requests/s',
          bars: Object.entries(many).map(([label, loads]) => ({
            label,
            value: spreadOf(rate(loads)).median,
          })),
        },
      ],
    }
  },
}
