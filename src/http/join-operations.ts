import type { RouteConfig } from '@hono/zod-openapi'
import type { ProblemTable } from '#kernel/http/problems.ts'
import { documentationApi } from './documentation-api.ts'
import { healthApi } from './health-routes.ts'
import { joinProblems } from './join-problems.ts'

/**
 * Joins the route descriptions of all modules and those for operators, by operation id. Generated clients name their
 * functions after these ids.
 * @throws Error if two operations have the same id
 */
export function joinOperations(
  modules: readonly {
    name: string
    api: Readonly<Record<string, RouteConfig>>
    problems?: ProblemTable
  }[],
): ReadonlyMap<string, RouteConfig> {
  const operations = new Map<string, RouteConfig>()
  const owners = new Map<string, string>()
  const documentation = documentationApi(Object.keys(joinProblems(modules)))
  const operator = { name: 'the operator routes', api: { ...healthApi, ...documentation } }
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
