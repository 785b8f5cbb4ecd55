import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadConfig } from '#kernel/config/load-config.ts'
import { createLogger } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { openComposition } from '#src/host/open-composition.ts'
import { registry } from '#src/registry.ts'

// `npm run bench:login` measures whether the time of an answer reveals that an account exists. It signs in with a wrong
// password to an existing account, to an unknown one and to one whose hash has a lower cost, in turn, and compares the
// medians. Other load on the machine changes the medians: leave the machine idle, or use more rounds.

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '40' }, cost: { type: 'string', default: '12' } },
})
/** The largest relative difference between two medians. */
const maxDifference = 0.05

const dataDir = await mkdtemp(join(tmpdir(), 'trivet-bench-'))
const logger = await createLogger({ level: 'silent', human: false, service: 'bench' })
const settings = {
  DATA_DIR: dataDir,
  LOGIN_FAILURES_PER_ACCOUNT: '1000000/1h',
  LOGIN_FAILURES_PER_ADDRESS: '1000000/1h',
}

async function withShop<T>(cost: string, work: (post: Post) => Promise<T>): Promise<T> {
  const config = loadConfig({ ...settings, BCRYPT_COST: cost, DEMO: 'false' }, registry)
  const shop = await openComposition(
    { modules: registry, config, logger, metrics: createMetrics() },
    (line) => console.error(line),
  )
  try {
    await shop.prepare(new AbortController().signal)
    return await work((path, body) =>
      Promise.resolve(
        shop.app.request(path, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify(body),
        }),
      ),
    )
  } finally {
    await shop.close()
  }
}
type Post = (path: string, body: object) => Promise<Response>

const register = async (post: Post, username: string) => {
  const account = { username, email: `${username}@example.com`, password: 'correct horse battery' }
  const { status } = await post('/register', account)
  if (status !== 201) throw new Error(`registration answered ${status}`)
}

const labels: Record<string, string> = { unknown: 'unknown account', outdated: 'hash of lower cost' }

const median = (times: number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0

await withShop(String(Math.max(4, Number(values.cost) - 2)), (post) => register(post, 'outdated'))
const medians = await withShop(values.cost, async (post) => {
  await register(post, 'existing')
  const times: Record<string, number[]> = { existing: [], unknown: [], outdated: [] }
  const order = Object.entries(times)
  for (let round = 0; round < Number(values.rounds); round++) {
    // The order changes, so that no account is always the first, or always after the same one.
    order.push(...order.splice(0, 1))
    if (round % 2 === 1) order.reverse()
    for (const [username, ownTimes] of order) {
      const startedAt = performance.now()
      const { status } = await post('/login', { username, password: 'a wrong password' })
      if (status !== 401) throw new Error(`sign-in answered ${status}`)
      ownTimes.push(performance.now() - startedAt)
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, ownTimes]) => [name, median(ownTimes)]))
})
await rm(dataDir, { recursive: true, force: true })

const { existing = 0, ...others } = medians
console.log(`The median time of a sign-in with a wrong password, over ${values.rounds} rounds:`)
console.log(`  existing account     ${existing.toFixed(1)} ms`)
let difference = 0
for (const [name, time] of Object.entries(others)) {
  difference = Math.max(difference, Math.abs(time / existing - 1))
  console.log(
    `  ${(labels[name] ?? name).padEnd(20)} ${time.toFixed(1)} ms, ${(time / existing).toFixed(3)} × the first`,
  )
}
const isMet = difference <= maxDifference
console.log(`The medians ${isMet ? 'are' : 'are NOT'} within ${maxDifference * 100} % of each other.`)
process.exit(isMet ? 0 : 1)
