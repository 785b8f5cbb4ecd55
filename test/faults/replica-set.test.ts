import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Audit } from '#test/support/audit-command.ts'
import { stockInvariantViolations } from '#test/support/stock-invariant.ts'
import { faultSeed } from './chance.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { contradictions, createJournal, outcomesOf } from './journal.ts'
import { type Load, longestStall, startLoad } from './load.ts'
import { settled } from './settling.ts'
import { faults } from './size.ts'
import { startThreeNodes, type ThreeNodes } from './three-nodes.ts'

const kills = Math.min(faults ?? 1, 20)
const products = 4
const stock = 30
const customers = 6
/** docs/faults.md promises this time from a kill until an order is confirmed that was first requested after the kill. */
const maxStallMs = 15_000

const seed = faultSeed()
const journal = createJournal()
let nodes: ThreeNodes
let fleet: Fleet
let load: Load
/** For each kill, the time until a new order was confirmed. */
const stallsMs: number[] = []
let settledAfter: number
let found: string[]
let audit: Audit

beforeAll(async () => {
  nodes = await startThreeNodes()
  // This is the default REQUEST_TIMEOUT.
  fleet = await startFleet('one process', { requestTimeoutMs: 4_000, settings: { MONGODB_URI: nodes.uri } })
  for (let nth = 0; nth < products; nth++) {
    const { productId } = await fleet.product(fleet.adminToken, { stock })
    journal.initialStock.set(productId, stock)
  }
  const accounts = await Promise.all(Array.from({ length: customers }, () => fleet.customer()))
  load = startLoad(fleet, journal, accounts, seed)
  for (let nth = 0; nth < kills; nth++) stallsMs.push(await killPrimary(nth % 2 === 0))
  const healed = Date.now()
  await load.stop()
  settledAfter = await settled(fleet, healed)
  found = await contradictions(journal, fleet)
  audit = await fleet.audit()
  await report()
}, 3_600_000)
afterAll(async () => {
  await fleet?.stop()
  await nodes?.close()
})

/** @param leaveDead whether the node restarts only after the other nodes have confirmed a new order without it */
async function killPrimary(leaveDead: boolean): Promise<number> {
  const enough = load.confirmations.length + 10
  await vi.waitFor(() => expect(load.confirmations.length).toBeGreaterThanOrEqual(enough), {
    timeout: 60_000,
  })
  const node = await nodes.killPrimary()
  const killed = performance.now()
  if (!leaveDead) await node.start()
  const next = await vi.waitUntil(() => load.confirmations.find(({ begun }) => begun > killed), {
    timeout: 60_000,
  })
  if (leaveDead) await node.start()
  await nodes.healthy()
  return Math.round(next.at - killed)
}

it('the shop answers no error of the server but 503 while primaries die', () => {
  const failures = outcomesOf(journal).filter((outcome) => outcome && outcome.status >= 500)
  expect(failures.filter((outcome) => outcome?.status !== 503)).toEqual([])
})

it('the shop confirms new orders within 15 seconds after its primary dies', () => {
  expect(stallsMs).toHaveLength(kills)
  expect(Math.max(...stallsMs)).toBeLessThanOrEqual(maxStallMs)
})

it('the shop keeps each order as acknowledged, one per key, and answers each key as before', () => {
  expect(found).toEqual([])
})

it('the books balance and the audit has no findings after primaries died', async () => {
  expect(await stockInvariantViolations(fleet)).toEqual([])
  expect(audit).toMatchObject({ code: 0, report: { findings: [] } })
})

async function report(): Promise<void> {
  const orders = (await fleet.collections('order')).collection('orders')
  const count = (filter: object) => orders.countDocuments(filter)
  const statuses = outcomesOf(journal).map((outcome) => outcome?.status ?? 0)
  const lines = {
    kills: `${kills} of the primary`,
    'goes on after': `${stallsMs.join(', ')} ms`,
    requests: `${statuses.length}, ${statuses.filter((status) => status === 503).length} × 503`,
    orders: `${await count({ status: 'confirmed' })} confirmed, ${await count({ status: 'rejected' })} rejected, ${await count({ status: 'cancelled' })} cancelled (${await count({ status: 'cancelled', undo: true })} undone)`,
    'longest stall': `${longestStall(load)} ms`,
    settled: `${settledAfter} ms after the last node had caught up`,
    audit: `exit code ${audit.code}, ${audit.report.findings.length} findings`,
  }
  console.log(`a replica set of three, its primary killed under load: FAULT_SEED=${seed}`)
  for (const [name, line] of Object.entries(lines)) console.log(`  ${name.padEnd(14)} ${line}`)
}
