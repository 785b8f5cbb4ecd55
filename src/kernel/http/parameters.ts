import { excerpt, validationFailed } from '#kernel/errors.ts'
import type { RequestCheck } from './request-checks.ts'

/** The maximum number of query parameters. No route has so many, so that a longer query is refused. */
export const maxQueryParameters = 100

/**
 * Reads the parameters of a query. A parameter that is given several times has a list of values.
 * @returns `isComplete`: false if there are too many parameters. Then `values` has only the first ones
 */
export function readQuery(url: string): { values: Record<string, string | string[]>; isComplete: boolean } {
  const start = url.indexOf('?')
  if (start === -1) return { values: {}, isComplete: true }
  const pairs = url.slice(start + 1).split('&', maxQueryParameters + 1)
  const isComplete = pairs.length <= maxQueryParameters
  const values = new Map<string, string | string[]>()
  for (const [name, value] of new URLSearchParams(pairs.slice(0, maxQueryParameters).join('&'))) {
    const known = values.get(name)
    values.set(name, known === undefined ? value : [known, value].flat())
  }
  return { values: Object.fromEntries(values), isComplete }
}

/**
 * Refuses a path or query whose percent-escapes are not valid UTF-8 (RFC 3986, section 2.5), because its characters are unknown.
 */
export const refuseMalformedEscapes: RequestCheck = (c) => {
  const { url } = c.req
  if (url.includes('%') && !isDecodable(url)) {
    const [path = '', ...query] = url.split('?')
    const pair = isDecodable(path)
      ? query
          .join('?')
          .split('&')
          .find((each) => !isDecodable(each))
      : undefined
    throw validationFailed({
      parameter: pair === undefined ? 'path' : excerpt(pair.split('=')[0] ?? '', 40),
      code: 'format',
      message: 'must have only percent-escapes of UTF-8, such as %C3%A9',
    })
  }
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
