import { type RouteConfig, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { type Fault, refusedInput } from '#kernel/errors.ts'
import { validationMessage } from '#kernel/validation-messages.ts'
import type { AppEnv } from './app-env.ts'
import { faultsOf, type Part } from './input-faults.ts'
import { maxBodyValues, readJson } from './json-body.ts'
import { maxQueryParameters, readQuery } from './parameters.ts'

/** The parts of a request, by their names in Hono. */
const parts = { param: 'path', query: 'query', header: 'header', json: 'body' } satisfies Record<string, Part>

/** Checks a request against the schemas of its route description. One refusal names the faults of all parts. */
export function checkInput({
  query,
  params,
  headers,
  body,
}: NonNullable<RouteConfig['request']>): MiddlewareHandler<AppEnv> {
  const querySchema = query ? (query as z.ZodObject).strict() : z.strictObject({})
  const mediaTypes = Object.keys(body?.content ?? {})
  // All media types of a route have the same schema.
  const bodySchema = (body?.content['application/json'] as { schema?: z.ZodType } | undefined)?.schema
  const headerNames = Object.keys((headers as z.ZodObject | undefined)?.shape ?? {})

  return async (c, next) => {
    const faults: Fault[] = []
    let count = 0
    const check = (target: keyof typeof parts, schema: z.ZodType, input: unknown, tooMany?: string) => {
      const { success, data, error } = schema.safeParse(input, { error: validationMessage })
      if (!success) {
        const found = faultsOf(parts[target], schema, input, error)
        faults.push(...found.listed)
        count += found.count
      } else if (tooMany !== undefined) {
        faults.push({
          ...(target === 'json' ? { pointer: '' } : { parameter: target }),
          code: 'max',
          message: tooMany,
        })
        count += 1
      } else c.req.addValidatedData(target, data as object)
    }

    if (params) check('param', params as z.ZodType, c.req.param())
    // An unknown parameter is refused, because a list with a misspelt filter would return all rows.
    if (query || c.req.url.includes('?')) {
      const { values, isComplete } = readQuery(c.req.url)
      check(
        'query',
        querySchema,
        values,
        isComplete ? undefined : `must have at most ${maxQueryParameters} parameters`,
      )
    }
    if (headers) {
      const named = headerNames.map((name) => [name, c.req.header(name)])
      check('header', headers as z.ZodType, Object.fromEntries(named))
    }
    if (bodySchema) {
      const { value, isComplete } = await readJson(c, { mediaTypes })
      check(
        'json',
        bodySchema,
        value,
        isComplete ? undefined : `must have fewer than ${maxBodyValues} fields and entries`,
      )
    }
    if (count > 0) throw refusedInput(faults, count)
    await next()
  }
}
