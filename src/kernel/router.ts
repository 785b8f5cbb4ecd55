import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Call } from './call.ts'
import { type Fault, validationFailed } from './errors.ts'
import { faultMessage } from './fault-messages.ts'
import type { Principal } from './principal.ts'

/** What the middleware leaves for handlers: the principal behind the guard, everything else always. */
export interface AppEnv {
  Variables: {
    call: Call
    principal: Principal
    /** Of the answer, whatever it is; by lower-case names. Middleware adds its own here. */
    headers: Record<string, string>
    /** An answer that has them already. */
    response?: Response
  }
}

z.config({ customError: faultMessage })

/**
 * A router whose every refused input becomes one `validation_failed` that names each fault. What is added to it with
 * `openapi` takes the query parameters of its description and no others.
 */
export function createRouter(): OpenAPIHono<AppEnv> {
  const router = new OpenAPIHono<AppEnv>({ strict: false, defaultHook: refuse })
  const { openapi } = router
  router.openapi = (route, handler, hook) => openapi(withStrictQuery(route), handler, hook)
  return router
}

/** A misspelt filter would give everything instead of what was asked for. */
const withStrictQuery = <Route extends RouteConfig>(route: Route): Route => {
  const query = (route.request?.query ?? z.object({})) as z.ZodObject
  return { ...route, request: { ...route.request, query: query.strict() } }
}

function refuse(result: { success: boolean; target?: string; error?: z.ZodError }, _c: Context): undefined {
  if (result.success || !result.error) return
  throw validationFailed(...result.error.issues.flatMap((issue) => faultsOf(issue, result.target === 'json')))
}

function faultsOf(issue: z.core.$ZodIssue, inBody: boolean): Fault[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const what = inBody ? 'field' : 'parameter'
    return issue.keys.map((key) => fault([...path, key], `is not a ${what} of this request`, inBody))
  }
  return [fault(path, issue.message, inBody)]
}

const fault = (path: string[], message: string, inBody: boolean): Fault =>
  inBody
    ? {
        pointer: path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
        message,
      }
    : { parameter: path.join('.'), message }
