import { setTimeout as sleep } from 'node:timers/promises'
import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel'
import { type Call, remainingMs, waitUntilDeadline } from '#kernel/call.ts'
import { type DomainError, dependencyUnavailable, type ErrorCode, isDomainError } from '#kernel/errors.ts'
import { errorOf } from '#kernel/http/problem-documents.ts'
import { kernelProblems, type ProblemTable } from '#kernel/http/problems.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { CredentialIssuer } from './service-credential.ts'

/** Calls one other service. Each call may be repeated, because every operation of a port is safe to repeat. */
export interface HttpClient {
  /**
   * Sends a request, and repeats it with jitter until the deadline of the call, up to `maxAttempts` (3) times in all.
   * @param parse makes the result from the JSON of the answer, or throws
   * @throws DomainError `overloaded` or `dependency_unavailable`
   */
  request<T>(
    call: Call,
    request: {
      method: 'GET' | 'POST'
      path: string
      body?: unknown
      parse: (answer: unknown) => T
      maxAttempts?: number
    },
  ): Promise<T>
  /**
   * Waits, with jitter, before the next attempt of a call that failed.
   * @param attempt the number of attempts so far
   * @returns false if the call may not be repeated: no time, no attempt or no retry budget is left
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
const maxConsecutiveFailures = 5
const circuitOpenMs = 1_000
// All calls share a retry budget, so that retries do not keep a service overloaded. After a burst of ten retries, they
// add at most a fifth to its load.
const retriesPerCall = 0.2
const maxRetryBudget = 10

const circuitOpen = {
  name: 'trivet_circuit_open',
  help: '1 while calls of a service are refused without being sent, or a single one tries whether it is back; 0 otherwise',
}
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
  /** Tests replace it to lose answers and to deliver requests twice. */
  fetch?: typeof fetch
}): HttpClient {
  const { target, url, credential, logger, metrics, problems = kernelProblems } = options
  const { fetch: send = fetch } = options
  const isFailure = (error: unknown) => isDomainError(error, 'dependency_unavailable')
  const breaker = circuitBreaker(handleWhen(isFailure), {
    halfOpenAfter: circuitOpenMs,
    breaker: new ConsecutiveBreaker(maxConsecutiveFailures),
  })
  breaker.onBreak(() => logger.warn({ target }, 'circuit opened'))
  breaker.onReset(() => logger.info({ target }, 'circuit closed'))
  metrics.gauge(circuitOpen, () => (breaker.state === CircuitState.Closed ? 0 : 1), { target })
  const retried = metrics.counter(retries, { target })
  let retryBudget = maxRetryBudget

  const mayRepeat = async (
    call: Call,
    attempt: number,
    maxAttempts = defaultMaxAttempts,
  ): Promise<boolean> => {
    const waitMs = Math.random() * Math.min(30 * 2 ** attempt, maxBackoffMs)
    if (attempt >= maxAttempts || retryBudget < 1 || remainingMs(call) <= waitMs) return false
    retryBudget -= 1
    retried.add()
    await sleep(waitMs)
    return true
  }

  return {
    metrics,
    mayRepeat: (call, attempt) => mayRepeat(call, attempt),
    errorOf: (problem) => errorOf(problem, problems),

    async request(call, { method, path, body, parse, maxAttempts = defaultMaxAttempts }) {
      retryBudget = Math.min(maxRetryBudget, retryBudget + retriesPerCall)

      const exchange = async (timeoutMs: number) => {
        const headers = new Headers({ accept: 'application/json', 'x-request-id': call.requestId })
        if (call.traceparent) headers.set('traceparent', call.traceparent)
        if (body !== undefined) headers.set('content-type', 'application/json')
        if (credential) headers.set('authorization', `Bearer ${await credential(target)}`)
        const signal = AbortSignal.timeout(timeoutMs)
        const init: RequestInit = { method, headers, signal, redirect: 'error' }
        if (body !== undefined) init.body = JSON.stringify(body)
        return parse(await readAnswer(send(`${url}${path}`, init), target))
      }

      for (let attempt = 1; ; attempt++) {
        // The last attempt may use all of the remaining time. Each earlier attempt may use half of it.
        const timeoutMs = Math.floor(remainingMs(call) / (attempt === maxAttempts ? 1 : 2))
        // This error is thrown outside the breaker, because it is not a failure of the service.
        if (timeoutMs <= 0) throw dependencyUnavailable(`there is no time left to call ${target}`)
        try {
          // While the circuit is half open, the breaker lets one call through, and the other calls wait for it.
          return await waitUntilDeadline(
            call,
            target,
            breaker.execute(() => exchange(timeoutMs)),
          )
        } catch (error) {
          if (error instanceof BrokenCircuitError) {
            throw dependencyUnavailable(`${target} is not available`, error)
          }
          if (!isFailure(error) || !(await mayRepeat(call, attempt, maxAttempts))) throw error
        }
      }
    },
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
