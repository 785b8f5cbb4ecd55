import { setTimeout as sleep } from 'node:timers/promises'
import type { Stage } from './stage.ts'

/** Measures once, for so many seconds. */
export type Measure<T> = (seconds: number) => Promise<T>

/**
 * Measures contenders in turn, A B A B A B, after a run of each that is not counted.
 * @returns what each came to, by round
 */
export async function inTurn<Name extends string, T extends object>(
  stage: Stage,
  title: string,
  contenders: Record<Name, Measure<T>>,
): Promise<Record<Name, T[]>> {
  const { rounds, seconds, warmUpSeconds } = stage.effort
  const all = Object.entries(contenders) as [Name, Measure<T>][]
  for (const [, measure] of all) await measure(warmUpSeconds)
  const results = Object.fromEntries(all.map(([name]) => [name, []])) as unknown as Record<Name, T[]>
  for (let round = 1; round <= rounds; round++) {
    for (const [name, measure] of all) {
      await settled(stage)
      const result = await measure(seconds)
      results[name].push(result)
      stage.say(`  ${title}, round ${round}: ${name} ${shown(result)}`)
    }
  }
  return results
}

// Milliseconds.
const pause = 250
const patience = 60_000
/** Commands in a pause: programs that nobody asks for anything send a few of their own. */
const idleCommands = 25

/**
 * What one contender has begun and nobody waits for any more must not be in the next one's measurement: transactions
 * and writes that are tried again for seconds, above all. Waits until MongoDB has nothing to do.
 */
async function settled({ client }: Stage): Promise<void> {
  const until = Date.now() + patience
  const commands = async (): Promise<number> => {
    const { opcounters } = await client.db('admin').command({ serverStatus: 1 })
    return Object.values<number>(opcounters).reduce((sum, count) => sum + count, 0)
  }
  for (let before = await commands(), quiet = 0; quiet < 2 && Date.now() < until; ) {
    await sleep(pause)
    const now = await commands()
    quiet = now - before <= idleCommands ? quiet + 1 : 0
    before = now
  }
}

const shown = (result: object): string =>
  Object.entries(result)
    .filter(([, value]) => typeof value === 'number' && value !== 0)
    .map(([name, value]) => `${name} ${Math.round(value * 100) / 100}`)
    .join(', ')
