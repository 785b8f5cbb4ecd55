import pLimit from 'p-limit'
import { type Call, remaining, withinDeadline } from './call.ts'
import { DomainError, dependencyUnavailable } from './errors.ts'

/** @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline */
export type Queue = <T>(call: Call, work: () => Promise<T>) => Promise<T>

/** Work that takes turns, so many at a time and so many waiting. */
export function createQueue(options: {
  /** What is waited for, in messages. */
  name: string
  maxConcurrent: number
  /** How many may wait. */
  maxWaiting: number
}): Queue {
  const { name, maxConcurrent, maxWaiting } = options
  const turns = pLimit(maxConcurrent)
  return async (call, work) => {
    if (turns.pendingCount >= maxWaiting) {
      throw new DomainError('overloaded', `${maxWaiting} are waiting for ${name}; try again shortly`)
    }
    const turn = turns(() => {
      // Nobody waits for it any more: doing it all the same would only make those behind late as well.
      if (remaining(call) <= 0) throw dependencyUnavailable('the time for this request is over')
      return work()
    })
    return withinDeadline(call, name, turn)
  }
}
