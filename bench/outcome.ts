import { type Spread, spreadOf } from './spread.ts'
import type { Stage } from './stage.ts'
import type { Load } from './wrk.ts'

export interface Table {
  title: string
  head: readonly string[]
  rows: readonly (readonly string[])[]
}

/** What one scenario has come to. */
export interface Outcome {
  ratios: readonly { what: string; ratio: Spread }[]
  targets: readonly Target[]
  tables: readonly Table[]
  /** Sentences about what was checked beside the measuring. */
  notes: readonly string[]
  charts?: readonly Chart[]
}

export interface Target {
  what: string
  target: string
  measured: string
  met: boolean
}

/** Bars of one scale. */
export interface Chart {
  title: string
  unit: string
  bars: readonly { label: string; value: number }[]
}

export interface Scenario {
  name: string
  /** Of its section in the document. */
  title: string
  /** What is done, in Markdown. */
  about: string
  run(stage: Stage): Promise<Outcome>
}

const decimals = (value: number, most: number): string =>
  value.toLocaleString('en', { maximumFractionDigits: most, minimumFractionDigits: most })

const withSpread = ({ median, least, most }: Spread, format: (value: number) => string): string =>
  `${format(median)} (${format(least)}–${format(most)})`

const rate = (value: number) => decimals(value, value < 100 ? 1 : 0)
const milliseconds = (value: number) => decimals(value, value < 10 ? 2 : value < 100 ? 1 : 0)
const factor = (value: number) => decimals(value, 2)

/** Median, and from the least to the most. */
export const rates = (spread: Spread): string => withSpread(spread, rate)
export const times = (spread: Spread): string => withSpread(spread, milliseconds)
export const ratios = (spread: Spread): string => withSpread(spread, factor)

export const loadHead = ['', 'requests/s', 'p50 ms', 'p99 ms', 'slowest ms'] as const

/** A row of a table with `loadHead`. */
export function loadRow(contender: string, loads: readonly Load[]): string[] {
  const of = (value: (load: Load) => number) => spreadOf(loads.map(value))
  return [
    contender,
    rates(of((load) => load.rate)),
    times(of((load) => load.p50)),
    times(of((load) => load.p99)),
    milliseconds(Math.max(...loads.map((load) => load.max))),
  ]
}

/** What each contender did under one load. */
export const loadTable = (title: string, measured: Readonly<Record<string, readonly Load[]>>): Table => ({
  title,
  head: loadHead,
  rows: Object.entries(measured).map(([name, loads]) => loadRow(name, loads)),
})

/** By the median, whatever the spread. */
export const atLeast = (what: string, bound: number, measured: Spread, unit = '×'): Target => ({
  what,
  target: `≥ ${bound} ${unit}`,
  measured: `${ratios(measured)} ${unit}`,
  met: measured.median >= bound,
})

export const atMost = (
  what: string,
  bound: number,
  measured: Spread,
  { unit = '×', strictly = false, format = ratios } = {},
): Target => ({
  what,
  target: `${strictly ? '<' : '≤'} ${bound} ${unit}`,
  measured: `${format(measured)} ${unit}`,
  met: strictly ? measured.median < bound : measured.median <= bound,
})

/** For a terminal. */
export function plainTable({ title, head, rows }: Table): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  const lines = all.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  )
  return [`\n  ${title}`, ...lines.map((line) => `    ${line}`)].join('\n')
}

export function markdownTable({ head, rows }: Omit<Table, 'title'>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const isNumber = (column: number) =>
    column > 0 && rows.every((row) => /^([≥≤<] )?\d[\d,.]*( |$)/.test(row[column] ?? ''))
  const rule = head.map((_, column) => (isNumber(column) ? '---:' : '---'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}
