import pLimit from 'p-limit'
import { type Call, isOutOfTime, retryOnTimeout, shortenDeadline } from './call.ts'

import { afterMs, atDeadline } from './deadline-timers.ts'
import { DomainError, dependencyUnavailable, isDomainError } from './errors.ts'
import { LinkedList } from './linked-list.ts'

/** A request that waits for its batch, with the call that it belongs to. */
export interface QueuedRequest<Request> {
  readonly request: Request
  readonly call: Call
}

interface Entry<Request, Result> extends QueuedRequest<Request> {
  readonly weight: number
  isWaiting: boolean
  settle(outcome: Result | Error): void
}

/** The result of a request, the error that its caller gets, or a promise of the result. */
export type Outcome<Result> = Result | Error | Promise<Result>

/** Carries out a batch. It returns the outcomes in the order of the requests. An error that it throws goes to all callers. */
export type ExecuteBatch<Request, Result> = (
  batch: readonly QueuedRequest<Request>[],
  call: Call,
) => Promise<readonly Outcome<Result>[]>

// A batch that takes longer than this may hang. The next batch then starts beside it, because its requests are not the cause.
const defaultSlotTimeoutMs = 400
// The time that requests have together, at least. After it each is carried out alone, a limited number of them at once.
const minBatchTimeoutMs = 400
const maxConcurrentSingles = 32

/** Decides when work counts as hanging. */
export interface AdaptiveTimeout {
  currentMs(): number
  /** Records the duration of a piece of work. */
  record(tookMs: number): void
  /** Carries out a piece of work, and records its duration if it succeeds. */
  measure<T>(work: () => Promise<T>): Promise<T>
}

// Each piece of work reduces the longest recorded time to this share, so that old times are forgotten.
const keptOfLongest = 0.9

/**
 * Work counts as hanging after `leastMs`, or after twice the time that such work has taken recently. A slow database must not
 * count as hanging: each request would be sent again, in more commands than before.
 */
export function createAdaptiveTimeout(leastMs: number): AdaptiveTimeout {
  let longestMs = 0
  const note = (tookMs: number) => {
    longestMs = Math.max(tookMs, longestMs * keptOfLongest)
  }
  return {
    currentMs: () => Math.max(leastMs, 2 * longestMs),
    record: note,
    async measure(work) {
      const began = performance.now()
      const result = await work()
      note(performance.now() - began)
      return result
    },
  }
}

/**
 * Carries out waiting requests in batches, in the order of their arrival: one round trip for each batch. No artificial delay:
 * when nothing is in flight, the requests of this turn of the event loop start together at its end. Requests that arrive while
 * `maxConcurrent` batches are in flight form the next batch, so that a batch always starts after all its requests have arrived.
 *
 * @param options `name`: what is waited for, in messages. `maxConcurrent`: batches at a time. `maxWaiting`: requests that may wait.
 * `maxBatchWeight`: what one batch takes on, in requests or as `weightOf` says; a request that is more than that goes alone. `pauseMs`:
 * milliseconds from the end of a batch until the next one may take its place. `slotTimeoutMs`: milliseconds
 * after which a batch that is still under way makes room for the next one beside it, or more where batches take long
 * @param carryOut its call has the latest deadline of the batch, by which it must be done. What it answers with a promise,
 * and a batch that has made room, is no longer under way, and counts towards `maxWaiting` until it is settled
 * @returns the batched function; it throws DomainError `overloaded` when too many wait, `dependency_unavailable` at the
 * deadline of its own call
 */
export function batched<Request, Result>(
  options: {
    name: string
    maxConcurrent: number
    maxWaiting: number
    maxBatchWeight: number
    weightOf?: (request: Request) => number
    pauseMs?: () => number
    slotTimeoutMs?: number
  },
  carryOut: ExecuteBatch<Request, Result>,
): (request: Request, call: Call) => Promise<Result> {
  const { name, maxConcurrent, maxWaiting, maxBatchWeight, weightOf = () => 1, pauseMs = () => 0 } = options
  const { slotTimeoutMs = defaultSlotTimeoutMs } = options
  const waiting = new LinkedList<Entry<Request, Result>>()
  const patience = createAdaptiveTimeout(slotTimeoutMs)
  let underWay = 0
  let promised = 0
  let planned = false

  const nextBatch = (): Entry<Request, Result>[] => {
    const batch: Entry<Request, Result>[] = []
    let weight = 0
    for (const place of waiting) {
      weight += place.value.weight
      if (batch.length > 0 && weight > maxBatchWeight) break
      waiting.remove(place)
      place.value.isWaiting = false
      batch.push(place.value)
    }
    return batch
  }

  const carryOutNext = async (): Promise<void> => {
    const batch = nextBatch()
    underWay += 1
    let hasPlace = true
    const makeRoom = () => {
      if (!hasPlace) return
      hasPlace = false
      underWay -= 1
      begin()
    }
    let isLate = false
    const isInTime =
      Number.isFinite(maxConcurrent) && Number.isFinite(slotTimeoutMs)
        ? afterMs(patience.currentMs(), () => {
            isLate = true
            promised += batch.length
            makeRoom()
          })
        : () => undefined
    let outcomes: readonly Outcome<Result>[]
    try {
      outcomes = await patience.measure(() => carryOut(batch, callWithLatestDeadline(batch)))
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown))
      outcomes = batch.map(() => error)
    }
    isInTime()
    if (isLate) promised -= batch.length
    const pause = hasPlace ? pauseMs() : 0
    // The next batch starts first, and runs while the answers of this one are written.
    if (pause > 0) setTimeout(makeRoom, pause)
    else makeRoom()
    for (const [at, entry] of batch.entries()) {
      const outcome = at in outcomes ? outcomes[at] : new Error(`${name} left out a request`)
      if (outcome instanceof Promise) void settleLater(entry, outcome)
      else entry.settle(outcome as Result | Error)
    }
  }

  const settleLater = async (entry: Entry<Request, Result>, outcome: Promise<Result>): Promise<void> => {
    promised += 1
    try {
      entry.settle(await outcome)
    } catch (thrown) {
      entry.settle(thrown instanceof Error ? thrown : new Error(String(thrown)))
    } finally {
      promised -= 1
    }
  }

  const begin = () => {
    planned = false
    while (waiting.size > 0 && underWay < maxConcurrent) void carryOutNext()
  }

  return (request, call) =>
    new Promise<Result>((resolve, reject) => {
      if (waiting.size + promised >= maxWaiting) {
        reject(new DomainError('overloaded', `${maxWaiting} are waiting for ${name}; try again shortly`))
        return
      }
      const entry: Entry<Request, Result> = {
        request,
        call,
        weight: weightOf(request),
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
      if (planned || underWay >= maxConcurrent) return
      planned = true
      setImmediate(begin)
    })
}

/**
 * Carries out a batch together. If the batch fails or seems to hang, each request is carried out alone, so that one request
 * that must fail or hang does not affect the others. An unavailable database fails all of them at once.
 * @param carryOut must be safe to repeat, even while an earlier attempt may still take effect
 */
export function splitOnFailure<Request, Result>(
  carryOut: ExecuteBatch<Request, Result>,
): ExecuteBatch<Request, Result> {
  const turns = pLimit(maxConcurrentSingles)
  const patience = createAdaptiveTimeout(minBatchTimeoutMs)
  return async (batch, call) => {
    if (batch.length === 1) return carryOut(batch, call)
    const together = shortenDeadline(call, patience.currentMs())
    try {
      return await patience.measure(() => carryOut(batch, together))
    } catch (error) {
      if (isDomainError(error, 'dependency_unavailable') && !isOutOfTime(together)) throw error
      const noteFirst = recordFirst(patience)
      return batch.map((waiting) =>
        turns(async () => {
          const [outcome] = await noteFirst(() => carryOut([waiting], waiting.call))
          if (outcome instanceof Error) throw outcome
          return outcome as Result
        }),
      )
    }
  }
}

/**
 * Records the duration of the first piece of work that succeeds. It shows whether the whole database is slow, or only one
 * piece hangs.
 */
export function recordFirst(patience: AdaptiveTimeout) {
  let isNoted = false
  return async <T>(work: () => Promise<T>): Promise<T> => {
    const began = performance.now()
    const result = await work()
    if (!isNoted) patience.record(performance.now() - began)
    isNoted = true
    return result
  }
}

/** Has one queue per key. A queue exists while requests wait in it. */
export function createKeyedQueues<Request, Result>(
  create: () => (request: Request, call: Call) => Promise<Result>,
) {
  const queues = new Map<string, { submit: ReturnType<typeof create>; asking: number }>()
  return {
    has: (key: string): boolean => queues.has(key),
    async submit(key: string, request: Request, call: Call): Promise<Result> {
      const queue = queues.get(key) ?? { submit: create(), asking: 0 }
      queues.set(key, queue)
      queue.asking += 1
      try {
        return await queue.submit(request, call)
      } finally {
        queue.asking -= 1
        if (queue.asking === 0) queues.delete(key)
      }
    },
  }
}

// The time for the first attempt at a list that many callers may share. After it the list is read a second time.
const firstListMs = 500

/**
 * Equal reads that wait share one read. It always starts after all of them have arrived. At most two reads of a key run at once.
 *
 * @param keyOf equal for equal requests
 * @returns as `batched`; what it gives is given to several: nobody may change it
 */
export function coalesceReads<Request, Result>(
  options: { name: string; maxWaiting: number; keyOf: (request: Request) => string },
  read: (request: Request, call: Call) => Promise<Result>,
): (request: Request, call: Call) => Promise<Result> {
  const { name, maxWaiting, keyOf } = options
  const kinds = createKeyedQueues<Request, Result>(() =>
    batched({ name, maxConcurrent: 2, maxWaiting, maxBatchWeight: maxWaiting }, async (batch, call) => {
      const request = batch[0]?.request as Request
      const result = await retryOnTimeout(call, firstListMs, name, (within) => read(request, within))
      return batch.map(() => result)
    }),
  )
  return (request, call) => kinds.submit(keyOf(request), request, call)
}

/** The call with the latest deadline of a batch. Each request also ends at its own deadline. */
export const callWithLatestDeadline = (batch: readonly QueuedRequest<unknown>[]): Call =>
  batch.reduce((last, { call }) => (call.deadline > last.deadline ? call : last), batch[0]?.call as Call)
