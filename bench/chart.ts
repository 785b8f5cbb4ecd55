import type { Chart } from './outcome.ts'

const width = 720
const left = 170
const right = 90
const barHeight = 22
const rowHeight = 32
const titleHeight = 34
const axisHeight = 44
const gap = 14

/** Horizontal bars, each chart with a scale of its own that begins at zero. An SVG that is readable on light and dark. */
export function drawCharts(title: string, description: string, charts: readonly Chart[]): string {
  let top = 52
  const drawn = charts.map((chart) => {
    const at = top
    top += titleHeight + chart.bars.length * rowHeight + axisHeight + gap
    return drawChart(chart, at)
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img" aria-labelledby="title description">
<title id="title">${escaped(title)}</title>
<desc id="description">${escaped(description)}</desc>
<style>
  .ground { fill: #ffffff }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 }
  .chart { font-size: 14px; font-weight: 600 }
  .quiet { font-size: 12px; fill: #59636e }
  .own { fill: #0a6b57 }
  .other { fill: #8b949e }
  line { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 }
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .own { fill: #3fb99a }
    .other { fill: #6e7681 }
    line { stroke: #3d444d }
  }
</style>
<rect class="ground" width="${width}" height="${top}"/>
<text class="title" x="16" y="32">${escaped(title)}</text>
${drawn.join('\n')}
</svg>
`
}

function drawChart({ title, unit, bars }: Chart, top: number): string {
  const step = stepOf(Math.max(...bars.map(({ value }) => value)))
  const end = step * Math.ceil(Math.max(...bars.map(({ value }) => value)) / step)
  const x = (value: number) => left + (value / end) * (width - left - right)
  const barsTop = top + titleHeight
  const bottom = barsTop + bars.length * rowHeight
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, at) => at * step)
  return [
    `<text class="chart" x="16" y="${top + 18}">${escaped(title)}</text>`,
    ...ticks.map((value) => `<line x1="${x(value)}" x2="${x(value)}" y1="${barsTop}" y2="${bottom}"/>`),
    ...ticks.map(
      (value) =>
        `<text class="quiet" x="${x(value)}" y="${bottom + 16}" text-anchor="middle">${shown(value)}</text>`,
    ),
    `<text class="quiet" x="${(left + width - right) / 2}" y="${bottom + 33}" text-anchor="middle">${escaped(unit)}</text>`,
    ...bars.flatMap(({ label, value }, at) => {
      const y = barsTop + at * rowHeight + (rowHeight - barHeight) / 2
      const middle = y + barHeight / 2 + 4.5
      return [
        `<text x="${left - 10}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
        `<rect class="${at === 0 ? 'own' : 'other'}" x="${left}" y="${y}" width="${(x(value) - left).toFixed(1)}" height="${barHeight}"/>`,
        `<text x="${(x(value) + 8).toFixed(1)}" y="${middle}">${shown(value)}</text>`,
      ]
    }),
  ].join('\n')
}

/** 1, 2 or 5 times a power of ten, so that there are four to ten of them. */
function stepOf(most: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1) / 4))
  return power * ([1, 2, 5, 10].find((factor) => most / (power * factor) <= 6) ?? 10)
}

const shown = (value: number) => Math.round(value).toLocaleString('en')

const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
