import { setTimeout as sleep } from 'node:timers/promises'
import { BrokenCircuitError, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel'
import { type Call, remainingMs, waitUntilDeadline } from '#kernel/call.ts'
import { DomainError, dependencyUnavailable, type ErrorCode, isDomainError } from '#kernel/errors.ts'
import { errorOf, kernelProblems, type ProblemTable } from '#kernel/http/problems.ts'
import type { Logger } from '#kernel/logger.ts'
import type { CredentialIssuer } from './service-credential.ts'

/** Calls one other service. Every operation of a port is safe to repeat, and so every call may be. */
export interface HttpClient {
  /**
   * At most three attempts with jitter before the call's deadline, or as many as `attempts` says.
   * @param parse makes the result of the answer's JSON, or throws
   * @throws DomainError what the service answered; `dependency_unavailable` if it did not, or not in its own words
   */
  request<T>(
    call: Call,
    request: {
      method: 'GET' | 'POST'
      path: string
      body?: unknown
      parse: (answer: unknown) => T
      attempts?: number
    },
  ): Promise<T>
  /**
   * Waits before another attempt at what failed, with jitter.
   * @param attempt how many there have been
   * @returns false if there may not be another: for want of time, attempts, or budget for all calls of this client
   */
  mayRepeat(call: Call, attempt: number): Promise<boolean>
  /** The error that a problem document of the service stands for, or undefined if its code is unknown. */
  errorOf(problem: unknown): DomainError | undefined
}

/** Attempts at a call, the first included. */
const attemptsOfCall = 3
const maxBackoffMs = 300
const maxConsecutiveFailures = 5
const circuitOpenMs = 1_000
// Retries may add a fifth to the load at most (and a burst of ten), so that they never keep a struggling service down.
const budget = { perCall: 0.2, most: 10 }

export function createHttpClient(options: {
  /** The name of the module that answers at `url`. */
  target: string
  url: string
  /** Without it, only what is public can be asked for. */
  credential?: CredentialIssuer | undefined
  logger: Logger
  /** The problems that the service may answer. Without it, those of the kernel. */
  problems?: ProblemTable
  /** Replaced in tests, to lose answers and to deliver twice. */
  fetch?: typeof fetch
}): HttpClient {
  const { target, url, credential, logger, problems = kernelProblems, fetch: send = fetch } = options
  const isFailure = (error: unknown) => isDomainError(error, 'dependency_unavailable')
  const breaker = circuitBreaker(handleWhen(isFailure), {
    halfOpenAfter: circuitOpenMs,
    breaker: new ConsecutiveBreaker(maxConsecutiveFailures),
  })
  breaker.onBreak(() => logger.warn({ target }, 'circuit opened'))
  breaker.onReset(() => logger.info({ target }, 'circuit closed'))
  let retries: number = budget.most

  const mayRepeat = async (call: Call, attempt: number, attempts = attemptsOfCall): Promise<boolean> => {
    const waitMs = Math.random() * Math.min(30 * 2 ** attempt, maxBackoffMs)
    if (attempt >= attempts || retries < 1 || remainingMs(call) <= waitMs) return false
    retries -= 1
    await sleep(waitMs)
    return true
  }

  return {
    mayRepeat: (call, attempt) => mayRepeat(call, attempt),
    errorOf: (problem) => errorOf(problem, problems),

    async request(call, { method, path, body, parse, attempts = attemptsOfCall }) {
      retries = Math.min(budget.most, retries + budget.perCall)

      const exchange = async (limit: number) => {
        const headers = new Headers({ accept: 'application/json', 'x-request-id': call.requestId })
        if (call.traceparent) headers.set('traceparent', call.traceparent)
        if (body !== undefined) headers.set('content-type', 'application/json')
        if (credential) headers.set('authorization', `Bearer ${await credential(target)}`)
        const init: RequestInit = { method, headers, signal: AbortSignal.timeout(limit), redirect: 'error' }
        if (body !== undefined) init.body = JSON.stringify(body)
        return parse(await answerOf(send(`${url}${path}`, init), target, logger))
      }

      for (let attempt = 1; ; attempt++) {
        // The last attempt may use all the time there is, each before it half of what is left.
        const limit = Math.floor(remainingMs(call) / (attempt === attempts ? 1 : 2))
        // Said before the breaker hears of it: a caller without time tells nothing about the service.
        if (limit <= 0) throw dependencyUnavailable(`there is no time left to ask ${target}`)
        try {
          // The breaker makes calls wait for the one that tries whether the service is back.
          return await waitUntilDeadline(
            call,
            target,
            breaker.execute(() => exchange(limit)),
          )
        } catch (error) {
          if (error instanceof BrokenCircuitError) {
            throw dependencyUnavailable(`${target} is not available`, error)
          }
          if (!isFailure(error) || !(await mayRepeat(call, attempt, attempts))) throw error
        }
      }
    },
  }
}

const passedOn = new Set<ErrorCode>(['dependency_unavailable', 'overloaded'])

async function answerOf(exchange: Promise<Response>, target: string, logger: Logger): Promise<unknown> {
  let status: number
  let answer: unknown
  try {
    const response = await exchange
    status = response.status
    answer = await response.json()
  } catch (error) {
    throw dependencyUnavailable(`${target} is not available`, error)
  }
  if (status === 200) return answer
  const refusal = errorOf(answer)
  if (refusal && passedOn.has(refusal.code)) throw refusal
  // Any other refusal is of the call itself (credential, route, format) or a fault over there, never the client's.
  logger.error({ target, status, code: refusal?.code, detail: refusal?.message }, 'a call was refused')
  throw new DomainError('dependency_unavailable', `${target} is not available`)
}
