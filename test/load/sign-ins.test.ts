import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { type Deployment, deploy } from '#test/support/processes.ts'
import { expectFigures, isFull } from './figures.ts'
import { offerLoad } from './offered-load.ts'

// Passwords are hashed on threads with a lower priority than the thread that answers requests, so that reads do not wait for them.

const seconds = isFull ? 20 : 1
const signIns = 64
const cost = isFull ? '12' : '8'

let shop: Deployment
let read: string
beforeAll(async () => {
  shop = await deploy('one process', { BCRYPT_COST: cost })
  const { productId } = await shop.product(shop.adminToken)
  read = `GET /products/${productId} HTTP/1.1\r\nHost: shop\r\n\r\n`
  await measureReads()
})
afterAll(() => shop?.stop())

async function measureReads() {
  const port = Number(new URL(shop.url).port)
  const kinds = [{ weight: 1, requests: [read] }]
  const plan = { port, kinds, connections: 100, seconds, perSecond: 100, lingerMs: 5_000 }
  const { accepted, refused, errors, unsent, unanswered } = await offerLoad(plan)
  return { p99: accepted.p99, failures: { refused: refused.count, errors, unsent, unanswered } }
}

const failureFigures = (title: string, failures: Record<string, number>) =>
  Object.entries(failures).map(([kind, value]) => ({
    name: `reads ${title}, ${kind}`,
    value,
    unit: '' as const,
    atMost: 0,
  }))

/** Keeps 64 sign-ins in progress until it is stopped. `stop` returns how often each status was answered. */
async function startSignIns() {
  const ada = await shop.customer()
  const statuses: Record<number, number> = {}
  let isOver = false
  const clients = Array.from({ length: signIns }, async () => {
    while (!isOver) {
      const { status } = await shop.post('/login', { body: { email: ada.email, password: ada.password } })
      statuses[status] = (statuses[status] ?? 0) + 1
      // A client that is refused waits for about a second, as `Retry-After` asks it to.
      if (status !== 200) await sleep(500 + 1_000 * Math.random())
    }
  })
  return {
    async stop() {
      isOver = true
      await Promise.all(clients)
      return statuses
    },
  }
}

const runOnOneCore = () =>
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', '0', String(shop.child.pid)])

// Only Linux has `taskset`.
it.each(isFull && process.platform === 'linux' ? ['all cores', 'one core'] : ['all cores'])(
  `reads beside ${signIns} sign-ins, on %s`,
  async (cores) => {
    if (cores === 'one core') runOnOneCore()
    const alone = await measureReads()
    const clients = await startSignIns()
    onTestFinished(async () => void (await clients.stop()))
    // The first 64 arrive at the same moment.
    await sleep(isFull ? 5_000 : 500)
    const beside = await measureReads()
    const statuses = await clients.stop()
    expect(statuses[200]).toBeGreaterThan(0)
    expectFigures(`reads beside ${signIns} sign-ins at cost ${cost}, the process on ${cores}`, [
      { name: 'reads alone, p99', value: alone.p99, unit: 'ms', atMost: isFull ? 50 : 10_000 },
      {
        name: 'reads beside sign-ins ÷ alone, p99',
        value: beside.p99 / alone.p99,
        unit: '×',
        atMost: isFull ? 2 : 1_000,
      },
      ...failureFigures('alone', alone.failures),
      ...failureFigures('beside sign-ins', beside.failures),
    ])
  },
)
