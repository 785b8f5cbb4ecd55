import type { Context } from 'hono'
import { matchedRoutes } from 'hono/route'

// One entry for each path of a route.
const templates = new Map<string, string>()

/**
 * The template of the route that a request matches, as in the OpenAPI document: `/things/{thingId}`. It is undefined if the
 * request matches no route.
 */
export function routeTemplateOf(c: Context): string | undefined {
  const route = matchedRoutes(c).find(({ method }) => method !== 'ALL')
  if (!route) return undefined
  const template = templates.get(route.path) ?? route.path.replaceAll(/:(\w+)/g, '{$1}')
  templates.set(route.path, template)
  return template
}
