import { batched } from './batching.ts'
import { type Call, retryOnTimeout } from './call.ts'
import { createKeyedQueues } from './keyed-queues.ts'
import type { BatchMetrics } from './queue-metrics.ts'

const firstAttemptMs = 500

/**
 * Coalesces equal requests: all requests that are waiting share one read, which always starts after they have arrived.
 * At most two reads of a key run at once. A read that takes longer than half a second is started again.
 *
 * @param options.isSlow returns true for a read that is not started again, because it may take longer
 * @param options.keyOf returns the same key for equal requests
 * @returns a function that throws the errors of `batched`. Several callers get the same object, so that none of them
 * may modify it
 */
export function coalesceReads<Request, Result>(
  options: {
    name: string
    maxWaiting: number
    keyOf: (request: Request) => string
    isSlow?: (request: Request) => boolean
    metrics?: BatchMetrics
  },
  read: (request: Request, call: Call) => Promise<Result>,
): (request: Request, call: Call) => Promise<Result> {
  const { name, maxWaiting, keyOf, isSlow, metrics } = options
  const queueOptions = {
    name,
    maxConcurrent: 2,
    maxWaiting,
    maxBatchWeight: maxWaiting,
    ...(metrics && { metrics }),
  }
  const queues = createKeyedQueues<Request, Result>(() =>
    batched(queueOptions, async (batch, call) => {
      const request = batch[0]?.request as Request
      const result = await (isSlow?.(request)
        ? read(request, call)
        : retryOnTimeout(call, firstAttemptMs, name, (attemptCall) => read(request, attemptCall)))
      return batch.map(() => result)
    }),
  )
  return (request, call) => queues.submit(keyOf(request), request, call)
}
