import { writeBuyerTokens } from '../customers.ts'
import type { Program } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import type { Scenario } from '../scenario.ts'
import { catalogueSize, startPeerShop, startShop } from '../shop.ts'
import { summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'

export const mixed: Scenario = {
  name: 'mixed',
  title: 'Nine reads for each order',
  about:
    'Over 64 connections, nine requests out of ten read a product by its id, and one orders one piece. Each request takes a random one of 10,000 products.',
  async run(context) {
    const shop = await startShop(context, 'mixed')
    const peer = await startPeerShop(context, 'transaction-per-order')
    const tokens = await writeBuyerTokens(context, shop.program.url)
    const loading = (program: Program) =>
      load(program, { workload: 'mixed', products: catalogueSize, tokens }, { connections: 64 })
    const samples = await measureInTurn(context, 'reads and orders', {
      Trivet: loading(shop.program),
      'transaction per order': loading(peer.program),
    })
    return {
      ratios: [
        {
          label:
            'CPU time of a request, 90 % reads and 10 % orders, 64 connections: transaction per order ÷ Trivet',
          ratio: summarizeRatio('cpuMicros', samples['transaction per order'], samples.Trivet),
        },
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
