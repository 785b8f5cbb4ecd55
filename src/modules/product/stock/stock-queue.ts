import pLimit from 'p-limit'
import {
  batched,
  callWithLatestDeadline,
  createAdaptiveTimeout,
  createKeyedQueues,
  type Outcome,
  type QueuedRequest,
  recordFirst,
} from '#kernel/batching.ts'
import { type Call, remainingMs } from '#kernel/call.ts'
import { DomainError, dependencyUnavailable, isDomainError } from '#kernel/errors.ts'
import { isDuplicateKey } from '#kernel/mongo/errors.ts'
import { StaleDecision } from '#kernel/mongo/transaction.ts'
import { createProductMemory } from './recent-products.ts'
import type { StockReads, StockRepository, StockTransaction } from './stock.repository.ts'
import type { StockChanges } from './stock.ts'
import { createTurn, type Facts, Spoilt, type StockTurn } from './stock-batch.ts'

/** One step that moves stock: what it looks at, and what it makes of it. */
export interface StockMove<Result> {
  /** What a turn is bounded by. */
  lines: number
  /** `isNew`: nothing is expected under its order's or its answer's id yet. */
  reads: { orderId?: string; productIds?: readonly string[]; answerId?: string | undefined; isNew?: boolean }
  /**
   * Decides on what those before it in the turn have left. Begun anew, on what is there then, after a write conflict:
   * it does nothing but to the turn, and nothing to that if it throws.
   * @throws DomainError its own refusal, which is no other's
   */
  decide(turn: StockTurn): Result
}

export type StockTurns = <Result>(move: StockMove<Result>, call: Call) => Promise<Result>

// What one transaction takes on: enough to empty a rush in a few turns, too little to make any of them slow.
const linesPerTurn = 200

// Times that a turn may be presumed to be as it was just read, and turn out not to be.
const mostOutdated = 3
// Milliseconds.
const longestRest = 50

// The turn that all share has at least so long until its commit.
const togetherMs = 350
// Turns that are apart from it, and that run at a time: those of known products, and those of orders that are looked up first.
const mostApart = 25
// With so many moves of one product apart, all further ones of that product wait in one line.
const crowdedFrom = 2
const mayWait = 2_000

/**
 * Group commit. All that moves stock waits here in line, and those that wait are carried out in one transaction, unless
 * one of them makes it impossible (`together`): one conditional `$inc` per product, whatever is in the turn. Transactions of one process that met on a hot product would
 * only abort each other; those of several processes still meet, and a turn that does is decided anew. Whoever has met
 * others then leaves them as much time as the turn took: they come to theirs, and who comes after finds more company.
 *
 * A turn is decided before its transaction, which then only writes, on what is presumed: that what is new is new, and
 * that a product is as this process left it. The condition of a write proves as much of it as counted: for what is only
 * taken that there is enough, at that price, whoever else takes some; for any other decision that it is exactly so. What
 * no write proves, such as a refusal, is decided again on what the transaction itself reads, and so is what turned out
 * to be otherwise.
 *
 * A product's `version` grows once per turn, and once more after each time that it was shown within the turn: one
 * version is never two representations.
 */
export function createStockTurns(stock: StockRepository): StockTurns {
  const memory = createProductMemory()
  let rest = 0

  const carryOut = async (
    batch: Batch,
    call: Call,
    commitsWithinMs?: number,
  ): Promise<(unknown | Error)[]> => {
    const reads = batch.map(({ request }) => request.reads)
    const presumedReads = reads.map(({ isNew, ...each }) => (isNew ? { productIds: each.productIds } : each))
    const outside = stock.reads(call)
    const began = performance.now()
    let attempts = 0
    let outdated = 0
    let mayPresume = true
    let products: StockReads['products'] = (productIds) => memory.recall(productIds, outside.products)

    const attempt = async (transaction: StockTransaction): Promise<Decided> => {
      attempts += 1
      if (mayPresume) {
        const presumed = decide(batch, await lookUp(presumedReads, { ...outside, products }))
        // Others have turned out to change them too.
        products = outside.products
        if (presumed.turn.isProvenByWriting()) {
          await store(transaction, presumed.turn.changes()).catch((error: unknown) => {
            if (error instanceof StaleDecision) outdated += 1
            mayPresume = !isDuplicateKey(error) && outdated < mostOutdated
            throw error
          })
          return presumed
        }
      }
      const decided = decide(batch, await lookUp(reads, transaction))
      await store(transaction, decided.turn.changes()).catch((error: unknown) => {
        // The snapshot had it so, and what changed since is a write conflict: the condition is the last line of defence.
        if (error instanceof StaleDecision) throw new DomainError('internal_error', error.message)
        throw error
      })
      return decided
    }

    try {
      const { turn, outcomes } = await stock.transaction(call, attempt, commitsWithinMs)
      memory.keep(turn.products())
      return outcomes
    } finally {
      const isShared = commitsWithinMs !== undefined
      if (isShared) rest = attempts > 1 ? Math.min(performance.now() - began, longestRest) : 0
    }
  }

  const line = {
    name: 'the stock queue',
    maxConcurrent: 1,
    maxWaiting: mayWait,
    maxBatchWeight: linesPerTurn,
    weightOf: ({ lines }: StockMove<unknown>) => lines,
    pauseMs: () => rest,
  }

  // Moves of the same products, apart from all others, one turn after the other.
  const ofProducts = pLimit(mostApart)
  const ofOrders = pLimit(mostApart)
  const linesApart = createKeyedQueues(() =>
    batched<StockMove<unknown>, unknown>(
      { ...line, slotTimeoutMs: Number.POSITIVE_INFINITY },
      (batch, call) => {
        const slots = batch.some(({ request }) => productsOf(request).length > 0) ? ofProducts : ofOrders
        return slots(() => eachForItself(batch, call))
      },
    ),
  )
  /** How many moves of each product are apart. */
  const movesApart = new Map<string, number>()

  /** A product that is locked must not hold a slot for each basket that it is in. */
  const lineOf = (move: StockMove<unknown>): string =>
    productsOf(move).find((productId) => (movesApart.get(productId) ?? 0) >= crowdedFrom) ?? keyOf(move)

  const countApart = (move: StockMove<unknown>, change: 1 | -1) => {
    for (const productId of productsOf(move)) {
      const count = (movesApart.get(productId) ?? 0) + change
      if (count > 0) movesApart.set(productId, count)
      else movesApart.delete(productId)
    }
  }

  const moveApart = async (request: StockMove<unknown>, call: Call): Promise<unknown> => {
    const key = lineOf(request)
    countApart(request, 1)
    try {
      return await linesApart.submit(key, request, call)
    } finally {
      countApart(request, -1)
    }
  }

  const patience = createAdaptiveTimeout(togetherMs)

  const eachForItself = async (batch: Batch, call: Call): Promise<(unknown | Error)[]> => {
    try {
      return await carryOut(batch, call)
    } catch (error) {
      if (batch.length === 1 || isDomainError(error, 'dependency_unavailable')) return batch.map(() => error)
      const outcomes: unknown[] = []
      for (const waiting of batch) outcomes.push(...(await eachForItself([waiting], waiting.call)))
      return outcomes
    }
  }

  /**
   * A turn that fails, or does not come to its commit in time, is carried out apart, by products, so that a product that is
   * locked, or not stored as it should be, does not affect the others. While moves of the same products are still at work
   * there, later ones join them and stay out of the turn that all share.
   */
  const together = async (batch: Batch): Promise<Outcome<unknown>[]> => {
    const results = batch.map(({ request, call }): Promise<unknown> | undefined => {
      if (!linesApart.has(lineOf(request))) return undefined
      const result = moveApart(request, call)
      // It may fail while the shared turn is still under way, before its caller waits for it.
      result.catch(() => undefined)
      return result
    })
    const turn = batch.filter((_, at) => results[at] === undefined)
    if (turn.length === 0) return results as Promise<unknown>[]
    let outcomes: (unknown | Error)[] | undefined
    try {
      outcomes = await patience.measure(() =>
        carryOut(turn, callWithLatestDeadline(turn), patience.currentMs()),
      )
    } catch (error) {
      // Whether it took effect is not known.
      if (isDomainError(error, 'dependency_unavailable')) outcomes = turn.map(() => error)
    }
    const shared = outcomes?.values()
    const noteFirst = recordFirst(patience)
    return batch.map(({ request, call }, at) => {
      if (results[at]) return results[at]
      return shared ? shared.next().value : noteFirst(() => moveApart(request, call))
    })
  }

  return batched<StockMove<unknown>, unknown>(line, together) as StockTurns
}

const productsOf = ({ reads }: StockMove<unknown>): readonly string[] => reads.productIds ?? []

/** The same for moves that want the same products. */
const keyOf = (move: StockMove<unknown>): string =>
  [...productsOf(move)].sort().join() || (move.reads.orderId ?? '')

type Batch = readonly QueuedRequest<StockMove<unknown>>[]
type Reads = readonly StockMove<unknown>['reads'][]

interface Decided {
  turn: ReturnType<typeof createTurn>
  outcomes: (unknown | Error)[]
}

const nothing = { whole: [], spoilt: [] }

async function lookUp(reads: Reads, source: StockReads): Promise<Facts> {
  const orderIds = new Set(reads.flatMap(({ orderId }) => orderId ?? []))
  const answerIds = new Set(reads.flatMap(({ answerId }) => answerId ?? []))
  const reservations = orderIds.size > 0 ? await source.reservations([...orderIds]) : nothing
  const answers = answerIds.size > 0 ? await source.keyedAnswers([...answerIds]) : nothing
  const productIds = new Set(reads.flatMap((each) => each.productIds ?? []))
  for (const { requested } of reservations.whole) for (const line of requested) productIds.add(line.productId)
  const products = productIds.size > 0 ? await source.products([...productIds]) : nothing
  for (const id of products.spoilt) productIds.delete(id)
  return {
    reservations: reservations.whole,
    answers: answers.whole,
    products: products.whole,
    productIds,
    spoilt: new Set([...reservations.spoilt, ...answers.spoilt, ...products.spoilt]),
  }
}

function decide(batch: Batch, facts: Facts): Decided {
  const turn = createTurn(facts)
  const outcomes = batch.map(({ request, call }) => {
    if (remainingMs(call) <= 0) return dependencyUnavailable('the time for this request is over')
    try {
      return request.decide(turn)
    } catch (error) {
      if (error instanceof DomainError || error instanceof Spoilt) return error
      throw error
    }
  })
  return { turn, outcomes }
}

/** @throws StaleDecision if a condition of a change does not hold any more */
async function store(transaction: StockTransaction, changes: StockChanges): Promise<void> {
  const { at, products, newProducts, newReservations, releasedOrderIds, entries, newAnswers } = changes
  if (products.length > 0) await transaction.changeProducts(products)
  if (newProducts.length > 0) await transaction.addProducts(newProducts)
  if (newReservations.length > 0) await transaction.addReservations(newReservations, at)
  if (releasedOrderIds.length > 0) await transaction.markReleased(releasedOrderIds, at)
  if (entries.length > 0) await transaction.record(entries, at)
  if (newAnswers.length > 0) await transaction.addKeyedAnswers(newAnswers, at)
}
