import type { Call } from '../../kernel/call.ts'
import { DomainError } from '../../kernel/errors.ts'
import type { StockQueue } from './stock-queue.ts'

/** A request that waits for its turn, and whoever waits for its outcome. */
export interface Waiting<Request> {
  request: Request
  call: Call
}

interface Entry<Request, Outcome> extends Waiting<Request> {
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

/**
 * Requests of one kind that wait for a turn of the queue take it together, in the order they came: a rush would
 * otherwise outlast the time that those who wait in it have.
 * @param weigh what a request adds to the turn, of `most`
 * @param work answers each of the batch; its call has the deadline of the one that waits longest
 */
export function sharedTurns<Request, Outcome>(
  queue: StockQueue,
  options: { most: number; weigh: (request: Request) => number },
  work: (batch: readonly Waiting<Request>[], call: Call) => Promise<(Outcome | DomainError)[]>,
): (request: Request, call: Call) => Promise<Outcome> {
  const waiting = new Set<Entry<Request, Outcome>>()

  const nextBatch = (): Entry<Request, Outcome>[] => {
    const batch: Entry<Request, Outcome>[] = []
    let weight = 0
    for (const entry of waiting) {
      weight += options.weigh(entry.request)
      if (batch.length > 0 && weight > options.most) break
      waiting.delete(entry)
      batch.push(entry)
    }
    return batch
  }

  const takeTurn = async (own: Call): Promise<void> => {
    const batch = nextBatch()
    // Nobody waits any longer than the last of them; each one's own deadline counts when it is decided.
    const last = batch.reduce((last, { call }) => (call.deadline > last.deadline ? call : last), own)
    try {
      const outcomes = await work(batch, last)
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome instanceof DomainError) batch[at]?.reject(outcome)
        else batch[at]?.resolve(outcome)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  return (request, call) => {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    const entry = { request, call, resolve, reject }
    waiting.add(entry)
    const turn = queue(call, async () => {
      // An earlier turn has often taken it along.
      if (waiting.has(entry)) await takeTurn(call)
    })
    turn.catch((error: unknown) => {
      waiting.delete(entry)
      reject(error)
    })
    return promise
  }
}
