import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { findContradictions } from '#test/faults/contradictions.ts'
import { type History, outcomesOf, startHistory } from '#test/faults/history.ts'
import { type Load, startLoad } from '#test/faults/load.ts'
import { faultSeed } from '#test/faults/seeded-random.ts'
import { waitUntilSettled } from '#test/faults/wait-until-settled.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { startVisitors, type Visit, type Visitors } from './load.ts'
import { nginxBinary } from './nginx.ts'
import { type Replica, type ReplicatedShop, startReplicatedShop } from './replicas.ts'

if (!nginxBinary) console.log('skipped: nginx is not installed (Debian: apt-get install nginx)')

const rollingRestarts = Number(process.env.ROLLING_RESTARTS ?? 20)
const exitWithin = 10_000
const seed = faultSeed()

describe.skipIf(!nginxBinary)('two replicas of each service behind NGINX, under load', () => {
  let shop: ReplicatedShop

  beforeAll(() => console.log(`replicas: FAULT_SEED=${seed}`))
  // Each test has databases of its own, because the history of a test does not contain the orders of earlier tests.
  beforeEach(async () => {
    shop = await startReplicatedShop(nginxBinary ?? '')
  })
  afterEach(() => shop.stop())

  interface RunningClients {
    history: History
    load: Load
    visitors: Visitors
    /** Stops all clients, and waits until no order is unfinished. */
    end(): Promise<void>
  }

  const startClients = async (): Promise<RunningClients> => {
    const history = await startHistory(shop, { customers: 3, products: 4, stock: 50 })
    const load = startLoad(shop, history, seed)
    const accounts = await Promise.all(Array.from({ length: 4 }, () => shop.customer()))
    const visitors = startVisitors(shop, accounts, seed)
    const end = async () => {
      await Promise.all([load.stop(), visitors.stop()])
      await waitUntilSettled(shop, Date.now())
    }
    return { history, load, visitors, end }
  }

  /** Waits until the visitors have sent this many more requests. */
  const untilMoreVisits = async ({ visitors }: RunningClients, more: number) => {
    const enough = visitors.visits.length + more
    await vi.waitFor(() => expect(visitors.visits.length).toBeGreaterThan(enough), {
      timeout: 120_000,
      interval: 20,
    })
  }

  const unexpected = (visits: readonly Visit[]) => visits.filter(({ complaint }) => complaint !== undefined)
  const slowest = (visits: readonly Visit[]) => Math.max(...visits.map(({ milliseconds }) => milliseconds))
  /** The requests in the history without an answer, or with an answer of 500 or above. */
  const failed = (history: History) =>
    outcomesOf(history).filter(({ status }) => status === 0 || status >= 500)

  const report = (
    title: string,
    { history, load, visitors }: RunningClients,
    more: Record<string, unknown> = {},
  ) => {
    const reads = visitors.visits.filter(({ isRead }) => isRead)
    const writes = outcomesOf(history).length + visitors.visits.length - reads.length
    console.log(title)
    const lines = {
      reads: `${reads.length}, ${unexpected(reads).length} failed, the slowest ${slowest(reads)} ms`,
      writes: `${writes}, ${unexpected(visitors.visits).length - unexpected(reads).length + failed(history).length} failed`,
      orders: `${load.confirmations.length} confirmations`,
      nginx: shop.nginx.lostConnections().join('\n                 ') || 'lost no connection',
      ...more,
    }
    for (const [name, line] of Object.entries(lines)) console.log(`  ${name.padEnd(14)} ${line}`)
  }

  it('no request fails while the replicas restart one after the other', async () => {
    const clients = await startClients()
    const exits: { code: number | null; milliseconds: number }[] = []
    for (let round = 0; round < rollingRestarts; round++) {
      await Promise.all(
        shop.services.map(async ({ replicas }) => {
          for (const replica of replicas) {
            exits.push(await replica.stop())
            await replica.start()
          }
        }),
      )
    }
    await clients.end()
    report(`${rollingRestarts} rolling restarts`, clients, {
      exits: `${exits.length}, the slowest ${Math.max(...exits.map(({ milliseconds }) => milliseconds))} ms`,
    })
    expect(unexpected(clients.visitors.visits)).toEqual([])
    expect(failed(clients.history)).toEqual([])
    expect(exits.filter(({ code, milliseconds }) => code !== 0 || milliseconds > exitWithin)).toEqual([])
    expect(await findContradictions(clients.history, shop)).toEqual([])
    expect(await findUnbalancedBooks(shop)).toEqual([])
  })

  it.each(['auth', 'product', 'order'])(
    'no read fails or takes over 3 s while a replica of %s is frozen, and every order is settled',
    async (name) => {
      const [replica] = shop.service(name).replicas
      const clients = await startClients()
      await untilMoreVisits(clients, 50)
      replica.freeze()
      await untilMoreVisits(clients, 150)
      replica.thaw()
      await untilMoreVisits(clients, 50)
      await clients.end()
      report(`one of ${name} frozen`, clients)
      const reads = clients.visitors.visits.filter(({ isRead }) => isRead)
      expect(unexpected(reads)).toEqual([])
      expect(slowest(reads)).toBeLessThanOrEqual(3_000)
      // The outcome of a write to a frozen process may be unknown (503), so that its successor conflicts (409).
      expect(
        unexpected(clients.visitors.visits).filter(({ status }) => ![503, 409].includes(status)),
      ).toEqual([])
      expect(await findContradictions(clients.history, shop)).toEqual([])
      expect(await findUnbalancedBooks(shop)).toEqual([])
    },
  )

  it.each(['auth', 'product', 'order'])(
    'no read fails while each replica of %s is killed, writes fail only with 503 or 409, and every order is settled',
    async (name) => {
      const { replicas } = shop.service(name)
      const clients = await startClients()
      const killOnce = async (replica: Replica) => {
        await untilMoreVisits(clients, 30)
        await replica.kill()
        await untilMoreVisits(clients, 30)
        await replica.start()
        // Until then NGINX knows only the other replica, so that its kill would leave no replica.
        await shop.untilNginxHasQueriedNames()
      }
      for (let n = 0; n < 3; n++) for (const replica of replicas) await killOnce(replica)
      await clients.end()
      report(`each of ${name} killed three times`, clients)
      expect(unexpected(clients.visitors.visits.filter(({ isRead }) => isRead))).toEqual([])
      // A write to a killed process has no answer, and NGINX does not send the write to another process.
      expect(
        unexpected(clients.visitors.visits).filter(({ status }) => ![503, 409].includes(status)),
      ).toEqual([])
      expect(await findContradictions(clients.history, shop)).toEqual([])
      expect(await findUnbalancedBooks(shop)).toEqual([])
    },
  )

  it('no request fails while one process replaces the services, and the services replace it again', async () => {
    await shop.monolith.start()
    const clients = await startClients()
    await untilMoreVisits(clients, 50)
    shop.resolveNamesTo('monolith')
    await untilMoreVisits(clients, 200)
    for (const { replicas } of shop.services) for (const replica of replicas) await replica.stop()
    await untilMoreVisits(clients, 100)
    for (const { replicas } of shop.services) await Promise.all(replicas.map((replica) => replica.start()))
    shop.resolveNamesTo('services')
    await untilMoreVisits(clients, 200)
    await shop.monolith.stop()
    await clients.end()
    report('merged into one process, and split again', clients)
    expect(unexpected(clients.visitors.visits)).toEqual([])
    expect(failed(clients.history)).toEqual([])
    expect(await findContradictions(clients.history, shop)).toEqual([])
    expect(await findUnbalancedBooks(shop)).toEqual([])
  })
})
