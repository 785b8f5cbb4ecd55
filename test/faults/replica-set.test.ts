import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Audit } from '#test/support/audit-command.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { findContradictions } from './contradictions.ts'
import { faultCount } from './fault-count.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { type History, outcomesOf, startHistory } from './history.ts'
import { type Load, longestStall, startLoad } from './load.ts'
import type { Outcome } from './outcomes.ts'
import { type ReplicaSet, startReplicaSet } from './replica-set.ts'
import { faultSeed } from './seeded-random.ts'
import { waitUntilSettled } from './wait-until-settled.ts'

const kills = Math.min(faultCount ?? 1, 20)
/** docs/faults.md promises that after a kill a new order is confirmed within this time. */
const maxStallMs = 15_000

const seed = faultSeed()
let replicaSet: ReplicaSet
let fleet: Fleet
let history: History
let load: Load
/** For each kill, the time until a new order was confirmed. */
const stallsMs: number[] = []
let settledAfterMs: number
let contradictions: string[]
let audit: Audit

beforeAll(async () => {
  // The short run does not wait for MongoDB's default of ten seconds until a new primary is elected.
  replicaSet = await startReplicaSet(faultCount === undefined ? { electionTimeoutMillis: 3_000 } : {})
  // This is the default REQUEST_TIMEOUT.
  const requestTimeoutMs = 4_000
  fleet = await startFleet('one process', { requestTimeoutMs, settings: { MONGODB_URI: replicaSet.uri } })
  history = await startHistory(fleet, { customers: 6, products: 4, stock: 30 })
  load = startLoad(fleet, history, seed)
  for (let nth = 0; nth < kills; nth++) stallsMs.push(await killPrimary(nth % 2 === 0))
  const healedAt = Date.now()
  await load.stop()
  settledAfterMs = await waitUntilSettled(fleet, healedAt)
  contradictions = await findContradictions(history, fleet)
  audit = await fleet.audit()
  await report()
}, 3_600_000)
afterAll(async () => {
  await fleet?.stop()
  await replicaSet?.close()
})

/**
 * Kills the primary, and restarts its node.
 * @param leaveDead whether the node restarts only after a new order was confirmed without it
 * @returns the milliseconds until a new order was confirmed
 */
async function killPrimary(leaveDead: boolean): Promise<number> {
  const enough = load.confirmations.length + 10
  await vi.waitFor(() => expect(load.confirmations.length).toBeGreaterThanOrEqual(enough), {
    timeout: 60_000,
  })
  const node = await replicaSet.killPrimary()
  const killedAt = performance.now()
  if (!leaveDead) await node.start()
  const next = await vi.waitUntil(() => load.confirmations.find(({ begun }) => begun > killedAt), {
    timeout: 60_000,
  })
  if (leaveDead) await node.start()
  await replicaSet.waitUntilHealthy()
  return Math.round(next.at - killedAt)
}

it('the shop answers no status over 499 but 503 while primaries die', () => {
  const isUnexpected = ({ status }: Outcome) => status >= 500 && status !== 503
  expect(outcomesOf(history).filter(isUnexpected)).toEqual([])
})

it('the shop confirms new orders within 15 seconds after its primary dies', () => {
  expect(stallsMs).toHaveLength(kills)
  expect(Math.max(...stallsMs)).toBeLessThanOrEqual(maxStallMs)
})

it('the shop keeps each order as acknowledged, one per key, and answers each key as before', () => {
  expect(contradictions).toEqual([])
})

it('the books balance and the audit has no findings after primaries died', async () => {
  expect(await findUnbalancedBooks(fleet)).toEqual([])
  expect(audit).toMatchObject({ code: 0, report: { findings: [] } })
})

async function report(): Promise<void> {
  const orders = (await fleet.collections('order')).collection('orders')
  const count = (filter: object) => orders.countDocuments(filter)
  const statuses = outcomesOf(history).map(({ status }) => status)
  const lines = {
    kills: `${kills} of the primary`,
    'confirms after': `${stallsMs.join(', ')} ms`,
    requests: `${statuses.length}, ${statuses.filter((status) => status === 503).length} × 503`,
    orders: `${await count({ status: 'confirmed' })} confirmed, ${await count({ status: 'rejected' })} rejected, ${await count({ status: 'cancelled' })} cancelled (${await count({ status: 'cancelled', undo: true })} undone)`,
    'longest stall': `${longestStall(load)} ms`,
    settled: `${settledAfterMs} ms after the last node had caught up`,
    audit: `exit code ${audit.code}, ${audit.report.findings.length} findings`,
  }
  console.log(`a replica set of three, its primary killed under load: FAULT_SEED=${seed}`)
  for (const [name, line] of Object.entries(lines)) console.log(`  ${name.padEnd(14)} ${line}`)
}
