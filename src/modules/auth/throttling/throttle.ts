import { type Call, createCall } from '#kernel/call.ts'
import type { Rate } from '#kernel/config/values.ts'
import { DomainError } from '#kernel/errors.ts'
import type { Count } from './count.ts'
import type { CounterRepository } from './counter.repository.ts'

/** A limit on how often something may happen, or fail, under one key. */
export interface Limit {
  readonly rate: Rate
  /** What is counted, for messages: `failed attempts for this account`. */
  readonly events: string
  readonly attempts: CounterRepository
  /** How often each key was locked recently. */
  readonly lockouts: CounterRepository
}

export interface Counter {
  limit: Limit
  key: string
}

// A lockout lasts for 1, 2, 4 and then always 8 periods of the limit.
const maxLockoutPeriods = 8
/** A lockout makes the next one longer if the next one begins within this number of periods after its end. */
const lockoutKeptForPeriods = 8
/** The time to store an outcome. The request's own deadline may have passed by then. */
const storeWithinMs = 2_000
/** The time after which attempts that are in progress have probably ended. */
const attemptTakesMs = 1_000

/**
 * Refuses a request before anything is counted. Only lockouts count here: an attempt in progress may still succeed.
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds, if one of the keys is locked
 */
export async function refuseThrottled(counters: readonly Counter[], call: Call): Promise<void> {
  const counts = await Promise.all(
    counters.map(async ({ limit, key }) => ({ limit, count: await limit.attempts.read(key, call) })),
  )
  const lockouts = counts.flatMap(({ limit, count }) =>
    count?.isLocked ? { limit, until: count.until } : [],
  )
  const [last] = lockouts.toSorted((one, other) => other.until - one.until)
  if (last) throw rateLimited(last.limit, last.until)
}

/**
 * Counts an event, whether it succeeds or fails.
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds, if there were too many
 */
export async function countOne({ limit, key }: Counter, call: Call): Promise<void> {
  const count = await limit.attempts.add(key, call)
  if (count.count > limit.rate.max) {
    await limit.attempts.subtract(key, count, call)
    throw rateLimited(limit, count.until)
  }
  if (count.count === limit.rate.max) await lock({ limit, key }, call)
}

/**
 * Makes an attempt, and counts it if it fails. The attempt is counted before it begins, and subtracted again if it succeeds. So the
 * limit also holds for requests that arrive at several replicas at once.
 * @param attempt resolves to whether it succeeded
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds; also every error of `attempt`, which counts as no failure
 */
export async function countFailures(
  counters: readonly Counter[],
  call: Call,
  attempt: () => Promise<boolean>,
): Promise<boolean> {
  const counted: { counter: Counter; count: Count }[] = []
  const subtractAgain = async () => {
    const storeCall = createCall(storeWithinMs, call.requestId)
    await Promise.all(
      counted.map(({ counter: { limit, key }, count }) => limit.attempts.subtract(key, count, storeCall)),
    )
  }
  let succeeded: boolean
  try {
    for (const counter of counters) {
      const { limit, key } = counter
      const count = await limit.attempts.add(key, call)
      counted.push({ counter, count })
      if (count.count > limit.rate.max) {
        throw rateLimited(limit, count.isLocked ? count.until : Date.now() + attemptTakesMs)
      }
    }
    succeeded = await attempt()
  } catch (error) {
    await subtractAgain()
    throw error
  }
  if (succeeded) {
    await subtractAgain()
    return true
  }
  const storeCall = createCall(storeWithinMs, call.requestId)
  const exhausted = counted.filter(({ counter, count }) => count.count === counter.limit.rate.max)
  await Promise.all(exhausted.map(({ counter }) => lock(counter, storeCall)))
  return false
}

/** Locks a key. Each lockout in succession is twice as long as the one before. */
async function lock({ limit: { attempts, lockouts, rate }, key }: Counter, call: Call): Promise<void> {
  const before = (await lockouts.read(key, call))?.count ?? 0
  const lockoutMs = rate.withinMs * Math.min(2 ** before, maxLockoutPeriods)
  if (!(await attempts.lock(key, lockoutMs, call))) return
  await lockouts.set(key, before + 1, lockoutMs + lockoutKeptForPeriods * rate.withinMs, call)
}

function rateLimited({ events }: Limit, until: number): DomainError {
  const retryAfter = Math.max(1, Math.ceil((until - Date.now()) / 1_000))
  return new DomainError('rate_limited', `too many ${events}: try again in ${retryAfter} s`, { retryAfter })
}
