import pLimit from 'p-limit'
import { type Call, requireRemainingMs, waitUntilDeadline } from './call.ts'
import { DomainError } from './errors.ts'
import type { QueueMetrics } from './queue-metrics.ts'

/** @throws DomainError `overloaded` when too many tasks wait; `dependency_unavailable` at the deadline */
export type Queue = <T>(call: Call, work: () => Promise<T>) => Promise<T>

/** Creates a queue that carries out a limited number of tasks at once, and lets a limited number of them wait. */
export function createQueue(options: {
  /** The name of the work in messages. */
  name: string
  maxConcurrent: number
  maxWaiting: number
  metrics?: QueueMetrics
}): Queue {
  const { name, maxConcurrent, maxWaiting, metrics } = options
  const limit = pLimit(maxConcurrent)
  return async (call, work) => {
    if (limit.pendingCount >= maxWaiting) {
      metrics?.refused()
      throw new DomainError('overloaded', `${maxWaiting} requests are waiting for ${name}; try again shortly`)
    }
    const enteredAtMs = performance.now()
    metrics?.entered()
    const task = limit(() => {
      metrics?.left(performance.now() - enteredAtMs)
      // After the deadline the caller no longer waits. The task would only delay the tasks behind it.
      requireRemainingMs(call)
      return work()
    })
    return waitUntilDeadline(call, name, task)
  }
}
