import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { type Call, requestIdFrom, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { Tracing } from '#kernel/span.ts'
import type { AppEnv } from './app-env.ts'
import { statusOf } from './problem-documents.ts'
import type { Representation } from './representation.ts'
import { logRequest } from './request-log.ts'
import { createRequestMetrics } from './request-metrics.ts'
import { endRequestSpan, startRequestSpan } from './request-span.ts'
import { routeTemplateOf } from './route-template.ts'

// W3C Trace Context: version, trace id, parent id, flags.
const traceparentFormat = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

// The time after the deadline in which a handler can still answer with a precise error. Afterwards the answer is a
// general 503.
const graceMs = 250

/** Compresses the answer if its client accepts that. */
export type Compress = (c: Context<AppEnv>, representation: Representation) => Promise<void>

/**
 * Creates the call of each request (deadline, request id, trace), logs, counts and traces the request, adds `headers` to each answer, and
 * compresses the answers that `respondWith` has marked.
 * `headers` has lower-case names; a handler may set another value. A request that has no answer after `timeoutMs` gets 408 if the
 * client is still sending its body, and 503 otherwise.
 */
export function requestContext(options: {
  timeoutMs: number
  headers?: Readonly<Record<string, string>>
  compress?: Compress
  logger: Logger
  /** Gets the duration of each request, if given. */
  metrics?: Metrics
  /** Starts a span for each request, if given. */
  tracing?: Tracing | undefined
}): MiddlewareHandler<AppEnv> {
  const { timeoutMs, headers, compress, logger, metrics, tracing } = options
  const record = metrics && createRequestMetrics(metrics)
  return async (c, next) => {
    const startedAtMs = performance.now()
    const given = c.req.header('traceparent') ?? ''
    const parent = traceparentFormat.test(given) ? given : undefined
    const span = tracing && startRequestSpan(tracing, c, parent)
    const call: Call = {
      deadline: Date.now() + timeoutMs,
      requestId: requestIdFrom(c.req.header('X-Request-Id')),
      traceparent: span ? span.traceparent : parent,
      span,
    }
    c.set('call', call)
    c.set('headers', { ...headers, 'x-request-id': call.requestId })
    let failure: unknown
    try {
      await waitUntilDeadline({ ...call, deadline: call.deadline + graceMs }, 'the request', next())
      const compressible = c.get('compressible')
      if (compressible && c.error === undefined) await compress?.(c, compressible)
      completeHeaders(c)
    } catch (error) {
      failure = isAwaitingBody(c) ? refuseSlowBody(c, timeoutMs) : error
    }
    const status = failure === undefined ? c.res.status : statusOf(failure)
    const durationMs = performance.now() - startedAtMs
    const answered = { status, route: routeTemplateOf(c), durationMs, error: failure ?? c.error }
    record?.(c, answered)
    logRequest(logger, c, answered)
    if (span) endRequestSpan(span, c, answered)
    if (failure !== undefined) throw failure
  }
}

function refuseSlowBody(c: Context<AppEnv>, timeoutMs: number): DomainError {
  c.get('headers').connection = 'close'
  return new DomainError('request_timeout', `the whole body must arrive within ${timeoutMs / 1_000} s`)
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
