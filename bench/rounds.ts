import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchContext } from './context.ts'
import { type Cost, measureCost } from './cost.ts'
import type { Program } from './programs.ts'
import { formatCount } from './tables.ts'
import { measureLoad, type Sample, type Workload } from './wrk.ts'

/** A load that is measured. */
export interface Variant<T> {
  /** The programs that carry out the requests. */
  programs: readonly Pick<Program, 'pid'>[]
  /** Measures once. */
  measure(seconds: number): Promise<T>
}

/** The load of a workload on one program. `options.others` are the programs that help to carry out the requests. */
export const load = (
  program: Program,
  workload: Workload,
  options: { connections: number; expectedStatuses?: readonly number[]; others?: readonly Program[] },
): Variant<Sample> => ({
  programs: [program, ...(options.others ?? [])],
  measure: (seconds) => measureLoad(program.url, workload, { ...options, seconds }),
})

/**
 * Measures variants in turn, A B A B A B, after a warm-up of each.
 * @returns the samples of each variant, by round
 */
export async function measureInTurn<Name extends string, T extends Sample>(
  context: BenchContext,
  title: string,
  variants: Record<Name, Variant<T>>,
): Promise<Record<Name, (T & Cost)[]>> {
  const { rounds, seconds, warmUpSeconds } = context.options
  const all = Object.entries(variants) as [Name, Variant<T>][]
  for (const [, { measure }] of all) await measure(warmUpSeconds)
  const samples = Object.fromEntries(all.map(([name]) => [name, []])) as unknown as Record<Name, (T & Cost)[]>
  for (let round = 1; round <= rounds; round++) {
    for (const [name, { programs, measure }] of all) {
      await untilMongoIsIdle(context)
      const costOf = await measureCost(context, programs)
      const measured = await measure(seconds)
      const sample = { ...measured, ...(await costOf(measured.requests - measured.refused)) }
      samples[name].push(sample)
      context.log(`  ${title}, round ${round} of ${rounds}, ${name}: ${describe(sample)}`)
    }
  }
  return samples
}

const describe = ({ cpuMicros, perSecond, p50Ms, p99Ms, maxMs, refused }: Sample & Cost): string =>
  [
    `${formatCount(Math.round(cpuMicros))} µs of CPU time`,
    `${formatCount(Math.round(perSecond))} requests/s`,
    `p50 ${p50Ms.toFixed(1)} ms`,
    `p99 ${p99Ms.toFixed(1)} ms`,
    `slowest ${maxMs.toFixed(0)} ms`,
    ...(refused > 0 ? [`${formatCount(refused)} refused`] : []),
  ].join(', ')

const pollEveryMs = 250
const maxWaitMs = 60_000
/** An idle program sends a few commands of its own in this time. */
const maxIdleCommands = 25

/**
 * Waits until MongoDB is idle. Otherwise transactions and retries that one variant has left behind would slow the
 * measurement of the next.
 */
async function untilMongoIsIdle({ client }: BenchContext): Promise<void> {
  const until = Date.now() + maxWaitMs
  const countCommands = async (): Promise<number> => {
    const { opcounters } = await client.db('admin').command({ serverStatus: 1 })
    return Object.values<number>(opcounters).reduce((sum, count) => sum + count, 0)
  }
  let previous = await countCommands()
  let idlePolls = 0
  while (idlePolls < 2 && Date.now() < until) {
    await sleep(pollEveryMs)
    const current = await countCommands()
    idlePolls = current - previous <= maxIdleCommands ? idlePolls + 1 : 0
    previous = current
  }
}
