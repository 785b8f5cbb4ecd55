import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan'
export type Span = readonly [text: string, ...styles: Style[]]
/** A line of text, in parts that look different. */
export type Line = readonly Span[]

export const lengthOf = (line: Line): number => line.reduce((sum, [text]) => sum + text.length, 0)

/** Cuts a line off after so many columns. Each character has one column. */
export function cutLine(line: Line, columns: number): Line {
  let left = columns
  return line.flatMap(([text, ...styles]): Span[] => {
    const shown = text.slice(0, Math.max(0, left))
    left -= shown.length
    return shown === '' ? [] : [[shown, ...styles]]
  })
}

/** Joins neighbouring parts that look alike, so that a terminal gets fewer escape sequences. */
export function joinParts(line: Line): Line {
  const joined: Span[] = []
  for (const span of line) {
    const [text, ...styles] = span
    const last = joined.at(-1)
    if (last && last.slice(1).join() === styles.join())
      joined[joined.length - 1] = [last[0] + text, ...styles]
    else joined.push(span)
  }
  return joined
}

/** Puts the second line at the right end of so many columns. */
export const justify = (left: Line, right: Line, columns: number): Line => [
  ...left,
  [' '.repeat(Math.max(1, columns - lengthOf(left) - lengthOf(right)))],
  ...right,
]

/** The line with the escape sequences of a terminal. */
export const styled = (line: Line): string =>
  line.map(([text, ...styles]) => (styles.length === 0 ? text : styleText(styles, text))).join('')

export const plain = (line: Line): string => line.map(([text]) => text).join('')
