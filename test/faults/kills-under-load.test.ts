import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Audit } from '#test/support/audit-command.ts'
import type { Shape } from '#test/support/processes.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { bothShapes, runInBothShapes } from './both-shapes.ts'
import { findContradictions } from './contradictions.ts'
import { faultCount } from './fault-count.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { type History, outcomesOf, startHistory } from './history.ts'
import { type Load, longestStall, startLoad } from './load.ts'
import { createSeededRandom, faultSeed, type SeededRandom } from './seeded-random.ts'
import { waitUntilSettled } from './wait-until-settled.ts'

/** The services that are killed together, one group after the other. */
const victims: Record<Shape, string[][]> = {
  'one process': [['all']],
  split: [['order'], ['product'], ['order', 'product']],
}
const killsOfEach = faultCount ?? 1

interface Campaign {
  contradictions: string[]
  unbalanced: string[]
  audit: Audit
  confirmed: number
}

const seed = faultSeed()
const fleets: Fleet[] = []
let campaigns: Map<Shape, Campaign>

beforeAll(async () => {
  console.log(`kills under load: FAULT_SEED=${seed}`)
  campaigns = await runInBothShapes(runCampaign)
}, 7_200_000)
afterAll(() => Promise.all(fleets.map((fleet) => fleet.stop())))

describe.each(bothShapes)('kills under load, %s', (shape) => {
  it('the shop confirms orders while its processes are killed at random', () => {
    expect(campaigns.get(shape)?.confirmed).toBeGreaterThan(0)
  })

  it('the shop keeps each order as acknowledged, one per key, and answers each key as before', () => {
    expect(campaigns.get(shape)?.contradictions).toEqual([])
  })

  it('the books balance and the audit has no findings after kills under load', () => {
    expect(campaigns.get(shape)?.unbalanced).toEqual([])
    expect(campaigns.get(shape)?.audit).toMatchObject({ code: 0, report: { findings: [] } })
  })
})

async function runCampaign(shape: Shape): Promise<Campaign> {
  const fleet = await startFleet(shape)
  fleets.push(fleet)
  const random = createSeededRandom(seed)
  const history = await startHistory(fleet, { customers: 4, products: 5, stock: 6 })
  if (shape === 'split') disturbNetwork(fleet, createSeededRandom(seed - 1))

  const load = startLoad(fleet, history, seed)
  const kills = Array.from({ length: killsOfEach }, () => victims[shape]).flat()
  for (const names of kills) await killAndRestart(fleet, names, load, random)
  const healedAt = Date.now()
  for (const { proxy } of fleet.services) proxy.injectFaults()
  await load.stop()
  const settledAfterMs = await waitUntilSettled(fleet, healedAt)

  const contradictions = await findContradictions(history, fleet)
  const unbalanced = await findUnbalancedBooks(fleet)
  const audit = await fleet.audit()
  await report(fleet, history, load, settledAfterMs, audit)
  return { contradictions, unbalanced, audit, confirmed: load.confirmations.length }
}

/** Loses, duplicates and delays a few messages at random. */
function disturbNetwork({ services }: Fleet, random: SeededRandom): void {
  for (const { proxy } of services) {
    proxy.injectFaults(() => ({
      ...(random.boolean(0.02) && { answerLost: true }),
      ...(random.boolean(0.02) && { times: 2 }),
      ...(random.boolean(0.01) && { times: 0 }),
      ...(random.boolean(0.02) && { delayMs: random.integerBelow(300) }),
    }))
  }
}

/** Kills the named services at a random moment while orders are confirmed, and restarts them. */
async function killAndRestart(
  fleet: Fleet,
  names: readonly string[],
  load: Load,
  random: SeededRandom,
): Promise<void> {
  const enough = load.confirmations.length + 5
  await vi.waitFor(() => expect(load.confirmations.length).toBeGreaterThanOrEqual(enough), {
    timeout: 60_000,
    interval: 5,
  })
  await sleep(random.integerBelow(300))
  await Promise.all(
    names.map(async (name) => {
      await sleep(random.integerBelow(20))
      const service = fleet.service(name)
      await service.kill()
      await sleep(random.boolean(0.5) ? 0 : random.integerBelow(500))
      await service.start()
    }),
  )
}

async function report(
  fleet: Fleet,
  history: History,
  load: Load,
  settledAfterMs: number,
  { code, report: { checked, findings } }: Audit,
): Promise<void> {
  const orders = (await fleet.collections('order')).collection('orders')
  const count = (filter: object) => orders.countDocuments(filter)
  const undone = { status: 'cancelled', key: { $exists: false }, confirmation: { $exists: false } }
  const faults = sumOf(fleet.services.map(({ proxy }) => proxy.counts))
  const outcomes = outcomesOf(history)
  const cancelled = await count({ status: 'cancelled' })
  const lines = {
    kills: victims[fleet.shape].map((names) => `${killsOfEach} × ${names.join(' and ')}`).join(', '),
    requests: outcomes.length,
    unanswered: outcomes.filter(({ status }) => status === 0).length,
    orders: `${await count({ status: 'confirmed' })} confirmed, ${await count({ status: 'rejected' })} rejected, ${cancelled} cancelled (${await count(undone)} undone)`,
    network: `${faults.requestsLost} requests lost, ${faults.answersLost} answers lost, ${faults.requestsDuplicated} requests duplicated, ${faults.requestsDelayed} requests delayed`,
    'longest stall': `${longestStall(load)} ms`,
    settled: `${settledAfterMs} ms after the last restart`,
    audit: `exit code ${code}, ${JSON.stringify(checked)}, ${findings.length} findings`,
  }
  console.log(`kills under load, ${fleet.shape}`)
  for (const [name, line] of Object.entries(lines)) console.log(`  ${name.padEnd(14)} ${line}`)
}

function sumOf<Name extends string>(counts: Record<Name, number>[]): Record<Name, number> {
  const sum = {} as Record<Name, number>
  for (const each of counts) {
    for (const name of Object.keys(each) as Name[]) sum[name] = (sum[name] ?? 0) + each[name]
  }
  return sum
}
