import { expect } from 'vitest'

/** Whether the full form runs (`npm run test:load`), and not the short one of `npm test`. */
export const isFull = process.env.LOAD === 'full'

/** A measured value with its limit. One of `atMost` and `atLeast` is given. */
export interface Figure {
  /** What was measured, with its percentile or its kind, such as `reads, p99`. */
  name: string
  value: number
  unit: 'ms' | 's' | 'KiB/s' | 'MiB' | '%' | '×' | ''
  atMost?: number
  atLeast?: number
}

/**
 * Prints each figure beside its limit, and fails if a figure is beyond its limit.
 * @param title what was done while the figures were measured
 */
export function expectFigures(title: string, figures: readonly Figure[]): void {
  console.log(`\n${title}\n${figures.map((figure) => `  ${lineOf(figure)}`).join('\n')}`)
  expect(figures.filter((figure) => !isWithinLimit(figure)).map(lineOf)).toEqual([])
}

const isWithinLimit = ({ value, atMost = Infinity, atLeast = -Infinity }: Figure): boolean =>
  value <= atMost && value >= atLeast

function lineOf({ name, value, unit, atMost, atLeast }: Figure): string {
  const limit = atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`
  return `${name.padEnd(48)} ${rounded(value).padStart(9)} ${unit.padEnd(3)} (${limit} ${unit})`.trimEnd()
}

const rounded = (value: number): string => String(Math.round(value * 100) / 100)
