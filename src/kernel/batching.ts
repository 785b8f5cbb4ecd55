import { Node, Yallist } from 'yallist'
import { createAdaptiveTimeout } from './adaptive-timeout.ts'
import type { Call } from './call.ts'
import { afterMs, atDeadline } from './deadline-timers.ts'
import { dependencyUnavailable, overloaded } from './errors.ts'
import type { BatchMetrics } from './queue-metrics.ts'
import { inSpan } from './tracing.ts'

/** A request in a queue, with the call that it belongs to. */
export interface QueuedRequest<Request> {
  readonly request: Request
  readonly call: Call
}

interface Entry<Request, Result> extends QueuedRequest<Request> {
  readonly weight: number
  readonly enteredAtMs: number
  settle(outcome: Result | Error): void
}

/** The result of a request, the error that its caller gets, or a promise of the result. */
export type Outcome<Result> = Result | Error | Promise<Result>

/** Executes a batch, and returns the outcomes in the order of the requests. An error that it throws goes to all callers. */
export type ExecuteBatch<Request, Result> = (
  batch: readonly QueuedRequest<Request>[],
  call: Call,
) => Promise<readonly Outcome<Result>[]>

export interface BatchingOptions<Request> {
  /** The name of the work in messages. */
  name: string
  /** The number of batches that may run at once. */
  maxConcurrent: number
  /** The number of requests that may wait. */
  maxWaiting: number
  /**
   * The maximum total weight of a batch. Without `weightOf`, each request weighs 1. A heavier request gets its own
   * batch.
   */
  maxBatchWeight: number
  weightOf?: (request: Request) => number
  /** The time from the end of a batch until the next batch may take its slot. */
  pauseMs?: () => number
  /** The time after which a running batch gives up its slot. It is longer if batches have taken long recently. */
  slotTimeoutMs?: number
  metrics?: BatchMetrics
}

/** Adds a request, and waits for its outcome. */
export interface Batched<Request, Result> {
  (request: Request, call: Call): Promise<Result>
  /** The number of requests that wait for a batch, or for a batch that has given up its slot. */
  waiting(): number
}

/**
 * Executes requests in batches, in the order of their arrival, with one round trip for each batch. There is no
 * artificial delay: when no batch is running, the requests of the current iteration of the event loop start together at
 * its end. Requests that arrive while `maxConcurrent` batches are running form the next batch, so that a batch always
 * starts after all its requests have arrived.
 *
 * @param execute its call has the latest deadline of the batch. A request whose outcome is a promise, or whose batch
 * has given up its slot, occupies no slot. It counts towards `maxWaiting` until it is settled
 * @returns a function that adds a request. It throws DomainError `overloaded` when too many requests wait, and
 * `dependency_unavailable` at the deadline of its own call
 */
export function batched<Request, Result>(
  options: BatchingOptions<Request>,
  execute: ExecuteBatch<Request, Result>,
): Batched<Request, Result> {
  const { name, maxWaiting, maxBatchWeight, weightOf = () => 1, metrics } = options
  const waiting = new Yallist<Entry<Request, Result>>()
  let unsettled = 0
  let isStartPlanned = false

  const start = () => {
    isStartPlanned = false
    while (waiting.head && slots.isAnyFree()) void executeNext()
  }
  const slots = createSlots(options, start)

  const executeNext = async (): Promise<void> => {
    const batch = takeBatch(waiting, maxBatchWeight)
    if (metrics) recordBatch(metrics, batch)
    let isLate = false
    const markLate = () => {
      isLate = true
      unsettled += batch.length
    }
    // The slot is released before the outcomes are handled, so that the next batch runs while the answers to this batch
    // are written.
    const outcomes = await slots
      .run(() => executeTraced(name, batch, execute), markLate)
      .catch((thrown: unknown) => batch.map(() => errorOf(thrown)))
    if (isLate) unsettled -= batch.length
    for (const [at, entry] of batch.entries()) {
      const outcome = at in outcomes ? outcomes[at] : new Error(`${name} returned no outcome for a request`)
      if (outcome instanceof Promise) void settleLater(entry, outcome)
      else entry.settle(outcome as Result | Error)
    }
  }

  const settleLater = async (entry: Entry<Request, Result>, outcome: Promise<Result>): Promise<void> => {
    unsettled += 1
    entry.settle(await outcome.catch(errorOf))
    unsettled -= 1
  }

  const enqueue = (request: Request, call: Call) =>
    new Promise<Result>((resolve, reject) => {
      if (waiting.length + unsettled >= maxWaiting) {
        metrics?.refused()
        reject(overloaded(maxWaiting, name))
        return
      }
      const node = new Node<Entry<Request, Result>>({
        request,
        call,
        weight: weightOf(request),
        enteredAtMs: performance.now(),
        settle(outcome) {
          cancelTimer()
          if (outcome instanceof Error) reject(outcome)
          else resolve(outcome)
        },
      })
      const cancelTimer = atDeadline(call, () => {
        if (node.list) {
          waiting.removeNode(node)
          metrics?.left(performance.now() - node.value.enteredAtMs)
        }
        reject(dependencyUnavailable(`${name} did not answer in time`))
      })
      waiting.pushNode(node)
      metrics?.entered()
      if (isStartPlanned || !slots.isAnyFree()) return
      isStartPlanned = true
      setImmediate(start)
    })

  const submit = (request: Request, call: Call) =>
    inSpan(call, `wait for ${name}`, {}, (within) => enqueue(request, within))
  return Object.assign(submit, { waiting: () => waiting.length + unsettled })
}

/** Executes a batch. If it has several requests, it has a span that is linked to those in which the requests wait. */
function executeTraced<Request, Result>(
  name: string,
  batch: readonly QueuedRequest<Request>[],
  execute: ExecuteBatch<Request, Result>,
): Promise<readonly Outcome<Result>[]> {
  const call = callWithLatestDeadline(batch)
  if (!call.span || batch.length === 1) return execute(batch, call)
  const waits = batch.flatMap(({ call: { span } }) => span ?? [])
  return inSpan(call, `batch of ${name}`, { links: waits }, (within) => {
    for (const wait of waits) if (within.span) wait.link(within.span)
    return execute(batch, within)
  })
}

function recordBatch(metrics: BatchMetrics, batch: readonly { readonly enteredAtMs: number }[]): void {
  const now = performance.now()
  metrics.batch(batch.length)
  for (const { enteredAtMs } of batch) metrics.left(now - enteredAtMs)
}

/** Removes the next batch from the queue: at least one request, and no more than the weight allows. */
function takeBatch<T extends { readonly weight: number }>(waiting: Yallist<T>, maxWeight: number): T[] {
  const batch: T[] = []
  let weight = 0
  for (let node = waiting.head; node; node = waiting.head) {
    weight += node.value.weight
    if (batch.length > 0 && weight > maxWeight) break
    waiting.removeNode(node)
    batch.push(node.value)
  }
  return batch
}

/**
 * Limits the number of batches that run at once. A batch that takes too long gives up its slot, because it may hang and
 * would block the requests behind it.
 * @param onFree is called whenever a slot becomes free
 */
function createSlots(
  {
    maxConcurrent,
    slotTimeoutMs = 400,
    pauseMs = () => 0,
  }: Pick<BatchingOptions<never>, 'maxConcurrent' | 'slotTimeoutMs' | 'pauseMs'>,
  onFree: () => void,
) {
  const timeout = createAdaptiveTimeout(slotTimeoutMs)
  const hasTimeout = Number.isFinite(maxConcurrent) && Number.isFinite(slotTimeoutMs)
  let used = 0
  return {
    isAnyFree: () => used < maxConcurrent,
    /** Does the work in a slot. Calls `onTimeout` before the work gives up the slot. */
    async run<T>(work: () => Promise<T>, onTimeout: () => void): Promise<T> {
      let isHeld = true
      used += 1
      const free = () => {
        if (!isHeld) return
        isHeld = false
        used -= 1
        onFree()
      }
      const giveUp = () => {
        onTimeout()
        free()
      }
      const cancelTimer = hasTimeout ? afterMs(timeout.currentMs(), giveUp) : undefined
      try {
        return await timeout.measure(work)
      } finally {
        cancelTimer?.()
        const restMs = isHeld ? pauseMs() : 0
        if (restMs > 0) setTimeout(free, restMs)
        else free()
      }
    },
  }
}

const errorOf = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))

/** The call with the latest deadline of a batch. Each request also ends at its own deadline. */
export const callWithLatestDeadline = (batch: readonly QueuedRequest<unknown>[]): Call =>
  batch.reduce((last, { call }) => (call.deadline > last.deadline ? call : last), batch[0]?.call as Call)
