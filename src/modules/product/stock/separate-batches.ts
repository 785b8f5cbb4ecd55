import pLimit from 'p-limit'
import { batched } from '#kernel/batching.ts'
import type { Call } from '#kernel/call.ts'
import { isDomainError } from '#kernel/errors.ts'
import { createKeyedQueues } from '#kernel/keyed-queues.ts'
import type { BatchMetrics } from '#kernel/queue-metrics.ts'
import type { ExecuteInTransaction, Outcomes, QueuedOperations } from './batch-transaction.ts'
import type { StockOperation } from './stock-operation.ts'

// Operations that name their products and all other operations each have this limit of concurrent transactions.
const maxTransactions = 25
// Once this many operations on a product are in progress here, the next operations on it share one queue.
const sharedQueueFrom = 2

/**
 * Executes operations apart from the batch that all others share, so that a locked product or a corrupt document delays only
 * the operations that need it. Operations on the same products share a queue, and so a transaction.
 */
export function createSeparateBatches(
  queueOptions: {
    name: string
    maxConcurrent: number
    maxWaiting: number
    maxBatchWeight: number
    weightOf: (operation: StockOperation<unknown>) => number
    pauseMs: () => number
    metrics: BatchMetrics
  },
  execute: ExecuteInTransaction,
) {
  const limitWithProducts = pLimit(maxTransactions)
  const limitWithoutProducts = pLimit(maxTransactions)
  const queues = createKeyedQueues(() =>
    batched<StockOperation<unknown>, unknown>(
      { ...queueOptions, slotTimeoutMs: Number.POSITIVE_INFINITY },
      (queued, call) => {
        const hasProducts = queued.some(({ request }) => productIdsOf(request).length > 0)
        const limit = hasProducts ? limitWithProducts : limitWithoutProducts
        return limit(() => executeOrSplit(queued, call))
      },
    ),
  )

  /** If a batch fails, each of its operations is executed alone. If the database is unavailable, all of them fail. */
  const executeOrSplit = async (queued: QueuedOperations, call: Call): Promise<Outcomes> => {
    try {
      return await execute(queued, call)
    } catch (error) {
      if (queued.length === 1 || isDomainError(error, 'dependency_unavailable')) {
        return queued.map(() => error)
      }
      const outcomes: Outcomes = []
      for (const operation of queued) {
        outcomes.push(...(await executeOrSplit([operation], operation.call)))
      }
      return outcomes
    }
  }

  const counts = createProductCounts()

  /**
   * The key of the queue that an operation joins: one product with several operations in progress, or else all its products. If
   * each combination of products had a queue, a locked product would occupy a transaction for each combination with it.
   */
  const keyOf = (operation: StockOperation<unknown>): string => {
    const productIds = productIdsOf(operation)
    const crowded = productIds.find((productId) => counts.of(productId) >= sharedQueueFrom)
    return crowded ?? ([...productIds].sort().join() || (operation.reads.orderId ?? ''))
  }

  return {
    /** Whether operations on the same products, or on the same order, are in progress here. */
    has: (operation: StockOperation<unknown>): boolean => queues.has(keyOf(operation)),

    async run(operation: StockOperation<unknown>, call: Call): Promise<unknown> {
      const key = keyOf(operation)
      counts.add(productIdsOf(operation), 1)
      try {
        return await queues.submit(key, operation, call)
      } finally {
        counts.add(productIdsOf(operation), -1)
      }
    },
  }
}

const productIdsOf = ({ reads }: StockOperation<unknown>): readonly string[] => reads.productIds ?? []

/** Counts the operations on each product that are in progress. */
function createProductCounts() {
  const counts = new Map<string, number>()
  return {
    of: (productId: string): number => counts.get(productId) ?? 0,
    add(productIds: readonly string[], change: 1 | -1): void {
      for (const productId of productIds) {
        const count = (counts.get(productId) ?? 0) + change
        if (count > 0) counts.set(productId, count)
        else counts.delete(productId)
      }
    },
  }
}
