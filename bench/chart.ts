import type { Chart } from './scenario.ts'

// All lengths are in pixels.
const width = 720
const leftMargin = 170
const rightMargin = 90
const headerHeight = 52
const barHeight = 22
const rowHeight = 32
const titleHeight = 34
const axisHeight = 44
const gap = 14

/** Draws charts of horizontal bars as one SVG for light and dark pages. Each chart has its own scale, which begins at zero. */
export function drawCharts(title: string, description: string, charts: readonly Chart[]): string {
  let top = headerHeight
  const drawings = charts.map((chart) => {
    const chartTop = top
    top += titleHeight + chart.bars.length * rowHeight + axisHeight + gap
    return drawChart(chart, chartTop)
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img" aria-labelledby="title description">
<title id="title">${escapeXml(title)}</title>
<desc id="description">${escapeXml(description)}</desc>
<style>
  .background { fill: #ffffff }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 }
  .chart { font-size: 14px; font-weight: 600 }
  .muted { font-size: 12px; fill: #59636e }
  .trivet { fill: #0a6b57 }
  .peer { fill: #8b949e }
  line { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    .background { fill: #0d1117 }
    text { fill: #f0f6fc }
    .muted { fill: #9198a1 }
    .trivet { fill: #3fb99a }
    .peer { fill: #6e7681 }
    line { stroke: #3d444d }
  }
</style>
<rect class="background" width="${width}" height="${top}"/>
<text class="title" x="16" y="32">${escapeXml(title)}</text>
${drawings.join('\n')}
</svg>
`
}

function drawChart({ title, unit, bars }: Chart, top: number): string {
  const max = Math.max(...bars.map(({ value }) => value))
  const step = tickStep(max)
  const end = step * Math.ceil(max / step)
  const x = (value: number) => leftMargin + (value / end) * (width - leftMargin - rightMargin)
  const barsTop = top + titleHeight
  const bottom = barsTop + bars.length * rowHeight
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, index) => index * step)
  return [
    `<text class="chart" x="16" y="${top + 18}">${escapeXml(title)}</text>`,
    ...ticks.map((value) => `<line x1="${x(value)}" x2="${x(value)}" y1="${barsTop}" y2="${bottom}"/>`),
    ...ticks.map(
      (value) =>
        `<text class="muted" x="${x(value)}" y="${bottom + 16}" text-anchor="middle">${formatValue(value)}</text>`,
    ),
    `<text class="muted" x="${(leftMargin + width - rightMargin) / 2}" y="${bottom + 33}" text-anchor="middle">${escapeXml(unit)}</text>`,
    ...bars.flatMap(({ label, value }, index) => {
      const y = barsTop + index * rowHeight + (rowHeight - barHeight) / 2
      const textY = y + barHeight / 2 + 4.5
      return [
        `<text x="${leftMargin - 10}" y="${textY}" text-anchor="end">${escapeXml(label)}</text>`,
        `<rect class="${index === 0 ? 'trivet' : 'peer'}" x="${leftMargin}" y="${y}" width="${(x(value) - leftMargin).toFixed(1)}" height="${barHeight}"/>`,
        `<text x="${(x(value) + 8).toFixed(1)}" y="${textY}">${formatValue(value)}</text>`,
      ]
    }),
  ].join('\n')
}

/** @returns the distance of the ticks: 1, 2 or 5 times a power of ten */
function tickStep(max: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(max, 1) / 4))
  return power * ([1, 2, 5, 10].find((factor) => max / (power * factor) <= 6) ?? 10)
}

const formatValue = (value: number) => Math.round(value).toLocaleString('en')

const escapeXml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
