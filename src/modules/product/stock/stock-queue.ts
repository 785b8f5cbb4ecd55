import { createAdaptiveTimeout, recordFirst } from '#kernel/adaptive-timeout.ts'
import { batched, callWithLatestDeadline, type Outcome } from '#kernel/batching.ts'
import type { Call } from '#kernel/call.ts'
import { isDomainError } from '#kernel/errors.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import { callWithin } from '#kernel/tracing.ts'
import { createBatchTransaction, type Outcomes, type QueuedOperations } from './batch-transaction.ts'
import { createSeparateBatches } from './separate-batches.ts'
import type { StockRepository } from './stock.repository.ts'
import type { StockOperation } from './stock-operation.ts'

export interface RunInBatch {
  /**
   * Executes an operation in a batch with others that wait.
   * @throws DomainError of `decide`; `overloaded` if too many operations wait; `dependency_unavailable` if the outcome is not
   * known in time
   */
  <Result>(operation: StockOperation<Result>, call: Call): Promise<Result>
  /** The number of operations that wait. */
  waiting(): number
}

const maxWaiting = 2_000
/** From this number of waiting operations on, new orders are refused. The rest of the queue is for what has begun. */
export const crowdedFrom = 1_000
// The limit is large enough to serve a peak of orders in a few transactions, and small enough that none of them is slow.
const maxLinesPerBatch = 200
const maxPauseMs = 50
// The shortest time limit for the shared batch until its commit starts.
const minSharedBatchMs = 350

/**
 * Group commit: operations that wait are executed in one transaction, in the order of their arrival. Transactions of one
 * process that change the same product would only abort each other. Each product takes one conditional `$inc`, however many
 * operations of the batch change it.
 *
 * Transactions of other replicas still cause write conflicts. After a conflict this process pauses for as long as its batch
 * took. Other replicas can commit during the pause, and the next batch of this process is larger.
 */
export function createStockQueue(stock: StockRepository, metrics: Metrics): RunInBatch {
  const execute = createBatchTransaction(stock)
  let pauseMs = 0
  const queueOptions = {
    name: 'the stock queue',
    maxConcurrent: 1,
    maxWaiting,
    maxBatchWeight: maxLinesPerBatch,
    weightOf: ({ lineCount }: StockOperation<unknown>) => lineCount,
    pauseMs: () => pauseMs,
    metrics: batchMetrics(metrics, 'stock'),
  }
  const separateOptions = { ...queueOptions, metrics: batchMetrics(metrics, 'stock.separate') }
  const separate = createSeparateBatches(separateOptions, execute)
  const timeout = createAdaptiveTimeout(minSharedBatchMs)

  const executeShared = async (queued: QueuedOperations, { span }: Call): Promise<Outcomes> => {
    const beganAtMs = performance.now()
    let attempts = 0
    const onAttempt = () => {
      attempts += 1
    }
    try {
      const options = { startCommitWithinMs: timeout.currentMs(), onAttempt }
      const call = callWithLatestDeadline(queued)
      return await timeout.measure(() => execute(queued, span ? callWithin(call, span) : call, options))
    } finally {
      pauseMs = attempts > 1 ? Math.min(performance.now() - beganAtMs, maxPauseMs) : 0
    }
  }

  /**
   * If the shared batch fails, or does not reach its commit in time, its operations are executed in separate batches. Later
   * operations on the same products join them there while the separate batches are in progress.
   */
  const executeQueued = async (queued: QueuedOperations, batchCall: Call): Promise<Outcome<unknown>[]> => {
    const separateResults = queued.map(({ request, call }) => {
      if (!separate.has(request)) return undefined
      const result = separate.run(request, call)
      // The result may fail before it is awaited. Without a handler, Node.js would end the process.
      result.catch(() => undefined)
      return result
    })
    const shared = queued.filter((_, at) => separateResults[at] === undefined)
    if (shared.length === 0) return separateResults as Promise<unknown>[]
    let outcomes: Outcomes | undefined
    try {
      outcomes = await executeShared(shared, batchCall)
    } catch (error) {
      // The batch may have taken effect, so that it cannot be repeated.
      if (isDomainError(error, 'dependency_unavailable')) outcomes = shared.map(() => error)
    }
    const sharedOutcomes = outcomes?.values()
    const recordFirstDuration = recordFirst(timeout)
    return queued.map(({ request, call }, at) => {
      if (separateResults[at]) return separateResults[at]
      return sharedOutcomes
        ? sharedOutcomes.next().value
        : recordFirstDuration(() => separate.run(request, call))
    })
  }

  return batched<StockOperation<unknown>, unknown>(queueOptions, executeQueued) as RunInBatch
}
