import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import type { Call } from './call.ts'
import { type Fault, validationFailed } from './errors.ts'
import { faultMessage } from './fault-messages.ts'
import type { Principal } from './principal.ts'

/** What the middleware leaves for handlers: the principal behind the guard, everything else always. */
export interface AppEnv {
  Variables: {
    call: Call
    principal: Principal
    /** Whether the request is one of those that ask every few seconds how the process is. */
    probe?: boolean
    /** Of the answer, whatever it is; by lower-case names. Middleware adds its own here. */
    headers: Record<string, string>
    /** Whether another process has made the answer, and has logged why the request failed. */
    isForwarded?: boolean
    /** An answer that has them already. */
    response?: Response
  }
}

/**
 * A router whose every refused input becomes one `validation_failed` that names each fault. What is added to it with
 * `openapi` takes the query parameters of its description and no others.
 */
export function createRouter(): OpenAPIHono<AppEnv> {
  z.config({ customError: faultMessage })
  const router = new OpenAPIHono<AppEnv>({ strict: false, defaultHook: refuse })
  const { openapi } = router
  router.openapi = (route, handler, hook) => openapi(withLightChecks(route), handler, hook)
  return router
}

/**
 * The validators of a description would gather all the headers of a request for the one that it names, and parse a query
 * where there is none. Bodies and paths are left to them.
 */
function withLightChecks<Route extends RouteConfig>(route: Route): Route {
  const { query, headers, ...request } = route.request ?? {}
  const checks = [route.middleware ?? []].flat()
  // A misspelt filter would give everything instead of what was asked for.
  if (!query) checks.push(refuseQuery)
  if (headers) checks.push(checkHeaders(headers as z.ZodObject))
  return {
    ...route,
    middleware: checks,
    request: { ...request, ...(query && { query: (query as z.ZodObject).strict() }) },
  }
}

const noQuery = z.strictObject({})
const refuseQuery: MiddlewareHandler<AppEnv> = (c, next) => {
  if (c.req.url.includes('?')) refuse({ ...noQuery.safeParse(c.req.query()), target: 'query' })
  return next()
}

const checkHeaders =
  (headers: z.ZodObject): MiddlewareHandler<AppEnv> =>
  (c, next) => {
    const named = Object.keys(headers.shape).map((name) => [name, c.req.header(name)])
    const result = headers.safeParse(Object.fromEntries(named))
    refuse({ ...result, target: 'header' })
    c.req.addValidatedData('header', result.data ?? {})
    return next()
  }

interface Checked {
  success: boolean
  /** Where it stood. */
  target?: string
  /** What was checked. */
  data?: unknown
  error?: z.ZodError | undefined
}

function refuse({ success, error, target, data }: Checked): undefined {
  if (success || !error) return
  const isRepeated = ([name = '']: PropertyKey[]) =>
    target === 'query' && Array.isArray((data as Record<PropertyKey, unknown> | undefined)?.[name])
  throw validationFailed(
    ...error.issues.flatMap((issue) =>
      isRepeated(issue.path)
        ? fault(issue.path.map(String), 'must be given only once', false)
        : faultsOf(issue, target === 'json'),
    ),
  )
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
