import { Hono, type MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { secureHeaders } from 'hono/secure-headers'

/** What browsers may do with the answers: as good as nothing. A handler's own header of the same name stays. */
export const securityHeaders = (): MiddlewareHandler =>
  secureHeaders({
    overwrite: false,
    contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    xFrameOptions: 'DENY',
    // A year, as OWASP ASVS 5 (3.4.1) asks.
    strictTransportSecurity: 'max-age=31536000; includeSubDomains',
  })

/** The same for answers that no application makes. */
export async function bareSecurityHeaders(): Promise<Readonly<Record<string, string>>> {
  const app = new Hono()
  app.get('/', securityHeaders(), (c) => c.body(null, 204))
  return Object.fromEntries((await app.request('/')).headers)
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

/** Lets pages of these origins, and of no others, call the API with a token of theirs; never with cookies. */
export const crossOrigin = (origins: readonly string[]): MiddlewareHandler =>
  cors({
    origin: [...origins],
    allowHeaders: [
      'Authorization',
      'Content-Type',
      'Idempotency-Key',
      'If-Match',
      'If-None-Match',
      'X-Request-Id',
    ],
    allowMethods: ['GET', 'POST', 'PUT', 'DELETE'],
    exposeHeaders: ['ETag', 'Location', 'Idempotent-Replayed', 'Retry-After', 'X-Request-Id'],
    maxAge: 600,
  })
