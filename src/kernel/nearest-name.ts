import { distance } from 'fastest-levenshtein'

/** A longer one is no slip of the keyboard, and its distance takes long to compute. */
const longestName = 64

/** The name that was probably meant: of those that differ in a third of their letters at most, the one that differs least. */
export function nearestName(given: string, names: Iterable<string>): string | undefined {
  if (given.length > longestName) return undefined
  const [nearest] = [...names]
    .map((name) => ({ name, differs: distance(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, differs }) => differs <= Math.ceil(name.length / 3))
    .sort((one, other) => one.differs - other.differs)
  return nearest?.name
}
