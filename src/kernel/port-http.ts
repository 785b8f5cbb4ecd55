import { z } from '@hono/zod-openapi'
import { type Call, requestIdFormat } from './call.ts'
import { DomainError, dependencyUnavailable, isDomainError, validationFailed } from './errors.ts'
import type { HttpClient } from './http-client.ts'
import { errorOf, problemOf } from './http-errors.ts'
import type { Logger } from './logger.ts'
import type { Port } from './port.ts'
import { createRouter } from './router.ts'

/**
 * Any port over HTTP: `POST /internal/<module>/<operation>`, a list of calls in and the list of their outcomes, in
 * the same order, out. Unknown fields are ignored on both sides, so that old and new replicas understand each other.
 */

const most = 1_000
const callSchema = z.object({
  deadline: z.number(),
  requestId: z.string().regex(requestIdFormat),
  traceparent: z.string().optional(),
})
const callsSchema = z.object({
  calls: z
    .array(z.object({ request: z.unknown(), call: callSchema }))
    .min(1)
    .max(most),
})
const outcomesSchema = z.object({
  outcomes: z.array(z.union([z.object({ result: z.unknown() }), z.object({ problem: z.unknown() })])),
})

/** The server's side. Each call of a list is carried out and answered by itself. */
export function portRoutes<Type>(port: Port<Type>, implementation: Type, logger: Logger) {
  const router = createRouter()
  for (const name of Object.keys(port.operations) as (keyof Type & string)[]) {
    const { request: schema } = port.operations[name]
    const operation = implementation[name] as (request: unknown, call: Call) => Promise<unknown>
    router.post(path(port.name, name), async (c) => {
      const calls = callsSchema.safeParse(await c.req.json().catch(() => undefined))
      if (!calls.success)
        throw validationFailed({ pointer: '/calls', message: `must list 1 to ${most} calls` })
      const outcomes = await Promise.all(
        calls.data.calls.map(async ({ request, call }) => {
          try {
            const parsed = schema.safeParse(request)
            if (!parsed.success) throw validationFailed({ pointer: '', message: parsed.error.message })
            // No call may act, or keep others waiting, for longer than a request here may take.
            const deadline = Math.min(call.deadline, c.get('call').deadline)
            return { result: await operation(parsed.data, { ...call, deadline }) }
          } catch (error) {
            if (isDomainError(error)) return { problem: problemOf(error) }
            logger.error({ requestId: call.requestId, err: error }, 'unexpected error')
            return { problem: problemOf(new DomainError('internal_error', `${port.name} failed`)) }
          }
        }),
      )
      return c.json({ outcomes })
    })
  }
  return router
}

/** The client's side: an implementation of the port like any other. */
export function portClient<Type>(port: Port<Type>, http: HttpClient): Type {
  const client: Record<string, (request: unknown, call: Call) => Promise<unknown>> = {}
  for (const name of Object.keys(port.operations) as (keyof Type & string)[]) {
    client[name] = (request, call) =>
      http.request(call, {
        method: 'POST',
        path: path(port.name, name),
        body: { calls: [{ request, call }] },
        parse: (answer) => {
          const outcome = outcomesSchema.safeParse(answer).data?.outcomes[0]
          if (!outcome) throw dependencyUnavailable(`${port.name} answered in an unknown format`)
          if ('problem' in outcome) {
            const error = errorOf(outcome.problem)
            if (!error || error.code === 'internal_error')
              throw dependencyUnavailable(`${port.name} failed`, error)
            throw error
          }
          const result = port.operations[name].result.safeParse(outcome.result)
          if (!result.success)
            throw dependencyUnavailable(`${port.name} answered in an unknown format`, result.error)
          return result.data
        },
      })
  }
  return client as Type
}

const path = (module: string, operation: string) => `/internal/${module}/${operation}`
