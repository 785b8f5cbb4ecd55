import type { Context } from 'hono'
import { type Call, traceIdOf } from '#kernel/call.ts'
import { excerpt, isDomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { AppEnv } from './app-env.ts'

const maxPathLength = 200

/** A request that was answered. */
export interface Answered {
  status: number
  /** The template of the route, if the request had one. */
  route: string | undefined
  durationMs: number
  /** What the request failed with, if it failed. */
  error: unknown
}

/**
 * Logs a request that was answered. A failure (500 or more) is logged here and nowhere else, with its cause. Failures of one kind
 * that repeat are counted, because a service or a database that is down fails each request.
 */
export function logRequest(
  logger: Logger,
  c: Context<AppEnv>,
  { status, route, durationMs, error }: Answered,
): void {
  const call: Call = c.get('call')
  const { method, path } = c.req
  const line = {
    method,
    route,
    path: path.length > maxPathLength ? excerpt(path, maxPathLength) : path,
    status,
    code: isDomainError(error) ? error.code : undefined,
    durationMs: Math.round(durationMs * 10) / 10,
    userId: c.get('principal')?.userId,
    requestId: call.requestId,
    traceId: traceIdOf(call),
  }
  // A probe is repeated every few seconds. A probe that fails during startup or shutdown is not an error.
  if (c.get('probe')) logger[status >= 500 ? 'info' : 'debug'](line, 'request')
  else if (status < 500) logger.info(line, 'request')
  else {
    const kind = `${method} ${route} ${status} ${error instanceof Error ? error.message : ''}`
    logger.repeatable(kind, levelOf(c, status), { ...line, err: error }, 'request')
  }
}

/** The failure of a forwarded request has been logged by the service that answered. */
function levelOf(c: Context<AppEnv>, status: number): 'info' | 'warn' | 'error' {
  if (c.get('isForwarded')) return 'info'
  return status === 500 ? 'error' : 'warn'
}
