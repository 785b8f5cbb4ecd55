import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi'
import type { AppEnv } from './app-env.ts'
import { checkInput } from './input-check.ts'
import { LiteralPathRouter } from './literal-path-router.ts'

/**
 * Creates a router. It checks path, query, headers and body against the description of each route that is added with
 * `openapi`, and refuses a request with one `validation_failed` that names all faults. Unknown query parameters are faults.
 */
export function createRouter(): OpenAPIHono<AppEnv> {
  const router = new OpenAPIHono<AppEnv>({ strict: false, router: new LiteralPathRouter() })
  const { openapi } = router
  router.openapi = (route, handler, hook) => openapi(withInputCheck(route), handler, hook)
  return router
}

/**
 * Replaces the validators of @hono/zod-openapi. They stop at the first part of a request that has a fault, collect all headers
 * to check a single one, parse bodies of any size, and accept many media types as JSON.
 */
function withInputCheck<Route extends RouteConfig>(route: Route): Route {
  const checks = [route.middleware ?? [], checkInput(route.request ?? {})].flat()
  return { ...route, middleware: checks, request: {} }
}
