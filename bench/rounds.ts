import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchContext } from './context.ts'
import { formatCount } from './tables.ts'
import type { Sample } from './wrk.ts'

/** Measures once, for this number of seconds. */
export type Measure<T> = (seconds: number) => Promise<T>

/**
 * Measures variants in turn, A B A B A B, after a warm-up of each.
 * @returns the samples of each variant, by round
 */
export async function measureInTurn<Variant extends string, T extends Sample>(
  context: BenchContext,
  title: string,
  variants: Record<Variant, Measure<T>>,
): Promise<Record<Variant, T[]>> {
  const { rounds, seconds, warmUpSeconds } = context.options
  const all = Object.entries(variants) as [Variant, Measure<T>][]
  for (const [, measure] of all) await measure(warmUpSeconds)
  const samples = Object.fromEntries(all.map(([variant]) => [variant, []])) as unknown as Record<Variant, T[]>
  for (let round = 1; round <= rounds; round++) {
    for (const [variant, measure] of all) {
      await untilMongoIsIdle(context)
      const sample = await measure(seconds)
      samples[variant].push(sample)
      context.log(`  ${title}, round ${round} of ${rounds}, ${variant}: ${describe(sample)}`)
    }
  }
  return samples
}

const describe = ({ perSecond, p50Ms, p99Ms, maxMs, refused }: Sample): string =>
  [
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
