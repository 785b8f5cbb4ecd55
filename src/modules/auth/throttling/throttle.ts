import { type Call, createCall } from '#kernel/call.ts'
import type { Rate } from '#kernel/config/values.ts'

import { DomainError } from '#kernel/errors.ts'
import type { Count, CounterRepository } from './counter.repository.ts'

/** How often something may be done, or go wrong, under one key. */
export interface Limit {
  readonly rate: Rate
  /** What is counted, for messages: `sign-ins that failed`. */
  readonly of: string
  readonly counts: CounterRepository
  /** How often it was used up of late: what makes waits grow. */
  readonly strikes: CounterRepository
}

export interface Counter {
  limit: Limit
  key: string
}

/** Each time that a limit is used up the wait is twice as long: 1, 2, 4 and then 8 times the limit's own period. */
const longestWait = 8
/** Periods after the end of a wait for which it is remembered. */
const remembered = 8
// Milliseconds for taking note of an outcome, even if the request's own time is over by then.
const noteWithin = 2_000
/** Milliseconds after which attempts that are being made now have come to something. */
const undecided = 1_000

/**
 * Before anything is counted. An attempt that is being made may yet be right, and is not held against another here.
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds, if one of the counters is used up
 */
export async function refuseThrottled(counters: readonly Counter[], call: Call): Promise<void> {
  const found = await Promise.all(
    counters.map(async ({ limit, key }) => ({ limit, ...(await limit.counts.read(key, call)) })),
  )
  const [longest] = found
    .filter(({ isLocked }) => isLocked)
    .toSorted((one, other) => (other.until ?? 0) - (one.until ?? 0))
  if (longest) throw rateLimited(longest.limit, longest.until ?? 0)
}

/**
 * Counts, of something that everybody may do so often.
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds, once there were too many
 */
export async function countOne({ limit, key }: Counter, call: Call): Promise<void> {
  const counted = await limit.counts.add(key, call)
  if (counted.count > limit.rate.max) {
    await limit.counts.subtract(key, counted, call)
    throw rateLimited(limit, counted.until)
  }
  if (counted.count === limit.rate.max) await lock({ limit, key }, call)
}

/**
 * An attempt that may be wrong so often. It is counted before it begins and taken back if it was right: however many
 * come at once, over however many replicas, no more are let through than may be wrong.
 * @param work whether it was right
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds; whatever `work` throws, which counts for nothing
 */
export async function countFailures(
  counters: readonly Counter[],
  call: Call,
  work: () => Promise<boolean>,
): Promise<boolean> {
  const counted: { counter: Counter; count: Count }[] = []
  const takeBack = async () => {
    const note = createCall(noteWithin, call.requestId)
    await Promise.all(
      counted.map(({ counter: { limit, key }, count }) => limit.counts.subtract(key, count, note)),
    )
  }
  let isRight: boolean
  try {
    for (const counter of counters) {
      const { limit, key } = counter
      const count = await limit.counts.add(key, call)
      counted.push({ counter, count })
      if (count.count > limit.rate.max) {
        throw rateLimited(limit, count.isLocked ? count.until : Date.now() + undecided)
      }
    }
    isRight = await work()
  } catch (error) {
    await takeBack()
    throw error
  }
  if (isRight) {
    await takeBack()
    return true
  }
  const note = createCall(noteWithin, call.requestId)
  const usedUp = counted.filter(({ counter, count }) => count.count === counter.limit.rate.max)
  await Promise.all(usedUp.map(({ counter }) => lock(counter, note)))
  return false
}

/** Nothing more under this key for a while, which is longer each time. */
async function lock({ limit: { counts, strikes, rate }, key }: Counter, call: Call): Promise<void> {
  const before = (await strikes.read(key, call))?.count ?? 0
  const wait = rate.withinMs * Math.min(2 ** before, longestWait)
  if (!(await counts.lock(key, wait, call))) return
  await strikes.set(key, before + 1, wait + remembered * rate.withinMs, call)
}

function rateLimited({ of }: Limit, until: number): DomainError {
  const retryAfter = Math.max(1, Math.ceil((until - Date.now()) / 1_000))
  return new DomainError('rate_limited', `too many ${of}: try again in ${retryAfter} s`, { retryAfter })
}
