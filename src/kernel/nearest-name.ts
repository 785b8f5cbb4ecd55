import { distance } from 'fastest-levenshtein'

// No longer text resembles a name, because all names are shorter. Computing its distance would only cost time.
const maxLength = 40

/** Finds the name that was probably meant: at most one letter in three differs, or the name begins with the written text. */
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
