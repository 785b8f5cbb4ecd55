import type { Context, MiddlewareHandler } from 'hono'
import type { AppEnv } from './app-env.ts'

/** Throws if a request is refused. It returns a promise only if it has to wait. */
export type RequestCheck = (c: Context<AppEnv>) => Promise<void> | undefined | void

/**
 * Middleware that carries out checks, one after the other. One middleware for each check would cost several promises for each
 * request, which take longer than most checks.
 */
export function checkRequests(...checks: readonly RequestCheck[]): MiddlewareHandler<AppEnv> {
  const checkFrom = (first: number, c: Context<AppEnv>, next: () => Promise<void>): Promise<void> => {
    for (let at = first; at < checks.length; at++) {
      const pending = checks[at]?.(c)
      if (pending) return pending.then(() => checkFrom(at + 1, c, next))
    }
    return next()
  }
  return (c, next) => checkFrom(0, c, next)
}
