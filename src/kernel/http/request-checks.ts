import type { Context, MiddlewareHandler } from 'hono'
import type { AppEnv } from './app-env.ts'

/** Throws if a request is refused. It returns a promise only if it has to wait. */
export type RequestCheck = (c: Context<AppEnv>) => Promise<void> | undefined | void

/**
 * Middleware that carries out checks, one after the other. One middleware for each check would cost several promises for each
 * request, which take longer than most checks.
 */
export function checkRequests(...checks: readonly RequestCheck[]): MiddlewareHandler<AppEnv> {
  const checkFrom = async (c: Context<AppEnv>, first: number, next: () => Promise<void>) => {
    for (const check of checks.slice(first)) await check(c)
    return next()
  }
  return (c, next) => {
    for (const [at, check] of checks.entries()) {
      const pending = check(c)
      if (pending) return pending.then(() => checkFrom(c, at + 1, next))
    }
    return next()
  }
}
