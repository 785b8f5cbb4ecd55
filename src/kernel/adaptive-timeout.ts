/** A timeout that grows with the time that operations have taken recently. */
export interface AdaptiveTimeout {
  currentMs(): number
  /** Records the duration of an operation. */
  record(durationMs: number): void
  /** Runs an operation, and records its duration if it succeeds. */
  measure<T>(work: () => Promise<T>): Promise<T>
}

// Each new duration multiplies the longest one by this factor, so that old durations lose their effect.
const decay = 0.9

/**
 * The timeout is `minMs`, or twice the longest recent duration if that is longer. Otherwise a slow database would count
 * as hanging, and repeated requests would slow it down further.
 */
export function createAdaptiveTimeout(minMs: number): AdaptiveTimeout {
  let longestMs = 0
  const record = (durationMs: number) => {
    longestMs = Math.max(durationMs, longestMs * decay)
  }
  return {
    // The timeout is an integer, because MongoDB refuses a fractional maxTimeMS.
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
 * Records only the duration of the first operation that succeeds. A long duration means that the database is slow, a
 * short one that a single operation hangs.
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
