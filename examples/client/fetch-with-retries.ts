import { setTimeout as sleep } from 'node:timers/promises'
import type { components } from './schema.d.ts'

type Problem = components['schemas']['Problem']

const maxAttempts = 5
// After a longer wait, such as the one for too many failed sign-ins, a person should decide whether to try again.
const maxWaitSeconds = 30

/**
 * Sends a request, and sends it again unchanged while its answer says so: `retryable` in the problem, after the time in
 * Retry-After. A request whose connection fails is sent again too, because the client cannot know whether it took effect.
 * A POST is sent again only if it has an Idempotency-Key. Without one, it could take effect twice.
 */
export async function fetchWithRetries(request: Request): Promise<Response> {
  const repeatable = request.method !== 'POST' || request.headers.has('Idempotency-Key')
  for (let attempt = 1; repeatable && attempt < maxAttempts; attempt += 1) {
    // A clone is sent, because a request whose body was read cannot be sent again.
    const response = await fetch(request.clone()).catch(() => undefined)
    if (response && !(await isRetryable(response))) return response
    const waitSeconds = Number(response?.headers.get('Retry-After') ?? attempt)
    if (response && waitSeconds > maxWaitSeconds) return response
    // The random part keeps clients that failed together from returning together.
    await sleep(1_000 * (waitSeconds + Math.random() / 2))
  }
  return fetch(request)
}

async function isRetryable(response: Response): Promise<boolean> {
  if (response.headers.get('Content-Type') !== 'application/problem+json') return false
  const { retryable } = (await response.clone().json()) as Problem
  return retryable
}
