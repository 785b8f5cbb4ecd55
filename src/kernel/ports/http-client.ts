import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Call, createCall, remainingMs } from '#kernel/call.ts'
import { createCircuitBreaker, type Neighbour } from '#kernel/circuit-breaker.ts'
import { type DomainError, dependencyUnavailable, type ErrorCode, isDomainError } from '#kernel/errors.ts'
import { errorOf } from '#kernel/http/problem-documents.ts'
import { kernelProblems, type ProblemTable } from '#kernel/http/problems.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { CredentialIssuer } from './service-credential.ts'

interface HttpRequest<T> {
  method: 'GET' | 'POST'
  path: string
  body?: unknown
  /** Makes the result from the JSON of the answer, or throws. */
  parse: (answer: unknown) => T
}

/** Calls one other service. Each call may be repeated, because every operation of a port is safe to repeat. */
export interface HttpClient extends Neighbour {
  /**
   * Sends a request, and repeats it with jitter until the deadline of the call, up to `maxAttempts` (3) times in all.
   * @throws DomainError `overloaded` or `dependency_unavailable`; at once while the circuit to the service is open
   */
  request<T>(call: Call, request: HttpRequest<T> & { maxAttempts?: number }): Promise<T>
  /** Sets the request of the probes. Until then they read /healthz. `makeRequest` is called for each probe. */
  probeWith(makeRequest: (call: Call) => HttpRequest<unknown>): void
  /** The error of every request while the circuit to the service is open. Undefined while the circuit is closed. */
  refusal(): DomainError | undefined
  /**
   * Waits, with jitter, before the next attempt of a call that failed.
   * @param attempt the number of attempts so far
   * @returns false if the call may not be repeated: no time, no attempt or no retry budget is left, or the circuit is open
   */
  mayRepeat(call: Call, attempt: number): Promise<boolean>
  /** The metrics of the process. */
  readonly metrics: Metrics
  /** Converts a problem document of the service back to its error. Returns undefined if the code is unknown. */
  errorOf(problem: unknown): DomainError | undefined
}

/** This number includes the first attempt. */
const defaultMaxAttempts = 3
const maxBackoffMs = 300
// All calls share a retry budget, so that retries do not keep a service overloaded. After a burst of ten retries, they
// add at most a fifth to its load.
const retriesPerCall = 0.2
const maxRetryBudget = 10
// The circuit breaker limits the time of a probe. This is longer, so that a service with too little CPU time does not refuse it.
const probeDeadlineMs = 3_000

const retries = { name: 'trivet_call_retries_total', help: 'Repeated calls of a service' }

export function createHttpClient(options: {
  /** The name of the module that answers at `url`. */
  target: string
  url: string
  /** The client needs it to call routes under `/internal`. */
  credential?: CredentialIssuer | undefined
  logger: Logger
  metrics: Metrics
  /** The problems that the service may answer. The default is those of the kernel. */
  problems?: ProblemTable
  /** Ends the probes. */
  signal?: AbortSignal
  /** Tests replace it to lose answers and to deliver requests twice. */
  fetch?: typeof fetch
}): HttpClient {
  const { target, logger, metrics, problems = kernelProblems, signal } = options
  const exchange = createExchange(options)
  let makeProbe = (_call: Call): HttpRequest<unknown> => ({
    method: 'GET',
    path: '/healthz',
    parse: (answer) => answer,
  })
  const breaker = createCircuitBreaker({
    name: target,
    probe(within) {
      const call = createCall(probeDeadlineMs, `probe-${randomUUID()}`)
      return exchange(call, makeProbe(call), within)
    },
    logger,
    metrics,
    signal,
  })
  const repeats = createRepeats(breaker, metrics, target)

  return {
    metrics,
    name: target,
    isAway: breaker.isAway,
    refusal: breaker.refusal,
    mayRepeat: (call, attempt) => repeats.mayRepeat(call, attempt),
    errorOf: (problem) => errorOf(problem, problems),
    probeWith(makeRequest) {
      makeProbe = makeRequest
    },

    async request(call, { maxAttempts = defaultMaxAttempts, ...request }) {
      repeats.earn()
      let unanswered: unknown
      for (let attempt = 1; ; attempt++) {
        const refusal = breaker.refusal()
        if (refusal) throw refusal
        // The last attempt may use all of the remaining time. Each earlier attempt may use half of it.
        const timeoutMs = Math.floor(remainingMs(call) / (attempt === maxAttempts ? 1 : 2))
        // This is not a failure of the service, so that it does not concern the circuit breaker.
        if (timeoutMs <= 0) throw dependencyUnavailable(`there is no time left to call ${target}`)
        try {
          return await breaker.waitFor(call, exchange(call, request, AbortSignal.timeout(timeoutMs)))
        } catch (error) {
          const isFailure = isDomainError(error, 'dependency_unavailable')
          if (!isFailure) throw outcomeAfter(unanswered, error)
          if (!(await repeats.mayRepeat(call, attempt, maxAttempts))) throw error
          unanswered = error
        }
      }
    },
  }
}

/** All calls of a client share one budget of repetitions. */
function createRepeats(breaker: ReturnType<typeof createCircuitBreaker>, metrics: Metrics, target: string) {
  const retried = metrics.counter(retries, { target })
  let retryBudget = maxRetryBudget
  return {
    /** Each call adds a part of a repetition to the budget. */
    earn() {
      retryBudget = Math.min(maxRetryBudget, retryBudget + retriesPerCall)
    },

    /** @see HttpClient.mayRepeat */
    async mayRepeat(call: Call, attempt: number, maxAttempts = defaultMaxAttempts): Promise<boolean> {
      breaker.suspect()
      const waitMs = Math.random() * Math.min(30 * 2 ** attempt, maxBackoffMs)
      if (breaker.isAway() || attempt >= maxAttempts || retryBudget < 1) return false
      if (remainingMs(call) <= waitMs) return false
      retryBudget -= 1
      retried.add()
      await sleep(waitMs)
      return true
    },
  }
}

/**
 * The error of a call whose repetition failed with `error`. A repetition that is refused for want of a place does not say what became of
 * an earlier attempt.
 * @param unanswered the error of the earlier attempt, which may have taken effect
 */
export const outcomeAfter = (unanswered: unknown, error: unknown): unknown =>
  unanswered !== undefined && isDomainError(error, 'overloaded') ? unanswered : error

/** Sends one request, and reads its answer. */
function createExchange(options: Parameters<typeof createHttpClient>[0]) {
  const { target, url, credential, fetch: send = fetch } = options
  return async <T>(
    { requestId, traceparent }: Call,
    { method, path, body, parse }: HttpRequest<T>,
    signal: AbortSignal,
  ): Promise<T> => {
    const headers = new Headers({ accept: 'application/json', 'x-request-id': requestId })
    if (traceparent) headers.set('traceparent', traceparent)
    if (body !== undefined) headers.set('content-type', 'application/json')
    if (credential) headers.set('authorization', `Bearer ${await credential(target)}`)
    const init: RequestInit = { method, headers, signal, redirect: 'error' }
    if (body !== undefined) init.body = JSON.stringify(body)
    return parse(await readAnswer(send(`${url}${path}`, init), target))
  }
}

const forwardedCodes = new Set<ErrorCode>(['dependency_unavailable', 'overloaded'])

async function readAnswer(response: Promise<Response>, target: string): Promise<unknown> {
  let status: number
  let answer: unknown
  try {
    const received = await response
    status = received.status
    answer = await received.json()
  } catch (error) {
    throw dependencyUnavailable(`${target} is not available`, error)
  }
  if (status === 200) return answer
  const refusal = errorOf(answer)
  if (refusal && forwardedCodes.has(refusal.code)) throw refusal
  // Any other refusal is a fault of one of the two services (in the credential, the route or the format), not of the client.
  const reason = `it answered ${status} ${refusal ? `${refusal.code}: ${refusal.message}` : ''}`
  throw dependencyUnavailable(`${target} is not available`, new Error(reason))
}
