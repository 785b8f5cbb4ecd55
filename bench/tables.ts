import { type Measured, type Metric, type Summary, summarizeMetric } from './statistics.ts'

export interface Table {
  title: string
  head: readonly string[]
  rows: readonly (readonly string[])[]
}

const decimals = (value: number, digits: number): string =>
  Number.isNaN(value)
    ? '–'
    : value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })

const formatRate = (value: number) => decimals(value, value < 100 ? 1 : 0)
const formatTime = (value: number) => decimals(value, value < 10 ? 2 : value < 100 ? 1 : 0)
const formatMicros = (value: number) => decimals(value, 0)

/** @returns for example `1,799 (1,619–1,886)`: the median, then the range */
const formatSummary =
  (format: (value: number) => string) =>
  ({ median, min, max }: Summary): string =>
    `${format(median)} (${format(min)}–${format(max)})`

export const formatRates = formatSummary(formatRate)
export const formatTimes = formatSummary(formatTime)
export const formatFactor = formatSummary((value) => decimals(value, 2))
export const formatCount = (value: number): string => value.toLocaleString('en')

export const loadColumns = [
  'CPU µs',
  'of the program',
  'of mongod',
  'round trips',
  'journal waits',
  'requests/s',
  'p50 ms',
  'p99 ms',
  'slowest ms',
] as const

/** A label and a cell for each of `loadColumns`. */
export function loadRow(label: string, samples: readonly Measured[]): string[] {
  const median = (metric: Metric) => summarizeMetric(metric, samples).median
  return [
    label,
    formatSummary(formatMicros)(summarizeMetric('cpuMicros', samples)),
    formatMicros(median('programMicros')),
    formatMicros(median('mongodMicros')),
    decimals(median('roundTrips'), 2),
    decimals(median('journalWaits'), 2),
    formatRates(summarizeMetric('perSecond', samples)),
    formatTimes(summarizeMetric('p50Ms', samples)),
    formatTimes(summarizeMetric('p99Ms', samples)),
    formatTime(Math.max(...samples.map(({ maxMs }) => maxMs))),
  ]
}

/** One row per variant of a measurement. */
export const loadTable = (title: string, samples: Readonly<Record<string, readonly Measured[]>>): Table => ({
  title,
  head: ['', ...loadColumns],
  rows: Object.entries(samples).map(([variant, rounds]) => loadRow(variant, rounds)),
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

/** Columns of numbers are aligned to the right. */
export function markdownTable({ head, rows }: Omit<Table, 'title'>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const isNumeric = (column: number) =>
    column > 0 && rows.every((row) => /^([≥≤<] )?\d[\d,.]*( |$)/.test(row[column] ?? ''))
  const rule = head.map((_, column) => (isNumeric(column) ? '---:' : '---'))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}
