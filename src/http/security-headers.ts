import type { MiddlewareHandler } from 'hono'
import { respond } from '#kernel/http/respond.ts'
import type { AppEnv } from '#kernel/http/router.ts'

/**
 * What browsers may do with the answers: as good as nothing (OWASP HTTP Headers Cheat Sheet; HSTS for a year, as OWASP
 * ASVS 5, 3.4.1, asks).
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
}

/** The content security policy of a page with scripts, styles and images of its own, and nothing inline. */
export const ownPagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

// What a page may send beyond what browsers let it send anyway, the W3C's headers of traces included.
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

// What a page may read beyond what browsers let it read anyway.
const exposedHeaders = [
  'Allow',
  'ETag',
  'Idempotent-Replayed',
  'Location',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ')

const preflightHeaders = {
  'access-control-allow-headers': allowedHeaders,
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE',
  'access-control-max-age': '600',
}

/**
 * Lets pages of these origins, and of no others, call the API with a token of theirs; never with cookies. Hono's own
 * `cors` would answer every OPTIONS without asking the route, and leave `Vary` out of an answer that came too late.
 */
export const crossOrigin =
  (origins: readonly string[]): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const origin = c.req.header('Origin')
    const isLetIn = origin !== undefined && origins.includes(origin)
    Object.assign(c.get('headers'), {
      vary: 'Origin',
      ...(isLetIn && {
        'access-control-allow-origin': origin,
        'access-control-expose-headers': exposedHeaders,
      }),
    })
    await next()
    const isPreflight =
      c.req.method === 'OPTIONS' && c.req.header('Access-Control-Request-Method') !== undefined
    if (!isPreflight || !isLetIn) return
    // It succeeds where the route is missing or fails, too: only then may the page read the answer that says so.
    const allow = c.res.headers.get('allow')
    c.res = undefined
    c.res = respond(c, null, 204, { ...preflightHeaders, ...(allow !== null && { allow }) })
  }
