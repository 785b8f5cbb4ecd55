import { type Call, callWithin } from '../../kernel/call.ts'
import type { Rate } from '../../kernel/config.ts'
import { DomainError } from '../../kernel/errors.ts'
import type { CounterRepository } from './throttle.repository.ts'

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
// More than will ever be taken back.
const locked = 1_000_000_000
// Milliseconds for taking note of an outcome, even if the request's own time is over by then.
const noteWithin = 2_000

/** @throws DomainError `rate_limited`, with `retryAfter` in seconds, if one of the counters is used up */
export async function refuseThrottled(counters: readonly Counter[], call: Call): Promise<void> {
  const found = await Promise.all(counters.map(({ limit, key }) => limit.counts.read(key, call)))
  for (const [at, { count, remaining }] of found.entries()) {
    const { limit } = counters[at] as Counter
    if (count >= limit.rate.most) throw rateLimited(limit, remaining)
  }
}

/**
 * Counts, of something that everybody may do so often.
 * @throws DomainError `rate_limited`, with `retryAfter` in seconds, once there were too many
 */
export async function countOne({ limit, key }: Counter, call: Call): Promise<void> {
  const { count, remaining } = await limit.counts.add(key, call)
  if (count > limit.rate.most) {
    await limit.counts.subtract(key, call)
    throw rateLimited(limit, remaining)
  }
  if (count === limit.rate.most) await lock({ limit, key }, call)
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
  const counted: { counter: Counter; count: number }[] = []
  const takeBack = async () => {
    const note = callWithin(noteWithin, call.requestId)
    await Promise.all(counted.map(({ counter: { limit, key } }) => limit.counts.subtract(key, note)))
  }
  try {
    for (const counter of counters) {
      const { count, remaining } = await counter.limit.counts.add(counter.key, call)
      counted.push({ counter, count })
      if (count > counter.limit.rate.most) throw rateLimited(counter.limit, remaining)
    }
    if (await work()) {
      await takeBack()
      return true
    }
  } catch (error) {
    await takeBack()
    throw error
  }
  const note = callWithin(noteWithin, call.requestId)
  const usedUp = counted.filter(({ counter, count }) => count === counter.limit.rate.most)
  await Promise.all(usedUp.map(({ counter }) => lock(counter, note)))
  return false
}

/** Nothing more under this key for a while, which is longer each time. */
async function lock({ limit, key }: Counter, call: Call): Promise<void> {
  const { counts, strikes, rate } = limit
  const { count } = await strikes.add(key, call)
  const wait = rate.within * Math.min(2 ** (count - 1), longestWait)
  await counts.set(key, locked, wait, call)
  await strikes.set(key, count, wait + remembered * rate.within, call)
}

function rateLimited({ of }: Limit, milliseconds: number): DomainError {
  const retryAfter = Math.max(1, Math.ceil(milliseconds / 1_000))
  return new DomainError('rate_limited', `too many ${of}: try again in ${retryAfter} s`, { retryAfter })
}
