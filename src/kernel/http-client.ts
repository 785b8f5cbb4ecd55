import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  retry,
  wrap,
} from 'cockatiel'
import { type Call, remaining } from './call.ts'
import { DomainError, dependencyUnavailable, isDomainError } from './errors.ts'
import { errorOf } from './http-errors.ts'
import type { Logger } from './logger.ts'
import type { CredentialIssuer } from './service-credential.ts'

/** Calls one other service. Every operation of a port is safe to repeat, and so every call may be. */
export interface HttpClient {
  /**
   * At most three attempts with jitter before the call's deadline.
   * @param parse makes the result of the answer's JSON, or throws
   * @throws DomainError what the service answered; `dependency_unavailable` if it did not, or not in its own words
   */
  request<T>(
    call: Call,
    request: { method: 'GET' | 'POST'; path: string; body?: unknown; parse: (answer: unknown) => T },
  ): Promise<T>
}

const attempts = 3
const breakAfter = 5
const breakFor = 1_000
// Retries may add a fifth to the load at most (and a burst of ten), so that they never keep a struggling service down.
const budget = { perCall: 0.2, most: 10 }

export function createHttpClient(options: {
  /** The name of the module that answers at `url`. */
  target: string
  url: string
  /** Without it, only what is public can be asked for. */
  credential?: CredentialIssuer | undefined
  logger: Logger
  /** Replaced in tests, to lose answers and to deliver twice. */
  fetch?: typeof fetch
}): HttpClient {
  const { target, url, credential, logger, fetch: send = fetch } = options
  let retries: number = budget.most

  const worthRepeating = handleWhen((error) => isDomainError(error, 'dependency_unavailable'))
  const breaker = circuitBreaker(worthRepeating, {
    halfOpenAfter: breakFor,
    breaker: new ConsecutiveBreaker(breakAfter),
  })
  const withinBudget = handleWhen((error) => isDomainError(error, 'dependency_unavailable') && retries >= 1)
  const policy = wrap(
    retry(withinBudget, {
      maxAttempts: attempts - 1,
      backoff: new ExponentialBackoff({ initialDelay: 30, maxDelay: 300 }),
    }),
    breaker,
  )
  breaker.onBreak(() => logger.warn({ target }, 'calls fail: not calling for a moment'))
  breaker.onReset(() => logger.info({ target }, 'calls succeed again'))

  return {
    async request(call, { method, path, body, parse }) {
      retries = Math.min(budget.most, retries + budget.perCall)
      let attempt = 0
      try {
        return await policy.execute(async () => {
          if (attempt > 0) retries -= 1
          attempt += 1
          // The last attempt may use all the time there is, each before it half of what is left.
          const limit = Math.floor(remaining(call) / (attempt === attempts ? 1 : 2))
          if (limit <= 0) throw dependencyUnavailable(`${target} did not answer in time`)
          const headers = new Headers({ accept: 'application/json', 'x-request-id': call.requestId })
          if (call.traceparent) headers.set('traceparent', call.traceparent)
          if (body !== undefined) headers.set('content-type', 'application/json')
          if (credential) headers.set('authorization', `Bearer ${await credential(target)}`)
          const init: RequestInit = { method, headers, signal: AbortSignal.timeout(limit), redirect: 'error' }
          if (body !== undefined) init.body = JSON.stringify(body)
          return parse(await answerOf(send(`${url}${path}`, init), target, logger))
        })
      } catch (error) {
        if (error instanceof BrokenCircuitError) {
          throw dependencyUnavailable(`${target} is not available`, error)
        }
        throw error
      }
    },
  }
}

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
  if (refusal && status >= 500) throw refusal
  // A refusal of the call itself (credential, route, format) is a fault of the deployment, not of the request.
  logger.error({ target, status, code: refusal?.code, detail: refusal?.message }, 'a call was refused')
  throw new DomainError('dependency_unavailable', `${target} is not available`)
}
