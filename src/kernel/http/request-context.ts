import { randomUUID } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { type Call, requestIdFormat, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { AppEnv } from './router.ts'

// W3C Trace Context: version, trace id, parent id, flags.
const traceparentFormat = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

// Work that keeps to the deadline answers by itself, with what it knows; this is for what does not.
const graceMs = 250

/**
 * Gives every request its call (deadline, request id, trace) and its log line, every answer the `headers` that all of
 * them carry (by lower-case names; a handler's own of the same name stays). Ends what is not answered `timeoutMs`
 * after it came: with 408 if the client is still sending its body, with 503 otherwise.
 */
export function requestContext(options: {
  timeoutMs: number
  headers?: Readonly<Record<string, string>>
  logger: Logger
}): MiddlewareHandler<AppEnv> {
  const { timeoutMs, headers, logger } = options
  return async (c, next) => {
    const started = performance.now()
    const given = c.req.header('X-Request-Id') ?? ''
    const traceparent = c.req.header('traceparent') ?? ''
    const call: Call = {
      deadline: Date.now() + timeoutMs,
      requestId: requestIdFormat.test(given) ? given : randomUUID(),
      ...(traceparentFormat.test(traceparent) && { traceparent }),
    }
    c.set('call', call)
    c.set('headers', { ...headers, 'x-request-id': call.requestId })
    try {
      await waitUntilDeadline({ ...call, deadline: call.deadline + graceMs }, 'the request', next())
    } catch (error) {
      const line = { requestId: call.requestId, method: c.req.method, path: c.req.path, timeoutMs }
      if (isAwaitingBody(c)) {
        logger.info(line, 'the client did not send its request in time')
        c.get('headers').connection = 'close'
        throw new DomainError(
          'request_timeout',
          'the body must arrive before the time for the request is over',
        )
      }
      logger.error(line, 'request timed out')
      throw error
    }
    completeHeaders(c)
    const line = {
      requestId: call.requestId,
      traceparent: call.traceparent,
      method: c.req.method,
      path: c.req.path,
      status: c.res.status,
      ms: Math.round((performance.now() - started) * 10) / 10,
    }
    logger[levelOf(c)](line, 'request')
  }
}

/**
 * A probe that is refused tells of a start or an end, which is no error. One that succeeds is logged with the level
 * `debug`. What a gateway passes on is logged as an error by the service that answered.
 */
function levelOf(c: Context<AppEnv>): 'debug' | 'info' | 'error' {
  const failed = c.res.status >= 500
  if (c.get('probe')) return failed ? 'info' : 'debug'
  return failed && !c.get('isForwarded') ? 'error' : 'info'
}

/** Whether a body is being read whose end the client has not sent yet. */
function isAwaitingBody(c: Context<AppEnv>): boolean {
  const { incoming } = (c.env ?? {}) as Partial<HttpBindings>
  return incoming !== undefined && incoming.readableFlowing === true && !incoming.complete
}

/** For an answer that was not made by `respond`. */
function completeHeaders(c: Context<AppEnv>): void {
  if (c.res === c.get('response')) return
  for (const [name, value] of Object.entries(c.get('headers'))) {
    if (!c.res.headers.has(name)) c.res.headers.set(name, value)
  }
}
