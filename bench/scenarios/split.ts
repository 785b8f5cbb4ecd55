import { writeBuyerTokens } from '../customers.ts'
import type { Program } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import type { Scenario } from '../scenario.ts'
import { catalogueSize, startShop, startSplitShop } from '../shop.ts'
import { type Metric, summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'

export const split: Scenario = {
  name: 'split',
  title: 'One process and three',
  about: `One process with all modules is compared with one process per module. The three processes make an HTTP call for each
order. There is no gateway: orders go directly to the order process, and reads to the product process. All processes share
the cores of one machine here. On several machines, three processes would have more cores.`,
  async run(context) {
    const one = await startShop(context, 'one')
    const three = await startSplitShop(context, 'split')
    const oneTokens = await writeBuyerTokens(context, one.program.url)
    const threeTokens = await writeBuyerTokens(context, three.programs.auth.url)

    const { order, product } = three.programs
    const measureOrders = (title: string, products: number, connections: number) => {
      const workload = { workload: 'order', products } as const
      return measureInTurn(context, title, {
        'one process': load(one.program, { ...workload, tokens: oneTokens }, { connections }),
        'three processes': load(
          order,
          { ...workload, tokens: threeTokens },
          { connections, others: [product] },
        ),
      })
    }
    const reading = (program: Program) =>
      load(program, { workload: 'product', products: catalogueSize }, { connections: 64 })

    const oneProduct = await measureOrders('orders of one product, 64 connections', 1, 64)
    const randomProducts = await measureOrders('orders of random products, 64 connections', catalogueSize, 64)
    const oneConnection = await measureOrders('orders of random products, 1 connection', catalogueSize, 1)
    const reads = await measureInTurn(context, 'reads, 64 connections', {
      'one process': reading(one.program),
      'three processes': reading(product),
    })

    const ratio = (samples: typeof reads, metric: Metric) =>
      summarizeRatio(metric, samples['three processes'], samples['one process'])
    return {
      ratios: [
        {
          label: 'CPU time of an order of 10,000 products, 64 connections: three processes ÷ one',
          ratio: ratio(randomProducts, 'cpuMicros'),
        },
        {
          label: 'orders/s of one product, 64 connections: three processes ÷ one',
          ratio: ratio(oneProduct, 'perSecond'),
        },
        {
          label: 'orders/s of 10,000 products, 64 connections: three processes ÷ one',
          ratio: ratio(randomProducts, 'perSecond'),
        },
        {
          label: 'p50 of an order, 1 connection: three processes ÷ one',
          ratio: ratio(oneConnection, 'p50Ms'),
        },
        { label: 'reads/s by id, 64 connections: three processes ÷ one', ratio: ratio(reads, 'perSecond') },
      ],
      targets: [],
      tables: [
        loadTable('Orders of one product, 64 connections', oneProduct),
        loadTable('Orders of 10,000 products, 64 connections', randomProducts),
        loadTable('Orders of 10,000 products, 1 connection', oneConnection),
        loadTable('Reads by id, 64 connections', reads),
      ],
      notes: [],
    }
  },
}
