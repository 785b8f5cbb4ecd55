import { z } from '@hono/zod-openapi'
import { batched } from '#kernel/batching.ts'
import { type Call, requestIdFormat } from '#kernel/call.ts'
import {
  DomainError,
  dependencyUnavailable,
  excerpt,
  type Fault,
  isDomainError,
  overloaded,
  refusedInput,
  validationFailed,
} from '#kernel/errors.ts'
import { faultCodeOf } from '#kernel/http/input-faults.ts'
import { readJson } from '#kernel/http/json-body.ts'
import { problemOf } from '#kernel/http/problem-documents.ts'
import { respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import { inSpan } from '#kernel/tracing.ts'
import { validationMessage } from '#kernel/validation-messages.ts'
import { type HttpClient, outcomeAfter } from './http-client.ts'
import type { Offer, Port } from './port.ts'

/**
 * Carries any port over HTTP. `POST /internal/<module>/<operation>` takes a list of calls and answers the list of their outcomes
 * in the same order. Both sides ignore unknown fields, so that old and new replicas understand each other.
 */

// A request with this many calls is within the body limit if a call has `bytesPerCall` on average.
const maxCallsPerRequest = 1_000
const bytesPerCall = 500
/** The number of calls of a port that may wait for their answers. */
const maxWaitingCalls = 10_000
// Calls that others have to follow, such as a reserve, leave room for calls that finish something, such as a release.
const crowdedFromCalls = 1_000
// After the other service has refused a call because too many wait there, new work is refused for this time.
const overloadedForMs = 100
const callSchema = z.object({
  deadline: z.number(),
  requestId: z.string().regex(requestIdFormat),
  traceparent: z.string().optional(),
})
const callsSchema = z.object({
  calls: z
    .array(z.object({ request: z.unknown(), call: callSchema }))
    .min(1)
    .max(maxCallsPerRequest),
})
const outcomesSchema = z.object({
  outcomes: z.array(z.union([z.object({ result: z.unknown() }), z.object({ problem: z.unknown() })])),
})

/** The server side: carries out each call of a request, and answers each with its own outcome. */
export function portRoutes<Type>(port: Port<Type>, implementation: Type, logger: Logger) {
  const router = createRouter()
  for (const name of Object.keys(port.operations) as (keyof Type & string)[]) {
    const { request: schema } = port.operations[name]
    const operation = implementation[name] as (request: unknown, call: Call) => Promise<unknown>
    router.post(path(port.name, name), async (c) => {
      // Other services are trusted, so that only the body limit bounds the number of values.
      const { value } = await readJson(c, { maxValues: Number.POSITIVE_INFINITY })
      const calls = callsSchema.safeParse(value)
      if (!calls.success)
        throw validationFailed({
          pointer: '/calls',
          code: 'rule',
          message: `must list 1 to ${maxCallsPerRequest} calls`,
        })
      const requests = calls.data.calls.map(({ request, call }) => ({
        parsed: schema.safeParse(request, { reportInput: true, error: validationMessage }),
        call,
      }))
      // If every call is invalid, the caller has another version. It gets one refusal, whose size does not depend on the list.
      const faults = requests.flatMap(({ parsed: { error } }, at) => (error ? [firstFault(at, error)] : []))
      if (faults.length === requests.length) throw refusedInput(faults, faults.length)
      const outcomes = await Promise.all(
        requests.map(async ({ parsed, call }) => {
          // This problem is short, because hundreds of calls of a request may be invalid.
          if (!parsed.success) return { problem: { code: 'validation_failed' } }
          try {
            // A call may not take longer than the request that carries it.
            const { deadline, span } = c.get('call')
            const own = { ...call, deadline: Math.min(call.deadline, deadline), span }
            // The call belongs to the trace of its caller, and not to that of the request that carries it.
            const options = { kind: 'server', parent: call.traceparent } as const
            const result = await inSpan(own, `${port.name}.${name}`, options, (within) =>
              operation(parsed.data, within),
            )
            return { result }
          } catch (error) {
            if (isDomainError(error)) return { problem: problemOf(error) }
            const line = { requestId: call.requestId, err: error }
            logger.repeatable(
              `${port.name} ${name} ${error}`,
              'error',
              line,
              'a call of another service failed',
            )
            return { problem: problemOf(new DomainError('internal_error', `${port.name} failed`)) }
          }
        }),
      )
      return respondJson(c, { outcomes }, 200)
    })
  }
  return router
}

/** The first fault of an invalid call. */
const firstFault = (at: number, { issues: [issue] }: z.ZodError): Fault => ({
  pointer: `/calls/${at}/request${(issue?.path ?? []).map((name) => `/${String(name)}`).join('')}`,
  code: issue ? faultCodeOf(issue, issue.input) : 'rule',
  message: excerpt(issue?.message ?? '', 200),
})

/** The failure of one call of a request that was answered. The other calls of the request may have succeeded. */
class CallFailed extends Error {
  override readonly cause: DomainError
  readonly mayRepeat: boolean
  constructor(cause: DomainError, mayRepeat: boolean) {
    super(cause.message)
    this.cause = cause
    this.mayRepeat = mayRepeat
  }
}

/**
 * The client side: an implementation of the port. The calls of one operation that are made in the same iteration of the
 * event loop are sent in one request. Each call has its own deadline and its own outcome. A call that fails is repeated
 * alone, until its deadline, and within the retry budget of the client.
 * @param probe names the operation, and its request, that finds out whether the module can do its work. It only reads
 */
export function portClient<Type>(
  port: Port<Type>,
  http: HttpClient,
  probe?: { operation: keyof Type & string; request: unknown },
): Offer<Type> {
  const client: Record<string, (request: unknown, call: Call) => Promise<unknown>> = {}
  let waiting = 0
  let overloadedUntil = 0
  if (probe) http.probeWith((call) => probeRequest(port, probe, call, http))
  for (const name of Object.keys(port.operations) as (keyof Type & string)[]) {
    const send = createOperation(port, name, http)
    client[name] = async (request, call) => {
      if (waiting >= maxWaitingCalls) throw overloaded(maxWaitingCalls, port.name)
      waiting += 1
      try {
        return await send(request, call)
      } catch (error) {
        if (isDomainError(error, 'overloaded')) overloadedUntil = Date.now() + overloadedForMs
        throw error
      } finally {
        waiting -= 1
      }
    }
  }
  return {
    port: client as Type,
    refusal() {
      const isCrowded = waiting >= crowdedFromCalls || Date.now() < overloadedUntil
      return http.refusal() ?? (isCrowded ? overloaded(waiting, port.name) : undefined)
    },
  }
}

function probeRequest<Type>(
  { name }: Port<Type>,
  { operation, request }: { operation: string; request: unknown },
  call: Call,
  http: HttpClient,
) {
  return {
    method: 'POST' as const,
    path: path(name, operation),
    body: { calls: [{ request, call }] },
    parse(answer: unknown) {
      const [outcome] = outcomesSchema.safeParse(answer).data?.outcomes ?? []
      if (outcome && 'result' in outcome) return
      throw dependencyUnavailable(`${name} failed`, outcome && http.errorOf(outcome.problem))
    },
  }
}

/** Sends the calls of one operation. */
function createOperation<Type>(port: Port<Type>, name: keyof Type & string, http: HttpClient) {
  const { result: schema } = port.operations[name]
  const outcomeOf = (outcome: z.infer<typeof outcomesSchema>['outcomes'][number]): unknown => {
    if ('problem' in outcome) {
      const error = http.errorOf(outcome.problem)
      // A call that meets a defect of the other service would fail again.
      const isDefect = !error || error.code === 'internal_error'
      if (isDefect) return new CallFailed(dependencyUnavailable(`${port.name} failed`, error), false)
      return error.code === 'dependency_unavailable' ? new CallFailed(error, true) : error
    }
    const result = schema.safeParse(outcome.result)
    return result.success ? result.data : new CallFailed(unknownFormat(port.name, result.error), false)
  }
  const enqueue = batched<unknown, unknown>(
    {
      name: port.name,
      maxConcurrent: Number.POSITIVE_INFINITY,
      maxWaiting: maxWaitingCalls,
      maxBatchWeight: maxCallsPerRequest * bytesPerCall,
      metrics: batchMetrics(http.metrics, `${port.name}.${name}`),
      weightOf: (request) => bytesPerCall + JSON.stringify(request).length,
    },
    (calls, call) =>
      http.request(call, {
        method: 'POST',
        path: path(port.name, name),
        body: { calls: calls.map(({ request, call }) => ({ request, call: sentCall(call) })) },
        parse: (answer) => {
          const { outcomes = [] } = outcomesSchema.safeParse(answer).data ?? {}
          if (outcomes.length !== calls.length) throw unknownFormat(port.name)
          return outcomes.map(outcomeOf)
        },
      }),
  )
  const callUntilAnswered = async (request: unknown, call: Call): Promise<unknown> => {
    let unanswered: unknown
    for (let attempt = 1; ; attempt++) {
      try {
        return await enqueue(request, call)
      } catch (error) {
        if (!(error instanceof CallFailed)) throw outcomeAfter(unanswered, error)
        if (!error.mayRepeat || !(await http.mayRepeat(call, attempt))) throw error.cause
        unanswered = error.cause
      }
    }
  }
  return (request: unknown, call: Call): Promise<unknown> =>
    inSpan(call, `${port.name}.${name}`, { kind: 'client' }, (within) => callUntilAnswered(request, within))
}

/** The members of a call that leave the process. */
const sentCall = ({ deadline, requestId, traceparent }: Call) => ({ deadline, requestId, traceparent })

const unknownFormat = (name: string, cause?: unknown) =>
  dependencyUnavailable(`${name} answered in an unknown format`, cause)

const path = (module: string, operation: string) => `/internal/${module}/${operation}`
