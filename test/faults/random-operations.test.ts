/**
 * Several clients send random requests while processes die or freeze, and the network loses and duplicates messages.
 * fast-check makes the list of operations of each run from a seed. At the end of a run all faults heal, and the test compares
 * the history of the clients with the stored state.
 *
 * To replay a failed run, set the variables in its message: FAULT_SEED and FAULT_PATH, and FAULTS if it was set, because it
 * decides the length of the runs. A replay has the same operations, but not the same timing.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Shape } from '#test/support/processes.ts'
import { bothShapes, runInBothShapes } from './both-shapes.ts'
import { faultCount } from './fault-count.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { type Operation, oneFaultOfEachKind, operations } from './operations.ts'
import { type Counts, count, runOperations } from './run-operations.ts'
import { faultSeed } from './seeded-random.ts'

const seed = faultSeed()
const path = process.env.FAULT_PATH
// Without FAULTS, a run is short enough for each test run: a few operations, with at least one fault of each kind.
const runs = faultCount === undefined ? 1 : Math.ceil(faultCount / 5)
const sequence =
  faultCount === undefined
    ? fc.tuple(oneFaultOfEachKind, operations(20, 1_200)).map((parts) => parts.flat())
    : fc.oneof(
        { weight: 4, arbitrary: operations(60, 1_500) },
        // These waits are long enough for the sweeper to undo abandoned orders.
        { weight: 1, arbitrary: operations(60, 15_000) },
      )
// A run takes half a minute, and its failure may not happen again, so shrinking has to end soon.
const maxShrinks = faultCount === undefined ? 0 : 20

interface Campaign {
  failure: string | undefined
  counts: Counts
}

const fleets: Fleet[] = []
let campaigns: Map<Shape, Campaign>

beforeAll(async () => {
  console.log(`random operations: FAULT_SEED=${seed}`)
  campaigns = await runInBothShapes(runCampaign)
}, 14_400_000)
afterAll(() => Promise.all(fleets.map((fleet) => fleet.stop())))

describe.each(bothShapes)('random operations and faults, %s', (shape) => {
  it('the shop contradicts no answer, and leaves no hold without its order and no unfinished order', () => {
    expect(campaigns.get(shape)?.failure).toBeUndefined()
  })

  it('the random operations confirm orders, and the faults include kills, freezes, and lost and duplicated messages', () => {
    const { counts = new Map<string, number>() } = campaigns.get(shape) ?? {}
    const required = [
      'orders confirmed',
      'kill',
      'freeze',
      'requests lost',
      'answers lost',
      'requests duplicated',
    ]
    const missing = required.filter((name) => !counts.get(name))
    expect(missing).toEqual(path === undefined ? [] : expect.anything())
  })
})

async function runCampaign(shape: Shape): Promise<Campaign> {
  const counts: Counts = new Map()
  let fleet: Fleet | undefined
  let failures = 0

  const property = fc.asyncProperty(sequence, async (sequence) => {
    // After enough shrinks each further run passes, so that fast-check reports the smallest failed run.
    if (failures > 0 && counts.get('runs to shrink') === maxShrinks) return
    if (failures > 0) count(counts, 'runs to shrink')
    fleet ??= await startFleet(shape, { settings: { REGISTRATIONS_PER_ADDRESS: '1000000/1h' } })
    if (!fleets.includes(fleet)) fleets.push(fleet)
    const { log, contradictions } = await runOperations(fleet, sequence, counts)
    if (contradictions.length === 0) return
    failures++
    // The next run needs new databases: in the old ones it would find the same contradictions again.
    await stopFleet(fleet)
    fleet = undefined
    throw new Error(
      [...contradictions.map((contradiction) => `- ${contradiction}`), 'after', ...log].join('\n'),
    )
  })
  const details = await fc.check(property, {
    seed,
    numRuns: path === undefined ? runs : 1,
    ...(path !== undefined && { path }),
    endOnFailure: maxShrinks === 0,
  })
  if (fleet) countNetworkFaults(fleet, counts)
  report(shape, counts)
  return { failure: details.failed ? describeFailure(shape, details) : undefined, counts }

  async function stopFleet(failed: Fleet): Promise<void> {
    countNetworkFaults(failed, counts)
    fleets.splice(fleets.indexOf(failed), 1)
    await failed.stop()
  }
}

/** Describes the smallest failed run, and how to replay it. */
function describeFailure(shape: Shape, details: fc.RunDetails<[Operation[]]>): string {
  const variables = [
    ...(faultCount === undefined ? [] : [`FAULTS=${faultCount}`]),
    `FAULT_SEED=${details.seed}`,
    `FAULT_PATH=${details.counterexamplePath}`,
  ]
  const text = [
    `${shape}: run ${details.numRuns} failed; replay it with ${variables.join(' ')}`,
    String(details.errorInstance instanceof Error ? details.errorInstance.message : details.errorInstance),
  ].join('\n')
  console.log(text)
  return text
}

function countNetworkFaults({ services }: Fleet, counts: Counts): void {
  for (const { proxy } of services) {
    count(counts, 'requests lost', proxy.counts.requestsLost)
    count(counts, 'answers lost', proxy.counts.answersLost)
    count(counts, 'requests duplicated', proxy.counts.requestsDuplicated)
    count(counts, 'requests delayed', proxy.counts.requestsDelayed)
  }
}

function report(shape: Shape, counts: Counts): void {
  console.log(`random operations, ${shape}`)
  for (const [name, times] of [...counts].sort()) console.log(`  ${name.padEnd(28)} ${times}`)
}
