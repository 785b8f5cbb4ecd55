import { proxy } from 'hono/proxy'
import { crossOrigin, securityHeaders } from './browser-policy.ts'
import { bodyBound, bodyLimit, cutShort } from './kernel/body-limit.ts'
import { createClientOf } from './kernel/client-address.ts'
import { DomainError, dependencyUnavailable } from './kernel/errors.ts'
import { elementsOf } from './kernel/header-list.ts'
import { problemResponse } from './kernel/http-errors.ts'
import type { Logger } from './kernel/logger.ts'
import type { AnyModule } from './kernel/module.ts'
import { requestContext } from './kernel/request-context.ts'
import { createRouter } from './kernel/router.ts'

/**
 * What the ingress does, for `npm run split`: each path to the module whose routes begin like it, anything else to
 * whichever service answers, and nothing to `/internal` and `/metrics`.
 */
export function createFront(options: {
  modules: readonly AnyModule[]
  /** Where each module answers, by name. */
  urls: Readonly<Record<string, string>>
  /** Milliseconds for a whole answer: more than a service itself may take. */
  timeout: number
  /** Whose `X-Forwarded-For` counts here; the services need only trust this front. */
  trustedProxies: readonly string[]
  /** Answered here, so that a browser can read the front's own errors too: the services have none. */
  corsOrigins: readonly string[]
  logger: Logger
}) {
  const { modules, urls, timeout, corsOrigins, logger } = options
  const clientOf = createClientOf(options.trustedProxies)
  const owners = new Map<string, string>()
  for (const { name, api } of modules) {
    for (const { path } of Object.values(api)) owners.set(firstSegment(path), urls[name] ?? '')
  }
  const front = createRouter()
  front.use(requestContext({ timeout, headers: securityHeaders, logger }))
  if (corsOrigins.length > 0) front.use(crossOrigin(corsOrigins))
  front.use(bodyLimit(bodyBound))

  front.all('*', async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const segment = firstSegment(c.req.path)
    // A body can be sent once: only what has none goes on to the next service.
    const repeatable = c.req.method === 'GET' || c.req.method === 'HEAD'
    if (segment === 'internal' || segment === 'metrics') {
      throw new DomainError('route_not_found', `${pathname}: there is no such route`)
    }
    if (!methods.includes(c.req.method)) {
      c.get('headers').allow = methods.join(', ')
      throw new DomainError('method_not_allowed', `${c.req.method}: no route has it`, { allowed: methods })
    }
    const owner = owners.get(segment)
    for (const target of owner === undefined ? Object.values(urls) : [owner]) {
      try {
        return await proxy(`${target}${pathname}${search}`, {
          raw: c.req.raw,
          headers: endToEnd(c.req.raw.headers, {
            'x-request-id': c.get('call').requestId,
            'x-forwarded-for': clientOf(c).address,
          }),
          redirect: 'manual',
          // Of several that would do, one that hangs must not keep the others from answering.
          signal: AbortSignal.timeout(owner === undefined ? 1_000 : timeout),
        })
      } catch (error) {
        if (c.req.raw.signal.aborted) cutShort()
        logger.warn({ target, error: String((error as Error).cause ?? error) }, 'no answer')
        if (!repeatable) break
      }
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

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']

// RFC 9110, 7.6.1; and `Expect`, which this server has answered by reading the body.
const hopByHop = ['connection', 'expect', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']

function endToEnd(received: Headers, added: Record<string, string>): Record<string, string> {
  const headers = new Headers(received)
  for (const name of [...hopByHop, ...elementsOf(received.get('connection') ?? '')]) {
    headers.delete(name)
  }
  return { ...Object.fromEntries(headers), ...added }
}

const firstSegment = (path: string): string => path.split('/')[1] ?? ''
