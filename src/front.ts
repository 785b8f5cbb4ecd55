import { proxy } from 'hono/proxy'
import { DomainError, dependencyUnavailable } from './kernel/errors.ts'
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
  logger: Logger
}) {
  const { modules, urls, timeout, logger } = options
  const owners = new Map<string, string>()
  for (const { name, api } of modules) {
    for (const { path } of Object.values(api)) owners.set(firstSegment(path), urls[name] ?? '')
  }
  const front = createRouter()
  front.use(requestContext({ timeout, logger }))

  front.all('*', async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const segment = firstSegment(pathname)
    if (segment === 'internal' || segment === 'metrics') {
      throw new DomainError('route_not_found', `${pathname}: there is no such route`)
    }
    const owner = owners.get(segment)
    for (const target of owner === undefined ? Object.values(urls) : [owner]) {
      try {
        return await proxy(`${target}${pathname}${search}`, {
          raw: c.req.raw,
          headers: { ...c.req.header(), 'X-Request-Id': c.get('call').requestId },
          redirect: 'manual',
        })
      } catch (error) {
        logger.warn({ target, error: String((error as Error).cause ?? error) }, 'no answer')
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

const firstSegment = (path: string): string => path.split('/')[1] ?? ''
