import pLimit from 'p-limit'
import { type Call, remaining, withinDeadline } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable } from '../../kernel/errors.ts'

export type StockQueue = <T>(call: Call, work: () => Promise<T>) => Promise<T>

const bound = 2_000

/**
 * All that moves stock waits here in line, one transaction at a time: transactions of one process
 * that met on a hot product would only abort each other. Several processes still meet, and decide anew.
 * @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline
 */
export function createStockQueue(): StockQueue {
  const turns = pLimit(1)
  return async (call, work) => {
    if (turns.pendingCount >= bound) {
      throw new DomainError('overloaded', `${bound} stock movements are waiting; try again shortly`)
    }
    const turn = turns(() => {
      // Nobody waits for it any more: doing it all the same would only delay those behind.
      if (remaining(call) <= 0) throw dependencyUnavailable('the time for this request is over')
      return work()
    })
    return withinDeadline(call, 'the stock queue', turn)
  }
}
