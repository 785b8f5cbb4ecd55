import type { BenchContext } from './context.ts'
import type { Summary } from './statistics.ts'
import { formatFactor, type Table } from './tables.ts'

export interface Scenario {
  /** The name on the command line. */
  name: string
  /** The heading of its section in the report. */
  title: string
  /** What is measured, in Markdown. */
  about: string
  run(context: BenchContext): Promise<ScenarioResult>
}

export interface ScenarioResult {
  ratios: readonly Ratio[]
  targets: readonly Target[]
  tables: readonly Table[]
  /** Sentences about checks that were made beside the measurements. */
  notes: readonly string[]
  charts?: readonly Chart[]
}

export interface Ratio {
  label: string
  ratio: Summary
}

/** A performance target, and whether it was met. */
export interface Target {
  label: string
  target: string
  measured: string
  met: boolean
}

/** Bars that share one scale. */
export interface Chart {
  title: string
  unit: string
  bars: readonly { label: string; value: number }[]
}

/** A target is met if the median meets it. The range of the rounds does not matter. */
export const atLeast = (label: string, bound: number, measured: Summary): Target => ({
  label,
  target: `≥ ${bound} ×`,
  measured: `${formatFactor(measured)} ×`,
  met: measured.median >= bound,
})

export const atMost = (label: string, bound: number, measured: Summary): Target => ({
  label,
  target: `≤ ${bound} ×`,
  measured: `${formatFactor(measured)} ×`,
  met: measured.median <= bound,
})

export const below = (
  label: string,
  bound: number,
  unit: string,
  measured: Summary,
  format: (summary: Summary) => string,
): Target => ({
  label,
  target: `< ${bound} ${unit}`,
  measured: `${format(measured)} ${unit}`,
  met: measured.median < bound,
})
