import type { MiddlewareHandler } from 'hono'
import { excerpt, validationFailed } from '#kernel/errors.ts'
import type { AppEnv } from './app-env.ts'

/** Parameters of a query that are looked at. No route has as many, so that more of them are a fault in any case. */
export const queryBound = 100

/** The parameters of a query. One that is given several times has all its values. */
export function queryOf(url: string): { values: Record<string, string | string[]>; isWhole: boolean } {
  const start = url.indexOf('?')
  if (start === -1) return { values: {}, isWhole: true }
  const pairs = url.slice(start + 1).split('&', queryBound + 1)
  const isWhole = pairs.length <= queryBound
  const values = new Map<string, string | string[]>()
  for (const [name, value] of new URLSearchParams(pairs.slice(0, queryBound).join('&'))) {
    const known = values.get(name)
    values.set(name, known === undefined ? value : [known, value].flat())
  }
  return { values: Object.fromEntries(values), isWhole }
}

/**
 * Refuses paths and queries whose percent-escapes are not those of UTF-8 (RFC 3986, 2.5): no reader can know which
 * characters they mean.
 */
export const refuseMalformedEscapes: MiddlewareHandler<AppEnv> = (c, next) => {
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
      message: 'must have percent-escapes of UTF-8 and no others, such as %C3%A9',
    })
  }
  return next()
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
