import type { MiddlewareHandler } from 'hono'
import type { AppEnv } from '#kernel/http/app-env.ts'
import { respond } from '#kernel/http/respond.ts'

// The request headers that a page may send in addition to those that browsers always allow. They include the W3C trace headers.
const allowedHeaders = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-None-Match',
  'X-Request-Id',
  'traceparent',
  'tracestate',
  'baggage',
].join(', ')

// The response headers that a page may read in addition to those that browsers always expose.
const exposedHeaders = [
  'Accept-Patch',
  'Allow',
  'ETag',
  'Idempotent-Replayed',
  'Location',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ')

const preflightHeaders = {
  'access-control-allow-headers': allowedHeaders,
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
  'access-control-max-age': '600',
}

/** The header fields of an answer to a page of this origin. */
export const crossOriginHeaders = (
  origins: readonly string[],
  origin: string | undefined,
): Record<string, string> => ({
  vary: 'Origin',
  ...(origin !== undefined &&
    origins.includes(origin) && {
      'access-control-allow-origin': origin,
      'access-control-expose-headers': exposedHeaders,
    }),
})

/**
 * Allows the pages of these origins to call the API with an access token, never with cookies. Hono's own `cors` is not
 * used: it answers every OPTIONS request before a route can, and omits `Vary` from an answer that is sent at the
 * deadline.
 */
export const crossOrigin =
  (origins: readonly string[]): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const origin = c.req.header('Origin')
    const isAllowed = origin !== undefined && origins.includes(origin)
    Object.assign(c.get('headers'), crossOriginHeaders(origins, origin))
    await next()
    const isPreflight =
      c.req.method === 'OPTIONS' && c.req.header('Access-Control-Request-Method') !== undefined
    if (!isPreflight || !isAllowed) return
    // A preflight succeeds even where the route is missing or fails, so that the page can read the answer of the real request.
    const kept = ['allow', 'accept-patch'].flatMap((name) => {
      const value = c.res.headers.get(name)
      return value === null ? [] : [[name, value]]
    })
    c.res = undefined
    c.res = respond(c, null, 204, { ...preflightHeaders, ...Object.fromEntries(kept) })
  }
