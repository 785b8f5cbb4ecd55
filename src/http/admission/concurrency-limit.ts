export interface ConcurrencyLimitOptions {
  /** The mean time in which requests should be answered. */
  targetMs: number
  min: number
  max: number
}

// The limit changes at most once in this time. A batch of orders takes about as long on a busy machine.
const everyMs = 250
const decrease = 0.9
const increase = 1.2
// The limit increases below this part of the target. Between the two it stays.
const lowerTarget = 0.6

/**
 * A limit of the requests in progress that follows the time in which they are answered. By Little's law, more requests in progress
 * than rate × time are not answered sooner, and only hold memory and lengthen each iteration of the event loop. A fixed number would
 * suit one kind of request on one machine: ten times as many reads as orders are answered in the same time.
 *
 * The limit changes by a part of itself, four times a second at most, and only while more than half of it is in use: the time of a few
 * requests tells nothing about many.
 */
export function createConcurrencyLimit({ targetMs, min, max }: ConcurrencyLimitOptions) {
  let limit = Math.sqrt(min * max)
  let isInUse = false
  let answered = 0
  let totalMs = 0
  let changedAt = performance.now()

  const change = (now: number) => {
    const meanMs = totalMs / answered
    if (isInUse && meanMs > targetMs) limit = Math.max(min, limit * decrease)
    else if (isInUse && meanMs < lowerTarget * targetMs) limit = Math.min(max, limit * increase)
    isInUse = false
    answered = 0
    totalMs = 0
    changedAt = now
  }

  return {
    current: () => limit,

    /**
     * @param durationMs the time from the beginning of a request to its answer
     * @param inProgress the number of requests that were in progress, with this one
     */
    count(durationMs: number, inProgress: number): void {
      if (inProgress > limit / 2) isInUse = true
      answered += 1
      totalMs += durationMs
      const now = performance.now()
      if (now - changedAt >= everyMs) change(now)
    },
  }
}
