import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { AppEnv } from '#kernel/http/app-env.ts'
import { patchTypes } from '#kernel/http/json-body.ts'
import { methodNotAllowed, problemResponse, routeNotFound } from '#kernel/http/problem-documents.ts'
import { respond } from '#kernel/http/respond.ts'
import type { joinOperations } from './join-operations.ts'
import { serverWidePath } from './request-target.ts'

// The methods that are looked up for a path, in the order of the `Allow` header. HEAD and OPTIONS need no look-up: Hono
// answers HEAD for each route with GET, and the refusal answers OPTIONS.
const routedMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/**
 * Makes the handler of requests that have no route: 404 if the path has no methods, 204 to OPTIONS, and 405 otherwise.
 * @param operations the operations of the whole API, of which the application may host a part
 * @param advice what the answers 404 and 405 say about the routes that exist
 */
export function createRouteRefusal(
  app: OpenAPIHono<AppEnv>,
  operations: ReturnType<typeof joinOperations>,
  advice?: string,
): (c: Context<AppEnv>) => Response {
  const methodsOfAllRoutes = new Set([...operations.values()].map(({ method }) => method.toUpperCase()))
  return (c) => {
    const { method, path } = c.req
    // `OPTIONS *` asks about the server as a whole (RFC 9110, 9.3.7). The answer is the same from every service.
    const isServerWide = method === 'OPTIONS' && path === serverWidePath
    const hasRoute = (candidate: string) =>
      app.router.match(candidate, path)[0].some(([[, route]]) => route.method !== 'ALL')
    const routed = routedMethods.filter((each) =>
      isServerWide ? methodsOfAllRoutes.has(each) : hasRoute(each),
    )
    if (routed.length === 0) return problemResponse(c, routeNotFound(path, advice))
    const allowed = [...routed.flatMap((each) => (each === 'GET' ? ['GET', 'HEAD'] : [each])), 'OPTIONS']
    if (method === 'OPTIONS') {
      const isPatchable = !isServerWide && routed.includes('PATCH')
      return respond(c, null, 204, {
        allow: allowed.join(', '),
        // RFC 5789, section 3.1.
        ...(isPatchable && { 'accept-patch': patchTypes.join(', ') }),
      })
    }
    return problemResponse(c, methodNotAllowed(method, path, allowed, advice))
  }
}
