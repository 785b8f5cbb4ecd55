import { cutLine, type Line, plain, type Style } from './lines.ts'

// A multiple of the time in which the view is drawn again.
const frameMs = 300
/** The time for which the last frame stays before the picture begins again. */
const lastFrameMs = 8_000
// In pixels.
const fontSize = 14
const lineHeight = 19
const characterWidth = 8.43
const padding = 16

const colors: Record<Style, string> = {
  bold: 'font-weight="bold"',
  dim: 'fill="#7d8590"',
  green: 'fill="#3fb950"',
  yellow: 'fill="#d29922"',
  red: 'fill="#f85149"',
  cyan: 'fill="#58a6ff"',
}

/** Collects what a terminal shows, and makes an animated SVG of it that needs no JavaScript. */
export function createRecording(size: { columns: number; rows: number }) {
  const frames: string[] = []
  const lines = new Map<string, string>()
  let lastAtMs = Number.NEGATIVE_INFINITY

  /** The id of a line. Equal lines are stored once. */
  const idOf = (line: Line): string => {
    const text = line.map(toSpan).join('')
    const known = lines.get(text)
    if (known !== undefined) return known
    const id = `l${lines.size}`
    lines.set(text, id)
    return id
  }

  const toFrame = (shown: readonly Line[]): string =>
    shown
      .map((line) => cutLine(line, size.columns))
      .map((line, row) =>
        plain(line).trim() === '' ? '' : `<use href="#${idOf(line)}" y="${row * lineHeight}"/>`,
      )
      .join('')

  return {
    /** Adds what is shown now, unless the last frame is too young. */
    add(shown: readonly Line[], atMs: number, isLast = false): void {
      // A timer may be a little early.
      if (!isLast && atMs - lastAtMs < frameMs - 10) return
      lastAtMs = atMs
      frames.push(toFrame(shown))
    },

    toSvg(title: string): string {
      const width = Math.ceil(size.columns * characterWidth + 2 * padding)
      const height = size.rows * lineHeight + 2 * padding
      const totalMs = frames.length * frameMs + lastFrameMs
      // Each frame is one picture of a film strip, which moves up by a whole picture at a time.
      const steps = frames.map(
        (_, at) => `${((100 * at * frameMs) / totalMs).toFixed(3)}%{transform:translateY(${-at * height}px)}`,
      )
      const definitions = [...lines].map(([text, id]) => `<text id="${id}">${text}</text>`)
      const strip = frames.map(
        (frame, at) =>
          `<g transform="translate(${padding} ${at * height + padding + fontSize})">${frame}</g>`,
      )
      const last = `translateY(${-(frames.length - 1) * height}px)`
      return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escapeXml(title)}</title>
<style>
text{font:${fontSize}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#e6edf3;white-space:pre}
.strip{transform:${last};animation:play ${totalMs}ms step-end infinite}
@keyframes play{${steps.join('')}100%{transform:${last}}}
@media(prefers-reduced-motion){.strip{animation:none}}
</style>
<defs>
${definitions.join('\n')}
</defs>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
<g class="strip">
${strip.join('\n')}
</g>
</svg>
`
    },
  }
}

function toSpan([text, ...styles]: Line[number], at: number, line: Line): string {
  const column = line.slice(0, at).reduce((sum, [before]) => sum + before.length, 0)
  if (text.trim() === '') return ''
  const attributes = styles.map((style) => ` ${colors[style]}`).join('')
  // The length keeps the columns aligned with any font.
  const length = `textLength="${(text.length * characterWidth).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`
  return `<tspan x="${(column * characterWidth).toFixed(1)}" ${length}${attributes}>${escapeXml(text)}</tspan>`
}

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
