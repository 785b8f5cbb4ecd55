import { parseAccept } from 'hono/utils/accept'

/**
 * Returns the media type that a client prefers by its header Accept (RFC 9110, 12.5.1): the one with the highest quality, among
 * equal ones the one that the client names most precisely, and then the first. If the client accepts none of them, it is the
 * first one, because a readable answer helps more than an error.
 */
export function preferredType<Type extends string>(
  accept: string | undefined,
  types: readonly [Type, ...Type[]],
): Type {
  const qualities = new Map(parseAccept(accept ?? '').map(({ type, q }) => [type.toLowerCase(), q]))
  const rank = (type: string): number => {
    const names = ['*/*', `${type.split('/')[0]}/*`, type]
    const precision = names.findLastIndex((name) => qualities.has(name))
    // A quality has at most three decimal places, so that the precision decides only between equal ones.
    return (qualities.get(names[precision] ?? '') ?? 0) * 10_000 + precision
  }
  return types.toSorted((one, other) => rank(other) - rank(one))[0] as Type
}
