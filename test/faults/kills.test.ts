import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Audit } from '#test/support/audit-command.ts'
import type { Shape } from '#test/support/processes.ts'
import { stockInvariantViolations } from '#test/support/stock-invariant.ts'
import { bothShapes, inBothShapes } from './campaigns.ts'
import { type Chance, createChance, faultSeed } from './chance.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { contradictions, createJournal, type Journal, outcomesOf } from './journal.ts'
import { type Load, longestStall, startLoad } from './load.ts'
import { settled } from './settling.ts'
import { faults } from './size.ts'

/** The services that are killed together, one group after the other. */
const victims: Record<Shape, string[][]> = {
  'one process': [['all']],
  split: [['order'], ['product'], ['order', 'product']],
}
const killsOfEach = faults ?? 1
const customers = 4
const products = 5
const stock = 6

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
  console.log(`kills: FAULT_SEED=${seed}`)
  campaigns = await inBothShapes(campaign)
}, 7_200_000)
afterAll(() => Promise.all(fleets.map((fleet) => fleet.stop())))

describe.each(bothShapes)('processes killed at random moments under load, %s', (shape) => {
  it('still confirm orders', () => {
    expect(campaigns.get(shape)?.confirmed).toBeGreaterThan(0)
  })

  it('keep each order as acknowledged, one per key, and answer each key as before', () => {
    expect(campaigns.get(shape)?.contradictions).toEqual([])
  })

  it('leave balanced books and no findings of the audit', () => {
    expect(campaigns.get(shape)?.unbalanced).toEqual([])
    expect(campaigns.get(shape)?.audit).toMatchObject({ code: 0, report: { findings: [] } })
  })
})

async function campaign(shape: Shape): Promise<Campaign> {
  const fleet = await startFleet(shape)
  fleets.push(fleet)
  const chance = createChance(seed)
  const journal = createJournal()
  for (let nth = 0; nth < products; nth++) {
    const { productId } = await fleet.product(fleet.adminToken, { stock })
    journal.initialStock.set(productId, stock)
  }
  const accounts = await Promise.all(Array.from({ length: customers }, () => fleet.customer()))
  if (shape === 'split') disturb(fleet, createChance(seed - 1))

  const load = startLoad(fleet, journal, accounts, seed)
  const kills = Array.from({ length: killsOfEach }, () => victims[shape]).flat()
  for (const names of kills) await strike(fleet, names, load, chance)
  const healed = Date.now()
  for (const { link } of fleet.services) link.disturb()
  await load.stop()
  const settledAfter = await settled(fleet, healed)

  const found = await contradictions(journal, fleet)
  const unbalanced = await stockInvariantViolations(fleet)
  const audit = await fleet.audit()
  await report(fleet, journal, load, settledAfter, audit)
  return { contradictions: found, unbalanced, audit, confirmed: load.confirmations.length }
}

/** Loses, duplicates and delays a few messages at random. */
function disturb({ services }: Fleet, chance: Chance): void {
  for (const { link } of services) {
    link.disturb(() => ({
      ...(chance.happens(0.02) && { replyLost: true }),
      ...(chance.happens(0.02) && { times: 2 }),
      ...(chance.happens(0.01) && { times: 0 }),
      ...(chance.happens(0.02) && { delay: chance.below(300) }),
    }))
  }
}

/** Kills the named services at a random moment while orders are confirmed, and restarts them. */
async function strike(fleet: Fleet, names: readonly string[], load: Load, chance: Chance): Promise<void> {
  const enough = load.confirmations.length + 5
  await vi.waitFor(() => expect(load.confirmations.length).toBeGreaterThanOrEqual(enough), {
    timeout: 60_000,
    interval: 5,
  })
  await sleep(chance.below(300))
  await Promise.all(
    names.map(async (name) => {
      await sleep(chance.below(20))
      const service = fleet.service(name)
      await service.kill()
      await sleep(chance.happens(0.5) ? 0 : chance.below(500))
      await service.start()
    }),
  )
}

async function report(
  fleet: Fleet,
  journal: Journal,
  load: Load,
  settledAfter: number,
  { code, report: { checked, findings } }: Audit,
): Promise<void> {
  const orders = (await fleet.collections('order')).collection('orders')
  const count = (filter: object) => orders.countDocuments(filter)
  const undone = { status: 'cancelled', key: { $exists: false }, confirmation: { $exists: false } }
  const { requestsLost, repliesLost, doubled, delayed } = sumOf(fleet.services.map(({ link }) => link.counts))
  const cancelled = await count({ status: 'cancelled' })
  const lines = {
    kills: victims[fleet.shape].map((names) => `${killsOfEach} × ${names.join(' and ')}`).join(', '),
    requests: outcomesOf(journal).length,
    unanswered: outcomesOf(journal).filter((outcome) => outcome?.status === 0).length,
    orders: `${await count({ status: 'confirmed' })} confirmed, ${await count({ status: 'rejected' })} rejected, ${cancelled} cancelled (${await count(undone)} undone)`,
    network: `${requestsLost} requests lost, ${repliesLost} replies lost, ${doubled} doubled, ${delayed} delayed`,
    'longest stall': `${longestStall(load)} ms`,
    settled: `${settledAfter} ms after the last restart`,
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
