import type { Context } from 'hono'
import { isDomainError } from '#kernel/errors.ts'
import type { Span, Tracing } from '#kernel/span.ts'
import type { AppEnv } from './app-env.ts'
import type { Answered } from './request-log.ts'

/** @param parent the valid `traceparent` of the caller */
export const startRequestSpan = (tracing: Tracing, c: Context, parent: string | undefined): Span =>
  tracing.start(c.req.method, {
    kind: 'server',
    parent,
    attributes: { 'http.request.method': c.req.method, 'url.path': c.req.path },
  })

/** Ends the span of a request. The span of a probe is left out, because a monitor repeats it every few seconds. */
export function endRequestSpan(span: Span, c: Context<AppEnv>, { status, route, error }: Answered): void {
  if (c.get('probe')) return
  if (route !== undefined) span.rename(`${c.req.method} ${route}`)
  span.set({
    'http.route': route,
    'http.response.status_code': status,
    'error.type': isDomainError(error) ? error.code : undefined,
    'trivet.request_id': c.get('call').requestId,
  })
  span.end(status >= 500 ? (error ?? `status ${status}`) : undefined)
}
