import type { IncomingMessage, ServerResponse } from 'node:http'
import { Yallist } from 'yallist'
import type { QueueMetrics } from '#kernel/queue-metrics.ts'
import type { ConcurrencyLimitOptions } from './concurrency-limit.ts'
import { createPlaces } from './places.ts'

export interface BulkheadLimits {
  /** The number of requests that may be in progress. */
  inProgress: ConcurrencyLimitOptions
  /** The number of requests that may wait. */
  maxWaiting: number
  /** The time after which a request that waits is refused, while requests are being refused. */
  maxWaitMs: number
  /** The time after which it is refused otherwise: the requests that wait may be a burst, which ends soon. */
  maxBurstWaitMs: number
}

export interface Answering {
  /** Carries out a request, and returns when it is answered. */
  start(request: IncomingMessage, response: ServerResponse): Promise<void>
  /** Answers a request that is not carried out. */
  refuse(response: ServerResponse): void
}

interface Waiting {
  response: ServerResponse
  /** A value of `performance.now`. */
  since: number
  end(): void
}

// A process is overloaded until it has refused no request for this time. The queue alone does not tell: it is empty for a moment
// whenever many requests are answered at once.
const overloadLastsMs = 5_000

export type Bulkhead = ReturnType<typeof createBulkhead>

/**
 * Limits the requests in progress, so that those of one module do not take the time and the memory of the others. A request
 * without a place waits for a short time, and is then refused. A burst may wait for longer, as with the controlled delay of
 * Ben Maurer, "Fail at Scale", ACM Queue 13 (8), 2015.
 */
export function createBulkhead(
  { inProgress, maxWaiting, maxWaitMs, maxBurstWaitMs }: BulkheadLimits,
  { start, refuse }: Answering,
  metrics?: QueueMetrics,
) {
  const places = createPlaces(inProgress, beginNext)
  const waiting = new Yallist<Waiting>()
  let lastRefusedAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  const begin = async (response: ServerResponse): Promise<void> => {
    const leave = places.take(response.req)
    let isCarriedOut = false
    try {
      await start(response.req, response)
      isCarriedOut = response.statusCode < 400
    } finally {
      leave(isCarriedOut)
    }
  }

  const takeFirst = (): Waiting | undefined => {
    const first = waiting.shift()
    if (first) metrics?.left(performance.now() - first.since)
    return first
  }

  function beginNext(): void {
    while (waiting.head && places.isFreeFor(waiting.head.value.response.req)) {
      const next = takeFirst() as Waiting
      // A client that has left has destroyed its response.
      if (next.response.destroyed) next.end()
      else void begin(next.response).finally(next.end)
    }
  }

  const refuseOverdue = () => {
    const now = performance.now()
    const patienceMs = now - lastRefusedAt < overloadLastsMs ? maxWaitMs : maxBurstWaitMs
    while (waiting.head && now - waiting.head.value.since >= patienceMs) {
      const { response, end } = takeFirst() as Waiting
      refuseNow(response)
      end()
    }
    timer = waiting.head && setTimeout(refuseOverdue, maxWaitMs)
  }

  const refuseNow = (response: ServerResponse) => {
    if (response.destroyed) return
    lastRefusedAt = performance.now()
    metrics?.refused()
    refuse(response)
  }

  return {
    inProgress: places.taken,
    limit: places.limit,

    /** Starts a request now or soon, or refuses it. It returns when the request is answered. */
    async enter(response: ServerResponse): Promise<void> {
      if (places.isFreeFor(response.req)) return begin(response)
      if (waiting.length >= maxWaiting) return refuseNow(response)
      metrics?.entered()
      const since = performance.now()
      if (!timer) timer = setTimeout(refuseOverdue, maxWaitMs)
      return new Promise((end) => waiting.push({ response, since, end }))
    },
  }
}
