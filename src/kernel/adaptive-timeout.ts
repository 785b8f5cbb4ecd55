/** A timeout that grows with the time that the work has taken recently. */
export interface AdaptiveTimeout {
  currentMs(): number
  /** Records the duration of a piece of work. */
  record(durationMs: number): void
  /** Carries out a piece of work, and records its duration if it succeeds. */
  measure<T>(work: () => Promise<T>): Promise<T>
}

// Each recorded duration reduces the longest one to this share, so that old durations are forgotten.
const decay = 0.9

/**
 * The timeout is `minMs`, or twice the time that the work has taken recently if that is longer. A slow database must not count
 * as hanging: each request would be sent again, in more commands than before.
 */
export function createAdaptiveTimeout(minMs: number): AdaptiveTimeout {
  let longestMs = 0
  const record = (durationMs: number) => {
    longestMs = Math.max(durationMs, longestMs * decay)
  }
  return {
    // A whole number, because MongoDB refuses a fractional maxTimeMS.
    currentMs: () => Math.max(minMs, Math.ceil(2 * longestMs)),
    record,
    async measure(work) {
      const startedAt = performance.now()
      const result = await work()
      record(performance.now() - startedAt)
      return result
    },
  }
}

/**
 * Records the duration of the first piece of work that succeeds. It shows whether the whole database is slow, or only one
 * piece of work hangs.
 */
export function recordFirst(timeout: AdaptiveTimeout) {
  let isRecorded = false
  return async <T>(work: () => Promise<T>): Promise<T> => {
    const startedAt = performance.now()
    const result = await work()
    if (!isRecorded) timeout.record(performance.now() - startedAt)
    isRecorded = true
    return result
  }
}
