import { buyers } from '../customers.ts'
import { loadTable, type Scenario } from '../outcome.ts'
import { inTurn } from '../rounds.ts'
import { catalogue, openShop, openSplitShop } from '../shop.ts'
import { ratioOf } from '../spread.ts'
import { load } from '../wrk.ts'

export const split: Scenario = {
  name: 'split',
  title: 'One process and three',
  about: `The whole program in one process against one process for each module, with a call over HTTP for each order and
no front before them: orders go to the order process, reads to the product process. All of it shares the cores of one
machine here; on several machines three processes have more of them.`,
  async run(stage) {
    const one = await openShop(stage, 'one')
    const three = await openSplitShop(stage, 'split')
    const oneTokens = await buyers(stage, one.program.url)
    const threeTokens = await buyers(stage, three.programs.auth.url)

    const ordering = (title: string, products: number, connections: number) =>
      inTurn(stage, title, {
        'one process': (seconds: number) =>
          load(one.program.url, { workload: 'order', products, tokens: oneTokens }, { connections, seconds }),
        'three processes': (seconds: number) =>
          load(
            three.programs.order.url,
            { workload: 'order', products, tokens: threeTokens },
            { connections, seconds },
          ),
      })
    const reading = (seconds: number, url: string) =>
      load(url, { workload: 'product', products: catalogue }, { connections: 64, seconds })

    const hot = await ordering('orders of one product, 64 connections', 1, 64)
    const uniform = await ordering('orders of any product, 64 connections', catalogue, 64)
    const single = await ordering('orders of any product, 1 connection', catalogue, 1)
    const reads = await inTurn(stage, 'reads, 64 connections', {
      'one process': (seconds) => reading(seconds, one.program.url),
      'three processes': (seconds) => reading(seconds, three.programs.product.url),
    })

    const ratio = (measured: typeof hot, value: 'rate' | 'p50') =>
      ratioOf(
        measured['three processes'].map((each) => each[value]),
        measured['one process'].map((each) => each[value]),
      )
    return {
      ratios: [
        {
          what: 'orders/s of one product, 64 connections: three processes ÷ one',
          ratio: ratio(hot, 'rate'),
        },
        {
          what: 'orders/s of 10,000 products, 64 connections: three processes ÷ one',
          ratio: ratio(uniform, 'rate'),
        },
        { what: 'p50 of an order, 1 connection: three processes ÷ one', ratio: ratio(single, 'p50') },
        { what: 'reads/s by id, 64 connections: three processes ÷ one', ratio: ratio(reads, 'rate') },
      ],
      targets: [],
      tables: [
        loadTable('Orders of one product, 64 connections', hot),
        loadTable('Orders of 10,000 products, 64 connections', uniform),
        loadTable('Orders of 10,000 products, 1 connection', single),
        loadTable('Reads by id, 64 connections', reads),
      ],
      notes: [],
    }
  },
}
