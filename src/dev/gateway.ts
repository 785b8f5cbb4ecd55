import { dependencyUnavailable } from '#kernel/errors.ts'
import { bodyLimit, maxBodyBytes, refuseIncompleteBody } from '#kernel/http/body-limit.ts'
import { createClientOf } from '#kernel/http/client-address.ts'
import { refuseMalformedEscapes } from '#kernel/http/parameters.ts'
import { failureResponse, routeNotFound } from '#kernel/http/problem-documents.ts'
import { checkRequests } from '#kernel/http/request-checks.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import type { AnyModule } from '#kernel/module.ts'
import type { Tracing } from '#kernel/span.ts'
import { inSpan } from '#kernel/tracing.ts'
import { crossOrigin } from '../http/cross-origin.ts'
import { healthRoutes } from '../http/health-routes.ts'
import { securityHeaders } from '../http/security-headers.ts'
import { forward, withoutConnectionFields } from './forward.ts'
import { servicesReadiness } from './services-readiness.ts'

// The time for each service when any service may answer, so that a service that hangs does not delay the others for long.
const anyServiceTimeoutMs = 1_500

/**
 * Routes requests for `npm run split`, as the ingress does in Kubernetes. A path goes to the module that has a route
 * with the same first segment. `/internal` and `/metrics` go to no module. The gateway answers `/healthz` and `/readyz`
 * itself. Any other path goes to the first service that answers.
 */
export function createGateway(options: {
  modules: readonly AnyModule[]
  /** The URL of each module, by name. */
  urls: Readonly<Record<string, string>>
  /** The timeout of an answer. It must be longer than the request timeout of the services. */
  timeoutMs: number
  /** The proxies whose `X-Forwarded-For` the gateway trusts. The services trust the gateway only. */
  trustedProxies: readonly string[]
  /** The origins whose pages may call the API. The gateway answers them, so that a page can read its errors too. */
  corsOrigins: readonly string[]
  logger: Logger
  tracing?: Tracing | undefined
}) {
  const { modules, urls, timeoutMs, corsOrigins, logger, tracing } = options
  const clientOf = createClientOf(options.trustedProxies)
  const urlBySegment = new Map<string, string>()
  for (const { name, api } of modules) {
    for (const { path } of Object.values(api)) urlBySegment.set(firstSegment(path), urls[name] ?? '')
  }
  const gateway = createRouter()
  gateway.use(requestContext({ timeoutMs, headers: securityHeaders, logger, tracing }))
  if (corsOrigins.length > 0) gateway.use(crossOrigin(corsOrigins))
  gateway.use(checkRequests(refuseMalformedEscapes, bodyLimit(maxBodyBytes)))

  gateway.route('/', healthRoutes(servicesReadiness(urls)))

  gateway.all('*', async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const { path } = c.req
    const segment = firstSegment(path)
    if (segment === 'internal' || segment === 'metrics') throw routeNotFound(path)
    const { method } = c.req
    // Only a safe method (RFC 9110, 9.2.1) may be repeated on another service.
    const isSafe = ['GET', 'HEAD', 'OPTIONS', 'TRACE'].includes(method)
    // The gateway reads the complete body first, so that no service waits for a slow client.
    const body = isSafe ? null : new Uint8Array(await c.req.arrayBuffer().catch(refuseIncompleteBody))
    const headers = withoutConnectionFields(c.req.raw.headers, ...setByNode)
    headers.set('x-request-id', c.get('call').requestId)
    headers.set('x-forwarded-for', clientOf(c).address)
    const ownerUrl = urlBySegment.get(segment)
    let failure: unknown
    for (const target of ownerUrl === undefined ? Object.values(urls) : [ownerUrl]) {
      const signal = AbortSignal.timeout(ownerUrl === undefined ? anyServiceTimeoutMs : timeoutMs)
      try {
        const answer = await inSpan(
          c.get('call'),
          'forward',
          { kind: 'client', attributes: { 'url.full': target } },
          (within) => {
            if (within.traceparent !== undefined) headers.set('traceparent', within.traceparent)
            return forward(`${target}${pathname}${search}`, { method, body, headers, signal })
          },
        )
        c.set('isForwarded', true)
        return answer
      } catch (error) {
        if (c.req.raw.signal.aborted) refuseIncompleteBody()
        failure = error
        if (!isSafe) break
        const line = { requestId: c.get('call').requestId, target, err: error }
        if (ownerUrl === undefined) logger.repeatable(target, 'warn', line, 'service did not answer')
      }
    }
    throw dependencyUnavailable(`/${segment} is not available`, failure)
  })

  gateway.onError((error, c) => failureResponse(c, error))
  return gateway
}

// The header fields that Node.js sets itself, and `Expect`, which it has answered already.
const setByNode = ['content-length', 'expect', 'host']

const firstSegment = (path: string): string => path.split('/')[1] ?? ''
