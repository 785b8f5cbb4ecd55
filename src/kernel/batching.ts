import { atDeadline, type Call } from './call.ts'
import { DomainError, dependencyUnavailable } from './errors.ts'
import { LinkedList } from './linked-list.ts'

/** A request that waits to be carried out, and on whose behalf. */
export interface Waiting<Request> {
  readonly request: Request
  readonly call: Call
}

interface Entry<Request, Result> extends Waiting<Request> {
  readonly weight: number
  isWaiting: boolean
  settle(outcome: Result | Error): void
}

/**
 * Requests that wait are carried out together, in the order they came: one round trip for all of them. Nobody waits for
 * company: with nothing under way, what has come in this round of the event loop begins at its end. What comes while
 * `inFlight` batches are under way makes up the next one, so a batch always begins after each of its requests came.
 *
 * @param options `name`: what is waited for, in messages. `inFlight`: batches at a time. `bound`: requests that may wait.
 * `most`: what one batch takes on, in requests or as `weigh` says; a request that is more than that goes alone. `rest`:
 * milliseconds from the end of a batch until the next one may take its place
 * @param carryOut answers each of the batch, a result or what is thrown at its caller, in their order; what it throws
 * itself goes to all of them. Its call has the deadline of whoever waits longest, by which it must be done
 * @returns the batched function; it throws DomainError `overloaded` when too many wait, `dependency_unavailable` at the
 * deadline of its own call
 */
export function batched<Request, Result>(
  options: {
    name: string
    inFlight: number
    bound: number
    most: number
    weigh?: (request: Request) => number
    rest?: () => number
  },
  carryOut: (batch: readonly Waiting<Request>[], call: Call) => Promise<readonly (Result | Error)[]>,
): (request: Request, call: Call) => Promise<Result> {
  const { name, inFlight, bound, most, weigh = () => 1, rest = () => 0 } = options
  const waiting = new LinkedList<Entry<Request, Result>>()
  let underWay = 0
  let planned = false

  const nextBatch = (): Entry<Request, Result>[] => {
    const batch: Entry<Request, Result>[] = []
    let weight = 0
    for (const place of waiting) {
      weight += place.value.weight
      if (batch.length > 0 && weight > most) break
      waiting.remove(place)
      place.value.isWaiting = false
      batch.push(place.value)
    }
    return batch
  }

  const carryOutNext = async (): Promise<void> => {
    const batch = nextBatch()
    underWay += 1
    let outcomes: readonly (Result | Error)[]
    try {
      outcomes = await carryOut(batch, lastCall(batch))
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown))
      outcomes = batch.map(() => error)
    }
    const next = () => {
      underWay -= 1
      begin()
    }
    const pause = rest()
    // Before the answers: while these are being written, the next batch is on its way.
    if (pause > 0) setTimeout(next, pause)
    else next()
    for (const [at, entry] of batch.entries()) {
      entry.settle(
        at in outcomes ? (outcomes[at] as Result | Error) : new Error(`${name} left out a request`),
      )
    }
  }

  const begin = () => {
    planned = false
    while (waiting.size > 0 && underWay < inFlight) void carryOutNext()
  }

  return (request, call) =>
    new Promise<Result>((resolve, reject) => {
      if (waiting.size >= bound) {
        reject(new DomainError('overloaded', `${bound} are waiting for ${name}; try again shortly`))
        return
      }
      const entry: Entry<Request, Result> = {
        request,
        call,
        weight: weigh(request),
        isWaiting: true,
        settle(outcome) {
          answered()
          if (outcome instanceof Error) reject(outcome)
          else resolve(outcome)
        },
      }
      const answered = atDeadline(call, () => {
        if (entry.isWaiting) waiting.remove(place)
        reject(dependencyUnavailable(`${name} did not answer in time`))
      })
      const place = waiting.add(entry)
      if (planned || underWay >= inFlight) return
      planned = true
      setImmediate(begin)
    })
}

/**
 * Equal reads that wait share one, which always begins after each of them came, at most two of a kind at a time.
 *
 * @param keyOf equal for equal requests
 * @returns as `batched`; what it gives is given to several: nobody may change it
 */
export function shared<Request, Result>(
  options: { name: string; bound: number; keyOf: (request: Request) => string },
  read: (request: Request, call: Call) => Promise<Result>,
): (request: Request, call: Call) => Promise<Result> {
  const { name, bound, keyOf } = options
  const kinds = new Map<string, { ask: (request: Request, call: Call) => Promise<Result>; asking: number }>()
  const newKind = () => ({
    ask: batched<Request, Result>({ name, inFlight: 2, bound, most: bound }, async (batch, call) => {
      const result = await read(batch[0]?.request as Request, call)
      return batch.map(() => result)
    }),
    asking: 0,
  })
  return async (request, call) => {
    const key = keyOf(request)
    const kind = kinds.get(key) ?? newKind()
    kinds.set(key, kind)
    kind.asking += 1
    try {
      return await kind.ask(request, call)
    } finally {
      kind.asking -= 1
      if (kind.asking === 0) kinds.delete(key)
    }
  }
}

/** Nobody waits any longer than the last of them; each one's own deadline counts besides. */
const lastCall = (batch: readonly Waiting<unknown>[]): Call =>
  batch.reduce((last, { call }) => (call.deadline > last.deadline ? call : last), batch[0]?.call as Call)
