import type { QueuedRequest } from '#kernel/batching.ts'
import { type Call, requireRemainingMs } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import { CorruptDocument } from '#kernel/mongo/corrupt-documents.ts'
import { isDuplicateKey } from '#kernel/mongo/errors.ts'
import { StaleDecision } from '#kernel/mongo/transaction.ts'
import type { Line } from '../contract.ts'
import { createRecentProducts } from './recent-products.ts'
import type { StockRepository } from './stock.repository.ts'
import type { BatchChanges } from './stock.ts'
import { createStockBatch } from './stock-batch.ts'
import type { StockOperation, StoredState } from './stock-operation.ts'
import type { StockReads } from './stock-reads.repository.ts'
import type { StockTransaction } from './stock-writes.repository.ts'

export type QueuedOperations = readonly QueuedRequest<StockOperation<unknown>>[]

/** The result of each operation, or its error, in the order of the operations. */
export type Outcomes = (unknown | Error)[]

/**
 * Executes operations in one transaction.
 * @throws CommitNotStarted if `startCommitWithinMs` passed before the commit; the batch then had no effect
 * @throws DomainError `dependency_unavailable` if it is not known whether the batch took effect
 */
export type ExecuteInTransaction = (
  queued: QueuedOperations,
  call: Call,
  options?: { startCommitWithinMs: number; onAttempt: () => void },
) => Promise<Outcomes>

// After this many stale decisions on cached data, the batch is decided on what the transaction reads.
const maxStaleDecisions = 3

/**
 * Decides a batch before its transaction on cached products, so that the transaction only writes. Each write's filter or unique
 * id verifies what the decision assumed. An order of one product that is alone and not cached takes the stock and reads the product with
 * one command. If a filter does not match, the products are read and the batch is decided again.
 * If no write verifies a decision, such as a repeated answer, the batch is decided on what the transaction itself reads.
 */
export function createBatchTransaction(stock: StockRepository): ExecuteInTransaction {
  const recentProducts = createRecentProducts()

  return async (queued, call, options) => {
    const operations = queued.map(({ request }) => request)
    const assumedReads = operations.map(({ reads: { assumesNew, ...reads } }) =>
      assumesNew ? { productIds: reads.productIds } : reads,
    )
    const reads = stock.reads(call)
    let products: StockReads['products'] = (productIds) => recentProducts.find(productIds, reads.products)
    let staleDecisions = 0
    let isOptimistic = true

    /** @returns undefined if the writes do not verify the decisions */
    const decideOptimistically = async (): Promise<DecidedBatch | undefined> => {
      const decided = decide(queued, await readState(assumedReads, { ...reads, products }))
      // A second attempt does not use the cache, because other processes change these products too.
      products = reads.products
      return decided.isVerifiedByWrites() ? decided : undefined
    }

    const attemptOptimistically = async (
      transaction: StockTransaction,
    ): Promise<DecidedBatch | undefined> => {
      const line = lineToTake(operations)
      const taken =
        line && !recentProducts.has(line.productId) ? await takeAtOnce(queued, line, transaction) : undefined
      if (taken) return taken
      const decided = await decideOptimistically()
      if (decided) await write(transaction, decided.changes())
      return decided
    }

    const attempt = async (transaction: StockTransaction): Promise<DecidedBatch> => {
      options?.onAttempt()
      const optimistic = isOptimistic
        ? await attemptOptimistically(transaction).catch((error: unknown) => {
            if (error instanceof StaleDecision) staleDecisions += 1
            isOptimistic = !isDuplicateKey(error) && staleDecisions < maxStaleDecisions
            throw error
          })
        : undefined
      if (optimistic) return optimistic
      const allReads = operations.map((operation) => operation.reads)
      const decided = decide(queued, await readState(allReads, transaction))
      await write(transaction, decided.changes()).catch((error: unknown) => {
        // A change by another transaction would be a write conflict. So a stale decision here is a defect of this program.
        throw error instanceof StaleDecision ? new DomainError('internal_error', error.message) : error
      })
      return decided
    }

    const { outcomes, products: changed } = await stock.transaction(
      call,
      attempt,
      options?.startCommitWithinMs,
    )
    recentProducts.store(changed())
    return outcomes
  }
}

interface DecidedBatch extends Omit<ReturnType<typeof createStockBatch>, 'batch'> {
  outcomes: Outcomes
}

/** The line of a batch that does nothing but take one product. */
function lineToTake(operations: readonly StockOperation<unknown>[]): Line | undefined {
  const [operation, ...others] = operations
  const [line, ...otherLines] = operation?.reads.takes ?? []
  return others.length === 0 && otherLines.length === 0 ? line : undefined
}

/**
 * Takes stock with a command that also reads the product. The batch is decided afterwards, on the product as it was before.
 * @returns undefined if there is no such product, or too little stock
 * @throws the error of the operation, which ends the transaction
 */
async function takeAtOnce(
  queued: QueuedOperations,
  line: Line,
  transaction: StockTransaction,
): Promise<DecidedBatch | undefined> {
  const at = new Date()
  const product = await transaction.takeStock(line, at)
  if (!product) return undefined
  const productIds = new Set([line.productId])
  const state = {
    reservations: [],
    answers: [],
    products: [product],
    productIds,
    corruptIds: new Set<string>(),
  }
  const decided = decide(queued, state, at)
  for (const outcome of decided.outcomes) if (outcome instanceof Error) throw outcome
  await write(transaction, { ...decided.changes(), products: [] })
  return decided
}

function decide(queued: QueuedOperations, state: StoredState, at = new Date()): DecidedBatch {
  const { batch, ...decided } = createStockBatch(state, at)
  const outcomes = queued.map(({ request, call }) => {
    try {
      requireRemainingMs(call)
      return request.decide(batch)
    } catch (error) {
      if (error instanceof DomainError || error instanceof CorruptDocument) return error
      throw error
    }
  })
  return { ...decided, outcomes }
}

const nothingFound = { valid: [], corruptIds: [] }

/** Reads the documents that the operations need, and the products of the reservations among them. */
async function readState(
  reads: readonly StockOperation<unknown>['reads'][],
  source: StockReads,
): Promise<StoredState> {
  const orderIds = new Set(reads.flatMap(({ orderId }) => orderId ?? []))
  const answerIds = new Set(reads.flatMap(({ answerId }) => answerId ?? []))
  const reservations = orderIds.size > 0 ? await source.reservations([...orderIds]) : nothingFound
  const answers = answerIds.size > 0 ? await source.keyedAnswers([...answerIds]) : nothingFound
  const productIds = new Set(reads.flatMap((each) => each.productIds ?? []))
  for (const { requested } of reservations.valid) for (const line of requested) productIds.add(line.productId)
  const products = productIds.size > 0 ? await source.products([...productIds]) : nothingFound
  for (const id of products.corruptIds) productIds.delete(id)
  return {
    reservations: reservations.valid,
    answers: answers.valid,
    products: products.valid,
    productIds,
    corruptIds: new Set([...reservations.corruptIds, ...answers.corruptIds, ...products.corruptIds]),
  }
}

/** @throws StaleDecision if a stored document is not as the batch requires */
async function write(transaction: StockTransaction, changes: BatchChanges): Promise<void> {
  const { at, products, newProducts, newReservations, releasedOrderIds, ledgerEntries, newAnswers } = changes
  if (products.length > 0) await transaction.changeProducts(products)
  if (newProducts.length > 0) await transaction.addProducts(newProducts)
  if (newReservations.length > 0) await transaction.addReservations(newReservations, at)
  if (releasedOrderIds.length > 0) await transaction.markReleased(releasedOrderIds, at)
  if (ledgerEntries.length > 0) await transaction.addLedgerEntries(ledgerEntries, at)
  if (newAnswers.length > 0) await transaction.addKeyedAnswers(newAnswers, at)
}
