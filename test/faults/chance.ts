import { randomInt } from 'node:crypto'

/** Random choices that the same seed makes again. */
export interface Chance {
  /** From 0 up to, not including, `bound`. */
  below(bound: number): number
  /** True this often, 0 to 1. */
  happens(probability: number): boolean
  pick<Choice>(choices: readonly Choice[]): Choice
}

/** FAULT_SEED, or another seed in every run. */
export const faultSeed = (): number => Number(process.env.FAULT_SEED ?? randomInt(2 ** 31))

export function createChance(seed: number): Chance {
  let state = seed >>> 0
  // mulberry32
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number) => Math.floor(next() * bound)
  return {
    below,
    happens: (probability) => next() < probability,
    pick(choices) {
      if (choices.length === 0) throw new Error('there is nothing to pick from')
      return choices[below(choices.length)] as (typeof choices)[number]
    },
  }
}
