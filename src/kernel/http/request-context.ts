import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { type Call, requestIdFrom, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AppEnv } from './app-env.ts'
import { createRequestMetrics } from './request-metrics.ts'

// W3C Trace Context: version, trace id, parent id, flags.
const traceparentFormat = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

// The time after the deadline in which a handler can still answer with a precise error. Afterwards the answer is a
// general 503.
const graceMs = 250

/**
 * Creates the call of each request (deadline, request id, trace), logs one line per request, and adds `headers` to each answer.
 * `headers` has lower-case names; a handler may set another value. A request that has no answer after `timeoutMs` gets 408 if the
 * client is still sending its body, and 503 otherwise.
 */
export function requestContext(options: {
  timeoutMs: number
  headers?: Readonly<Record<string, string>>
  logger: Logger
  /** Gets the duration of each request, if given. */
  metrics?: Metrics
}): MiddlewareHandler<AppEnv> {
  const { timeoutMs, headers, logger, metrics } = options
  const record = metrics && createRequestMetrics(metrics)
  return async (c, next) => {
    const started = performance.now()
    const traceparent = c.req.header('traceparent') ?? ''
    const call: Call = {
      deadline: Date.now() + timeoutMs,
      requestId: requestIdFrom(c.req.header('X-Request-Id')),
      ...(traceparentFormat.test(traceparent) && { traceparent }),
    }
    c.set('call', call)
    c.set('headers', { ...headers, 'x-request-id': call.requestId })
    try {
      await waitUntilDeadline({ ...call, deadline: call.deadline + graceMs }, 'the request', next())
    } catch (error) {
      const line = { requestId: call.requestId, method: c.req.method, path: c.req.path, timeoutMs }
      if (isAwaitingBody(c)) {
        logger.info(line, 'the client did not send the request body in time')
        c.get('headers').connection = 'close'
        record?.(c, 408, performance.now() - started)
        throw new DomainError('request_timeout', `the whole body must arrive within ${timeoutMs / 1_000} s`)
      }
      logger.error(line, 'request timed out')
      record?.(c, 503, performance.now() - started)
      throw error
    }
    completeHeaders(c)
    const durationMs = performance.now() - started
    record?.(c, c.res.status, durationMs)
    const line = {
      requestId: call.requestId,
      traceparent: call.traceparent,
      method: c.req.method,
      path: c.req.path,
      status: c.res.status,
      ms: Math.round(durationMs * 10) / 10,
    }
    logger[levelOf(c)](line, 'request')
  }
}

/**
 * A probe that fails during startup or shutdown is not an error. A probe that succeeds is logged at `debug`, since there are many.
 * The failure of a forwarded request has been logged as an error by the service that answered.
 */
function levelOf(c: Context<AppEnv>): 'debug' | 'info' | 'error' {
  const failed = c.res.status >= 500
  if (c.get('probe')) return failed ? 'info' : 'debug'
  return failed && !c.get('isForwarded') ? 'error' : 'info'
}

/** Whether the body is being read and its end has not arrived. */
function isAwaitingBody(c: Context<AppEnv>): boolean {
  const { incoming } = (c.env ?? {}) as Partial<HttpBindings>
  return incoming !== undefined && incoming.readableFlowing === true && !incoming.complete
}

/** Adds the headers to an answer that was not made by `respond`. An answer that another process has made keeps its own `Vary` too. */
function completeHeaders(c: Context<AppEnv>): void {
  if (c.res === c.get('response')) return
  for (const [name, value] of Object.entries(c.get('headers'))) {
    const own = c.res.headers.get(name)
    if (own === null) c.res.headers.set(name, value)
    else if (name === 'vary') c.res.headers.set(name, `${value}, ${own}`)
  }
}
