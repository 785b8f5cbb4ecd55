import pLimit from 'p-limit'
import { type Call, remainingMs, requireRemainingMs, waitUntilDeadline } from './call.ts'
import { overloaded } from './errors.ts'
import type { QueueMetrics } from './queue-metrics.ts'

export interface Queue {
  /**
   * @throws DomainError `overloaded` when too many tasks wait, or, if the tasks are uniform, so many that this one could not start
   * before its deadline; `dependency_unavailable` at the deadline
   */
  <T>(call: Call, work: () => Promise<T>): Promise<T>
  /**
   * To be called before work that would be in vain without a place in the queue.
   * @throws DomainError `overloaded` if a task of this call would be refused at present
   */
  requirePlace(call: Call): void
}

// The weight of the last duration in the mean.
const weightOfLast = 0.2

/** Creates a queue that carries out a limited number of tasks at once, and lets a limited number of them wait. */
export function createQueue(options: {
  /** The name of the work in messages. */
  name: string
  maxConcurrent: number
  maxWaiting: number
  /** Whether each task takes about the same time, so that the duration of earlier tasks tells how long a task will wait. */
  isUniform?: boolean
  metrics?: QueueMetrics
}): Queue {
  const { name, maxConcurrent, maxWaiting, isUniform = false, metrics } = options
  const limit = pLimit(maxConcurrent)
  let meanMs: number | undefined

  const requirePlace = (call: Call) => {
    const waitMs = isUniform ? Math.floor(limit.pendingCount / maxConcurrent) * (meanMs ?? 0) : 0
    if (limit.pendingCount < maxWaiting && waitMs <= Math.max(0, remainingMs(call))) return
    metrics?.refused()
    throw overloaded(limit.pendingCount, name)
  }

  const measure = async <T>(work: () => Promise<T>): Promise<T> => {
    const startedAt = performance.now()
    const result = await work()
    const durationMs = performance.now() - startedAt
    meanMs = meanMs === undefined ? durationMs : meanMs + weightOfLast * (durationMs - meanMs)
    return result
  }

  const run = async <T>(call: Call, work: () => Promise<T>): Promise<T> => {
    requirePlace(call)
    const enteredAtMs = performance.now()
    metrics?.entered()
    const task = limit(() => {
      metrics?.left(performance.now() - enteredAtMs)
      // After the deadline the caller no longer waits. The task would only delay the tasks behind it.
      requireRemainingMs(call)
      return measure(work)
    })
    return waitUntilDeadline(call, name, task)
  }
  return Object.assign(run, { requirePlace })
}
