import { joinParts, justify, type Line, type Span, type Style } from './lines.ts'
import {
  type Answer,
  type BuyerState,
  countBuyers,
  percentile,
  type Sale,
  type SaleEvent,
  type ServiceState,
  unitCount,
} from './sale.ts'

/** The size of the view, in characters. */
export const columns = 78
export const rows = 21

const buyersPerRow = 50
const maxEvents = 6
const barWindowMs = 500
const barSteps = '▁▂▃▄▅▆▇█'
/** A bar of full height stands for this duration or more. The scale is logarithmic. */
const fullBarMs = 4_000

const services: Record<ServiceState, Span> = {
  ready: ['● ready', 'green'],
  killed: ['✖ killed', 'red'],
  starting: ['◌ starting', 'yellow'],
}

const buyers: Record<BuyerState, Span> = {
  away: ['·', 'dim'],
  ordering: ['○', 'cyan'],
  retrying: ['◌', 'yellow'],
  bought: ['●', 'green'],
  refused: ['×', 'dim'],
}

const events: Record<SaleEvent['kind'], Style[]> = { fault: ['red'], repair: ['green'], progress: [] }

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
const blank: Line = []

/** Draws the sale as lines of at most `columns` characters. */
export function draw(sale: Sale, nowMs: number): Line[] {
  return [
    justify(
      [
        ['Trivet', 'bold'],
        [`  ${sale.buyers.length} buyers, ${unitCount} cups, and two processes that are killed`],
      ],
      [[seconds(nowMs), 'dim']],
      columns,
    ),
    blank,
    drawServices(sale),
    blank,
    ...drawBuyers(sale),
    blank,
    ...(sale.verdict ? drawVerdict(sale.verdict) : drawFigures(sale, nowMs)),
    blank,
    ...sale.events.slice(-maxEvents).map(drawEvent),
  ]
}

const drawServices = ({ services: states }: Sale): Line =>
  [...states].flatMap(([name, state]): Span[] => {
    const [text, ...styles] = services[state]
    return [[`${name} `], [text.padEnd(20 - name.length - 1), ...styles]]
  })

function drawBuyers(sale: Sale): Line[] {
  const grid: Line[] = []
  for (let at = 0; at < sale.buyers.length; at += buyersPerRow) {
    grid.push(sale.buyers.slice(at, at + buyersPerRow).map(({ state }) => buyers[state]))
  }
  const legend: [BuyerState, string][] = [
    ['bought', 'bought'],
    ['refused', 'sold out'],
    ['ordering', 'ordering'],
    ['retrying', 'retrying'],
  ]
  const counts = legend.map(([state, name]): Line => {
    const [symbol, ...styles] = buyers[state]
    return [['   '], [symbol, ...styles], [` ${String(countBuyers(sale, state)).padStart(3)} ${name}`]]
  })
  return grid.map((row, at) => joinParts([...row, ...(counts[at] ?? [])]))
}

function drawFigures(sale: Sale, nowMs: number): Line[] {
  const sold = countBuyers(sale, 'bought')
  const isKnown = sale.stock !== undefined
  const reserved = unitCount - sold - (sale.stock ?? 0)
  const forOthers = reserved > 0 ? `, and ${reserved} reserved for orders without an answer` : ''
  const unknown = sale.phase === 'preparing' ? '-' : 'unknown while product is away'
  const stock = isKnown ? `${sale.stock}${forOthers}` : unknown
  const registered = sale.buyers.filter(({ token }) => token !== '').length
  const formatMs = (part: number) => {
    const ms = percentile(sale.answers, part)
    return ms === undefined ? '-' : `${Math.round(ms).toLocaleString('en')} ms`
  }
  const again = sale.retries + sale.repeats
  return [
    [
      ['Sold     '],
      ['█'.repeat(Math.min(sold, unitCount)), 'green'],
      ['░'.repeat(Math.max(0, unitCount - sold)), 'dim'],
      [` ${sold}`],
    ],
    [['Stock    '], [stock, ...(isKnown ? [] : (['yellow'] as const))]],
    sale.phase === 'preparing'
      ? [['Buyers   '], [`${registered} registered`]]
      : [['Orders   '], [`${sale.answers.length} requests, ${again} of them sent again with the same key`]],
    [
      ['Latency  '],
      [`p50 ${formatMs(0.5)}   p99 ${formatMs(0.99)}   `],
      [latencyBars(sale.answers, nowMs), 'cyan'],
    ],
  ]
}

/** The slowest answer of each half second: one bar each. */
function latencyBars(answers: readonly Answer[], nowMs: number): string {
  const count = 36
  const slowest = Array.from({ length: count }, () => 0)
  for (const { atMs, durationMs } of answers) {
    const at = count - 1 - Math.floor((nowMs - atMs) / barWindowMs)
    if (at >= 0) slowest[at] = Math.max(slowest[at] ?? 0, durationMs)
  }
  const stepOf = (ms: number) => Math.min(1, Math.log1p(ms) / Math.log1p(fullBarMs)) * (barSteps.length - 1)
  return slowest.map((ms) => (ms === 0 ? ' ' : barSteps[Math.round(stepOf(ms))])).join('')
}

const drawVerdict = ({ promises }: NonNullable<Sale['verdict']>): Line[] =>
  promises.map(({ promise, isKept, evidence }) => [
    isKept ? ['✔ ', 'green'] : ['✖ ', 'red'],
    [promise.padEnd(30), 'bold'],
    [evidence],
  ])

const drawEvent = ({ atMs, text, kind }: SaleEvent): Line => [
  [seconds(atMs).padStart(7), 'dim'],
  ['  '],
  [text, ...events[kind]],
]
