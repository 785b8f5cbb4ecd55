import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { type Fault, refusedInput } from '#kernel/errors.ts'
import { validationMessage } from '#kernel/validation-messages.ts'
import type { AppEnv } from './app-env.ts'
import { faultsOf, type Part } from './input-faults.ts'
import { readJson, valuesBound } from './json-body.ts'
import { queryBound, queryOf } from './parameters.ts'

export type { AppEnv }

/**
 * A router whose every refused input becomes one `validation_failed` that names what is wrong with path, query, headers
 * and body. What is added to it with `openapi` takes the query parameters of its description and no others.
 */
export function createRouter(): OpenAPIHono<AppEnv> {
  z.config({ customError: validationMessage })
  const router = new OpenAPIHono<AppEnv>({ strict: false })
  const { openapi } = router
  router.openapi = (route, handler, hook) => openapi(withInputCheck(route), handler, hook)
  return router
}

/**
 * The validators of a description would stop at the first part of a request that has a fault, gather all its headers for
 * the one that is described, parse whatever bodies hold, and take many media types for JSON.
 */
function withInputCheck<Route extends RouteConfig>(route: Route): Route {
  const checks = [route.middleware ?? [], checkInput(route.request ?? {})].flat()
  return { ...route, middleware: checks, request: {} }
}

/** Parts of a request by their names in Hono. */
const parts = { param: 'path', query: 'query', header: 'header', json: 'body' } satisfies Record<string, Part>

function checkInput({
  query,
  params,
  headers,
  body,
}: NonNullable<RouteConfig['request']>): MiddlewareHandler<AppEnv> {
  const querySchema = query ? (query as z.ZodObject).strict() : z.strictObject({})
  const bodySchema = (body?.content['application/json'] as { schema?: z.ZodType } | undefined)?.schema
  const headerNames = Object.keys((headers as z.ZodObject | undefined)?.shape ?? {})

  return async (c, next) => {
    const faults: Fault[] = []
    let count = 0
    const check = (target: keyof typeof parts, schema: z.ZodType, input: unknown, bound?: string) => {
      const { success, data, error } = schema.safeParse(input)
      if (!success) {
        const found = faultsOf(parts[target], schema, input, error)
        faults.push(...found.listed)
        count += found.count
      } else if (bound !== undefined) {
        faults.push(
          target === 'json' ? { pointer: '', message: bound } : { parameter: target, message: bound },
        )
        count += 1
      } else c.req.addValidatedData(target, data as object)
    }

    if (params) check('param', params as z.ZodType, c.req.param())
    // A misspelt filter would give everything instead of what was asked for.
    if (query || c.req.url.includes('?')) {
      const { values, isWhole } = queryOf(c.req.url)
      check('query', querySchema, values, isWhole ? undefined : `must have at most ${queryBound} parameters`)
    }
    if (headers) {
      const named = headerNames.map((name) => [name, c.req.header(name)])
      check('header', headers as z.ZodType, Object.fromEntries(named))
    }
    if (bodySchema) {
      const { value, isWhole } = await readJson(c)
      check(
        'json',
        bodySchema,
        value,
        isWhole ? undefined : `must have fewer than ${valuesBound} fields and entries`,
      )
    }
    if (count > 0) throw refusedInput(faults, count)
    await next()
  }
}
