import { proxy } from 'hono/proxy'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import { bodyLimit, maxBodyBytes, refuseIncompleteBody } from '#kernel/http/body-limit.ts'
import { createClientOf } from '#kernel/http/client-address.ts'
import { elementsOf } from '#kernel/http/header-list.ts'
import { refuseMalformedEscapes } from '#kernel/http/parameters.ts'
import { methodNotAllowed, problemResponse, routeNotFound } from '#kernel/http/problems.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import type { AnyModule } from '#kernel/module.ts'
import { crossOrigin } from '../http/cross-origin.ts'
import { securityHeaders } from '../http/security-headers.ts'

// The time for each service when any service may answer, so that a service that hangs does not delay the others for long. It is
// longer than the second that `/readyz` takes while MongoDB does not answer.
const anyServiceTimeoutMs = 1_500

/**
 * Routes requests for `npm run split`, as the ingress does in Kubernetes. A path goes to the module that has a route
 * with the same first segment. `/internal` and `/metrics` go to no module. Any other path goes to the first service
 * that answers.
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
}) {
  const { modules, urls, timeoutMs, corsOrigins, logger } = options
  const clientOf = createClientOf(options.trustedProxies)
  const urlBySegment = new Map<string, string>()
  for (const { name, api } of modules) {
    for (const { path } of Object.values(api)) urlBySegment.set(firstSegment(path), urls[name] ?? '')
  }
  const gateway = createRouter()
  gateway.use(requestContext({ timeoutMs, headers: securityHeaders, logger }))
  if (corsOrigins.length > 0) gateway.use(crossOrigin(corsOrigins))
  gateway.use(refuseMalformedEscapes)
  gateway.use(bodyLimit(maxBodyBytes))

  gateway.all('*', async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const { path } = c.req
    const segment = firstSegment(path)
    if (segment === 'internal' || segment === 'metrics') throw routeNotFound(path)
    // No route has the method TRACE, and `fetch` cannot send it. OPTIONS is sent instead, because its answer lists the
    // methods of the path.
    const isTrace = c.req.method === 'TRACE'
    const method = isTrace ? 'OPTIONS' : c.req.method
    // Only a safe method (RFC 9110, 9.2.1) may be repeated on another service.
    const isSafe = ['GET', 'HEAD', 'OPTIONS'].includes(method)
    // The gateway reads the complete body first, so that no service waits for a slow client.
    const body = isSafe ? null : await c.req.arrayBuffer().catch(refuseIncompleteBody)
    const ownerUrl = urlBySegment.get(segment)
    for (const target of ownerUrl === undefined ? Object.values(urls) : [ownerUrl]) {
      let answer: Response
      try {
        answer = await proxy(`${target}${pathname}${search}`, {
          method,
          body,
          headers: forwardedHeaders(c.req.raw.headers, {
            'x-request-id': c.get('call').requestId,
            'x-forwarded-for': clientOf(c).address,
          }),
          redirect: 'manual',
          signal: AbortSignal.timeout(ownerUrl === undefined ? anyServiceTimeoutMs : timeoutMs),
        })
      } catch (error) {
        if (c.req.raw.signal.aborted) refuseIncompleteBody()
        const { requestId } = c.get('call')
        logger.warn({ requestId, target, err: (error as Error).cause ?? error }, 'service did not answer')
        if (!isSafe) break
        continue
      }
      const allow = answer.headers.get('allow')
      if (isTrace && allow !== null) throw methodNotAllowed('TRACE', path, allow.split(', '))
      c.set('isForwarded', true)
      return answer
    }
    throw dependencyUnavailable(`the service behind /${segment} is not available`)
  })

  gateway.onError((error, c) => {
    if (error instanceof DomainError) return problemResponse(c, error)
    logger.error({ err: error }, 'unexpected error')
    return problemResponse(c, new DomainError('internal_error', 'the gateway failed'))
  })
  return gateway
}

// The header fields that belong to one connection (RFC 9110, 7.6.1), and those that `fetch` sets itself. `fetch` refuses `Expect`,
// which Node.js has answered already.
const notForwarded = [
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** The header fields that go to the service. The fields that `Connection` names belong to the client's connection only. */
function forwardedHeaders(received: Headers, added: Record<string, string>): Record<string, string> {
  const headers = new Headers(received)
  for (const name of [...notForwarded, ...elementsOf(received.get('connection') ?? '')]) {
    headers.delete(name)
  }
  return { ...Object.fromEntries(headers), ...added }
}

const firstSegment = (path: string): string => path.split('/')[1] ?? ''
