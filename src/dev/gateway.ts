import { proxy } from 'hono/proxy'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import { bodyBound, bodyLimit, cutShort } from '#kernel/http/body-limit.ts'
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

// Of several services that would do, one that hangs must not keep the others from answering. Longer than the second that
// `/readyz` takes while MongoDB does not answer.
const anyServiceWithinMs = 1_500

/**
 * What the ingress does, for `npm run split`: each path to the module whose routes begin like it, anything else to
 * whichever service answers, and nothing to `/internal` and `/metrics`.
 */
export function createGateway(options: {
  modules: readonly AnyModule[]
  /** Where each module answers, by name. */
  urls: Readonly<Record<string, string>>
  /** The time for a whole answer: more than a service itself may take. */
  timeoutMs: number
  /** Whose `X-Forwarded-For` counts here; the services need only trust this front. */
  trustedProxies: readonly string[]
  /** Answered here, so that a browser can read the front's own errors too: the services have none. */
  corsOrigins: readonly string[]
  logger: Logger
}) {
  const { modules, urls, timeoutMs, corsOrigins, logger } = options
  const clientOf = createClientOf(options.trustedProxies)
  const owners = new Map<string, string>()
  for (const { name, api } of modules) {
    for (const { path } of Object.values(api)) owners.set(firstSegment(path), urls[name] ?? '')
  }
  const front = createRouter()
  front.use(requestContext({ timeoutMs, headers: securityHeaders, logger }))
  if (corsOrigins.length > 0) front.use(crossOrigin(corsOrigins))
  front.use(refuseMalformedEscapes)
  front.use(bodyLimit(bodyBound))

  front.all('*', async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const { path } = c.req
    const segment = firstSegment(path)
    if (segment === 'internal' || segment === 'metrics') throw routeNotFound(path)
    // `fetch` does not send TRACE, which no path has: what the path has instead, the answer to OPTIONS says.
    const isTrace = c.req.method === 'TRACE'
    const method = isTrace ? 'OPTIONS' : c.req.method
    // Only a safe method (RFC 9110, 9.2.1) is tried again on the next service.
    const isSafe = ['GET', 'HEAD', 'OPTIONS'].includes(method)
    // As a whole before any service hears of it: a service is not to wait for a client that is slow.
    const body = isSafe ? null : await c.req.arrayBuffer().catch(cutShort)
    const owner = owners.get(segment)
    for (const target of owner === undefined ? Object.values(urls) : [owner]) {
      let answer: Response
      try {
        answer = await proxy(`${target}${pathname}${search}`, {
          method,
          body,
          headers: endToEnd(c.req.raw.headers, {
            'x-request-id': c.get('call').requestId,
            'x-forwarded-for': clientOf(c).address,
          }),
          redirect: 'manual',
          signal: AbortSignal.timeout(owner === undefined ? anyServiceWithinMs : timeoutMs),
        })
      } catch (error) {
        if (c.req.raw.signal.aborted) cutShort()
        const { requestId } = c.get('call')
        logger.warn({ requestId, target, err: (error as Error).cause ?? error }, 'no answer')
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

  front.onError((error, c) => {
    if (error instanceof DomainError) return problemResponse(c, error)
    logger.error({ err: error }, 'unexpected error')
    return problemResponse(c, new DomainError('internal_error', 'the front failed'))
  })
  return front
}

// RFC 9110, 7.6.1; `Expect`, which this server has answered by reading the body; and what `fetch` sets by itself.
const hopByHop = [
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

function endToEnd(received: Headers, added: Record<string, string>): Record<string, string> {
  const headers = new Headers(received)
  for (const name of [...hopByHop, ...elementsOf(received.get('connection') ?? '')]) {
    headers.delete(name)
  }
  return { ...Object.fromEntries(headers), ...added }
}

const firstSegment = (path: string): string => path.split('/')[1] ?? ''
