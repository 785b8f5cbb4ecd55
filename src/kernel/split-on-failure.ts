import pLimit from 'p-limit'
import { createAdaptiveTimeout, recordFirst } from './adaptive-timeout.ts'
import type { ExecuteBatch } from './batching.ts'
import { isOutOfTime, shortenDeadline } from './call.ts'
import { isDomainError } from './errors.ts'

const minBatchTimeoutMs = 400
const maxConcurrentSingles = 32

/**
 * Executes a batch as one. If the batch fails or exceeds its timeout, each request is executed by itself, so that a
 * request that fails or hangs does not affect the others. If the database is unavailable, all requests fail at once.
 * @param execute must be safe to repeat, even while an earlier attempt may still take effect
 */
export function splitOnFailure<Request, Result>(
  execute: ExecuteBatch<Request, Result>,
): ExecuteBatch<Request, Result> {
  const slots = pLimit(maxConcurrentSingles)
  const timeout = createAdaptiveTimeout(minBatchTimeoutMs)
  return async (batch, call) => {
    if (batch.length === 1) return execute(batch, call)
    const batchCall = shortenDeadline(call, timeout.currentMs())
    try {
      return await timeout.measure(() => execute(batch, batchCall))
    } catch (error) {
      if (isDomainError(error, 'dependency_unavailable') && !isOutOfTime(batchCall)) throw error
      const measureFirst = recordFirst(timeout)
      return batch.map((queued) =>
        slots(async () => {
          const [outcome] = await measureFirst(() => execute([queued], queued.call))
          if (outcome instanceof Error) throw outcome
          return outcome as Result
        }),
      )
    }
  }
}
