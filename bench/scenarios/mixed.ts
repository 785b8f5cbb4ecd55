import { buyers } from '../customers.ts'
import { loadTable, type Scenario } from '../outcome.ts'
import { inTurn } from '../rounds.ts'
import { catalogue, openPeerShop, openShop } from '../shop.ts'
import { ratioOf } from '../spread.ts'
import { load } from '../wrk.ts'

export const mixed: Scenario = {
  name: 'mixed',
  title: 'Nine reads to one order',
  about:
    'Over 64 connections: nine times out of ten a product by its id, else an order of one piece, both of random ones of 10,000 products.',
  async run(stage) {
    const shop = await openShop(stage, 'mixed')
    const peer = await openPeerShop(stage, 'transaction-per-order')
    const tokens = await buyers(stage, shop.program.url)
    const loading =
      ({ url }: { url: string }) =>
      (seconds: number) =>
        load(url, { workload: 'mixed', products: catalogue, tokens }, { connections: 64, seconds })
    const measured = await inTurn(stage, 'mixed', {
      Trivet: loading(shop.program),
      'transaction per order': loading(peer.program),
    })
    const rate = (contender: keyof typeof measured) => measured[contender].map((each) => each.rate)
    return {
      ratios: [
        {
          what: 'requests/s, 90 % reads and 10 % orders, 64 connections: Trivet ÷ transaction per order',
          ratio: ratioOf(rate('Trivet'), rate('transaction per order')),
        },
      ],
      targets: [],
      tables: [loadTable('64 connections', measured)],
      notes: [],
    }
  },
}
