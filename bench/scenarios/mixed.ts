import { writeBuyerTokens } from '../customers.ts'
import { measureInTurn } from '../rounds.ts'
import type { Scenario } from '../scenario.ts'
import { catalogueSize, startPeerShop, startShop } from '../shop.ts'
import { summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'
import { measureLoad } from '../wrk.ts'

export const mixed: Scenario = {
  name: 'mixed',
  title: 'Nine reads for each order',
  about:
    'Over 64 connections, nine requests out of ten read a product by its id, and one orders one piece. Each request takes a random one of 10,000 products.',
  async run(context) {
    const shop = await startShop(context, 'mixed')
    const peer = await startPeerShop(context, 'transaction-per-order')
    const tokens = await writeBuyerTokens(context, shop.program.url)
    const loading =
      ({ url }: { url: string }) =>
      (seconds: number) =>
        measureLoad(url, { workload: 'mixed', products: catalogueSize, tokens }, { connections: 64, seconds })
    const samples = await measureInTurn(context, 'reads and orders', {
      Trivet: loading(shop.program),
      'transaction per order': loading(peer.program),
    })
    return {
      ratios: [
        {
          label: 'requests/s, 90 % reads and 10 % orders, 64 connections: Trivet ÷ transaction per order',
          ratio: summarizeRatio('perSecond', samples.Trivet, samples['transaction per order']),
        },
      ],
      targets: [],
      tables: [loadTable('64 connections', samples)],
      notes: [],
    }
  },
}
