import { randomInt } from 'node:crypto'

/** Random choices. The same seed makes the same choices again. */
export interface SeededRandom {
  /** An integer from 0 to `max` − 1. */
  integerBelow(max: number): number
  /** @param probability of true, from 0 to 1 */
  boolean(probability: number): boolean
  pick<Choice>(choices: readonly Choice[]): Choice
}

/** The seed in FAULT_SEED, or else a random seed. */
export const faultSeed = (): number => Number(process.env.FAULT_SEED ?? randomInt(2 ** 31))

export function createSeededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  // The generator is mulberry32.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const integerBelow = (max: number) => Math.floor(next() * max)
  return {
    integerBelow,
    boolean: (probability) => next() < probability,
    pick(choices) {
      if (choices.length === 0) throw new Error('the list of choices is empty')
      return choices[integerBelow(choices.length)] as (typeof choices)[number]
    },
  }
}
