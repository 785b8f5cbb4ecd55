import { distance } from 'fastest-levenshtein'

// Names are short: the distance of a text that is much longer than any of them would only cost time.
const maxLength = 40

/** The name that was probably meant: one letter in three differs at most, or the name begins with what was written. */
export function nearestName(written: string, names: readonly string[]): string | undefined {
  if (written.length > maxLength) return undefined
  const lowerCase = written.toLowerCase()
  const near = names
    .map((name) => ({ name, away: distance(lowerCase, name.toLowerCase()) }))
    .filter(({ name, away }) => away <= Math.max(1, Math.floor(Math.min(name.length, lowerCase.length) / 3)))
    .sort((one, other) => one.away - other.away)
  const isBeginning = (name: string) => lowerCase.length >= 3 && name.toLowerCase().startsWith(lowerCase)
  return near[0]?.name ?? names.find(isBeginning)
}
