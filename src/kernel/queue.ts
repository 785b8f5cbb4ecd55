import pLimit from 'p-limit'
import { type Call, remainingMs, waitUntilDeadline } from './call.ts'
import { DomainError, dependencyUnavailable } from './errors.ts'

/** @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline */
export type Queue = <T>(call: Call, work: () => Promise<T>) => Promise<T>

/** Creates a queue that carries out a limited number of tasks at once, and lets a limited number of them wait. */
export function createQueue(options: {
  /** The name of the work, for messages. */
  name: string
  maxConcurrent: number
  /** The number of tasks that may wait. */
  maxWaiting: number
}): Queue {
  const { name, maxConcurrent, maxWaiting } = options
  const turns = pLimit(maxConcurrent)
  return async (call, work) => {
    if (turns.pendingCount >= maxWaiting) {
      throw new DomainError('overloaded', `${maxWaiting} are waiting for ${name}; try again shortly`)
    }
    const turn = turns(() => {
      // The caller does not wait any more. To carry out the task would only delay the tasks behind it.
      if (remainingMs(call) <= 0) throw dependencyUnavailable('the time for this request is over')
      return work()
    })
    return waitUntilDeadline(call, name, turn)
  }
}
