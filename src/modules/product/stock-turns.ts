import { batched, type Waiting } from '../../kernel/batching.ts'
import { type Call, remaining } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable, isDomainError } from '../../kernel/errors.ts'
import { Outdated } from '../../kernel/mongo.ts'
import { isDuplicateKey } from '../../kernel/mongo-errors.ts'
import { createProductMemory } from './product-memory.ts'
import type { StockReads, StockRepository, StockTransaction } from './stock.repository.ts'
import { createTurn, type Facts, type StockTurn } from './stock-turn.ts'

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

/**
 * Group commit. All that moves stock waits here in line, and those that wait are carried out in one transaction: one
 * conditional `$inc` per product, whatever is in the turn. Transactions of one process that met on a hot product would
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

  const carryOut = async (batch: Batch, call: Call): Promise<(unknown | Error)[]> => {
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
          await presumed.turn.write(transaction).catch((error) => {
            if (error instanceof Outdated) outdated += 1
            mayPresume = !isDuplicateKey(error) && outdated < mostOutdated
            throw error
          })
          return presumed
        }
      }
      const decided = decide(batch, await lookUp(reads, transaction))
      await decided.turn.write(transaction).catch((error) => {
        // The snapshot had it so, and what changed since is a write conflict: the condition is the last line of defence.
        if (error instanceof Outdated) throw new DomainError('internal_error', error.message)
        throw error
      })
      return decided
    }

    try {
      const { turn, outcomes } = await stock.transaction(call, attempt)
      memory.keep(turn.products())
      return outcomes
    } finally {
      rest = attempts > 1 ? Math.min(performance.now() - began, longestRest) : 0
    }
  }

  /** What one of them makes impossible, such as a product that somebody has spoilt by hand, is no matter of the others. */
  const carryOutApart = async (batch: Batch, call: Call): Promise<(unknown | Error)[]> => {
    try {
      return await carryOut(batch, call)
    } catch (error) {
      if (batch.length === 1 || isDomainError(error, 'dependency_unavailable')) return batch.map(() => error)
      const half = Math.ceil(batch.length / 2)
      const first = await carryOutApart(batch.slice(0, half), call)
      return [...first, ...(await carryOutApart(batch.slice(half), call))]
    }
  }

  const turns = batched<StockMove<unknown>, unknown>(
    {
      name: 'the stock queue',
      inFlight: 1,
      bound: 2_000,
      most: linesPerTurn,
      weigh: ({ lines }) => lines,
      rest: () => rest,
    },
    carryOutApart,
  )
  return turns as StockTurns
}

type Batch = readonly Waiting<StockMove<unknown>>[]
type Reads = readonly StockMove<unknown>['reads'][]

interface Decided {
  turn: ReturnType<typeof createTurn>
  outcomes: (unknown | Error)[]
}

async function lookUp(reads: Reads, source: StockReads): Promise<Facts> {
  const orderIds = new Set(reads.flatMap(({ orderId }) => orderId ?? []))
  const answerIds = new Set(reads.flatMap(({ answerId }) => answerId ?? []))
  const reservations = orderIds.size > 0 ? await source.reservations([...orderIds]) : []
  const answers = answerIds.size > 0 ? await source.keyedAnswers([...answerIds]) : []
  const productIds = new Set(reads.flatMap((each) => each.productIds ?? []))
  for (const { requested } of reservations) for (const line of requested) productIds.add(line.productId)
  const products = productIds.size > 0 ? await source.products([...productIds]) : []
  return { reservations, answers, products, productIds }
}

function decide(batch: Batch, facts: Facts): Decided {
  const turn = createTurn(facts)
  const outcomes = batch.map(({ request, call }) => {
    if (remaining(call) <= 0) return dependencyUnavailable('the time for this request is over')
    try {
      return request.decide(turn)
    } catch (error) {
      if (error instanceof DomainError) return error
      throw error
    }
  })
  return { turn, outcomes }
}
