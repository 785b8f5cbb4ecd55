import { readBooks } from '../books.ts'
import { buyers } from '../customers.ts'
import { atLeast, atMost, loadHead, loadRow, type Scenario, times } from '../outcome.ts'
import { audit } from '../programs.ts'
import { inTurn } from '../rounds.ts'
import { catalogue, openPeerShop, openShop } from '../shop.ts'
import { ratioOf, spreadOf } from '../spread.ts'
import { type Load, load } from '../wrk.ts'

export const orders: Scenario = {
  name: 'orders',
  title: 'Orders',
  about: `64 buyers, each of whom sends the next order of one piece when the last one is answered: all of the same
product, or each of a random one of 10,000. Only confirmed orders are counted. Every order is durable when it is answered.

Trivet does more: it checks the token, the body and the \`Idempotency-Key\`, and keeps an order and its stock right in two
databases whatever dies. The peers look at none of that. They are sent the same requests.`,
  async run(stage) {
    const shop = await openShop(stage, 'orders')
    const shops = {
      Trivet: shop,
      'transaction per order': await openPeerShop(stage, 'transaction-per-order'),
      'version and retry': await openPeerShop(stage, 'version-retry'),
    }
    const tokens = await buyers(stage, shop.program.url)
    const ordering = (contender: keyof typeof shops, products: number) => (seconds: number) =>
      load(
        shops[contender].program.url,
        { workload: 'order', products, tokens },
        // Who was not first a hundred times gives up, and says so.
        { connections: 64, seconds, expected: contender === 'version and retry' ? [409] : [] },
      )
    const over = (title: string, products: number) =>
      inTurn(stage, title, {
        Trivet: ordering('Trivet', products),
        'transaction per order': ordering('transaction per order', products),
        'version and retry': ordering('version and retry', products),
      })
    const hot = await over('orders of one product', 1)
    const uniform = await over('orders of any product', catalogue)

    const notes: string[] = []
    for (const [name, { products, orders }] of Object.entries(shops)) {
      const { taken, ordered } = await readBooks(products.collection('products'), orders.collection('orders'))
      if (taken !== ordered)
        throw new Error(`${name}: ${taken} pieces were taken from stock, and ${ordered} are in orders`)
      notes.push(
        `${name}: ${taken.toLocaleString('en')} pieces left the stock, as many as are in confirmed orders.`,
      )
    }
    const { ok, says } = await audit(stage, shop.database)
    if (!ok) throw new Error(`the audit of Trivet found something:\n${says}`)
    notes.push(`Trivet's own audit (\`npm run audit\`): ${says}.`)

    const rate = (loads: readonly Load[]) => loads.map((each) => each.rate)
    const ratio = (
      measured: typeof hot,
      to: Exclude<keyof typeof shops, 'Trivet'> = 'transaction per order',
    ) => ratioOf(rate(measured.Trivet), rate(measured[to]))
    const p99 = (measured: typeof hot) => spreadOf(measured.Trivet.map((each) => each.p99))
    const under100 = (what: string, measured: typeof hot) =>
      atMost(what, 100, p99(measured), { unit: 'ms', strictly: true, format: times })
    const table = (title: string, measured: typeof hot) => ({
      title,
      head: [...loadHead, 'refused'],
      rows: Object.entries(measured).map(([name, loads]) => [
        ...loadRow(name, loads),
        loads.reduce((sum, { refused }) => sum + refused, 0).toLocaleString('en'),
      ]),
    })
    const chart = (title: string, measured: typeof hot) => ({
      title,
      unit: 'orders/s',
      bars: Object.entries(measured).map(([label, loads]) => ({
        label,
        value: spreadOf(rate(loads)).median,
      })),
    })
    return {
      ratios: [
        { what: 'orders/s of one product, 64 buyers: Trivet ÷ transaction per order', ratio: ratio(hot) },
        {
          what: 'orders/s of one product, 64 buyers: Trivet ÷ version and retry',
          ratio: ratio(hot, 'version and retry'),
        },
        {
          what: 'orders/s of 10,000 products, 64 buyers: Trivet ÷ transaction per order',
          ratio: ratio(uniform),
        },
        {
          what: 'orders/s of 10,000 products, 64 buyers: Trivet ÷ version and retry',
          ratio: ratio(uniform, 'version and retry'),
        },
      ],
      targets: [
        atLeast('Orders of one product ÷ transaction per order, 64 buyers', 12, ratio(hot)),
        atLeast('Orders of 10,000 products ÷ transaction per order, 64 buyers', 3, ratio(uniform)),
        under100('p99 of an order of one product, 64 buyers', hot),
        under100('p99 of an order of 10,000 products, 64 buyers', uniform),
      ],
      tables: [table('All of one product', hot), table('Of 10,000 products', uniform)],
      notes,
      charts: [
        chart('Orders of one product, 64 buyers', hot),
        chart('Orders of 10,000 products, 64 buyers', uniform),
      ],
    }
  },
}
