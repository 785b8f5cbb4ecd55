import type { Cost } from './cost.ts'
import type { Sample } from './wrk.ts'

/** The median and the range of the values that several rounds measured. */
export interface Summary {
  median: number
  min: number
  max: number
}

export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? Number.NaN
  const middle = (sorted.length - 1) / 2
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
  }
}

/** What a measurement of a load found. */
export type Measured = Sample & Cost
export type Metric = keyof Cost | 'perSecond' | 'p50Ms' | 'p99Ms'

export const summarizeMetric = (metric: Metric, samples: readonly Measured[]): Summary =>
  summarize(samples.map((sample) => sample[metric]))

/** Divides within each round, because what slows the machine for a while slows both samples of a round. */
export const summarizeRatio = (
  metric: Metric,
  samples: readonly Measured[],
  baseline: readonly Measured[],
): Summary =>
  summarize(samples.map((sample, round) => sample[metric] / (baseline[round]?.[metric] ?? Number.NaN)))
