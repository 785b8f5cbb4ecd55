import type { z } from '@hono/zod-openapi'
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Call } from './call.ts'
import { type Fault, validationFailed } from './errors.ts'
import type { Principal } from './principal.ts'

/** What the middleware leaves for handlers: the call always, the principal behind the guard. */
export interface AppEnv {
  Variables: { call: Call; principal: Principal }
}

/** A router whose every refused input becomes one `validation_failed` that names each fault. */
export const createRouter = (): OpenAPIHono<AppEnv> =>
  new OpenAPIHono<AppEnv>({ strict: false, defaultHook: refuse })

function refuse(result: { success: boolean; target?: string; error?: z.ZodError }, _c: Context): undefined {
  if (result.success || !result.error) return
  throw validationFailed(...result.error.issues.flatMap((issue) => faultsOf(issue, result.target === 'json')))
}

function faultsOf(issue: z.core.$ZodIssue, inBody: boolean): Fault[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => fault([...path, key], 'is not a field of this request', inBody))
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
