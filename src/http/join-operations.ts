import type { RouteConfig } from '@hono/zod-openapi'
import { documentationApi } from './documentation-routes.ts'
import { healthApi } from './health-routes.ts'

/**
 * Joins the route descriptions of all modules and those for operators, by operation id. Generated clients name their
 * functions after these ids.
 * @throws Error if two operations have the same id
 */
export function joinOperations(
  modules: readonly { name: string; api: Readonly<Record<string, RouteConfig>> }[],
): ReadonlyMap<string, RouteConfig> {
  const operations = new Map<string, RouteConfig>()
  const owners = new Map<string, string>()
  const operator = { name: 'the operator routes', api: { ...healthApi, ...documentationApi } }
  for (const { name, api } of [...modules, operator]) {
    for (const [id, route] of Object.entries(api)) {
      const owner = owners.get(id)
      if (owner !== undefined)
        throw new Error(`the operation ${id} of ${name} must have another id, because ${owner} has this one`)
      owners.set(id, name)
      operations.set(id, route)
    }
  }
  return operations
}
