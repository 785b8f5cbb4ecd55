import { batched, type Waiting } from '../../kernel/batching.ts'
import { type Call, remaining } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable, isDomainError } from '../../kernel/errors.ts'
import { Outdated } from '../../kernel/mongo.ts'
import { isDuplicateKey } from '../../kernel/mongo-errors.ts'
import type { Line } from './contract.ts'
import type { ContentChange } from './product.repository.ts'
import type { Product } from './product.ts'
import { createProductMemory } from './product-memory.ts'
import type {
  KeyedAnswer,
  LedgerEntry,
  ProductChange,
  ReservationRecord,
  StockReads,
  StockRepository,
  StockTransaction,
  StoredProduct,
} from './stock.repository.ts'

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

/** What a turn is decided on. */
interface Facts {
  reservations: readonly ReservationRecord[]
  answers: readonly (KeyedAnswer & { id: string })[]
  products: readonly StoredProduct[]
  /** All that were looked for, whether they exist or not. */
  productIds: ReadonlySet<string>
}

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

/** A product while a turn is decided. */
interface Account extends ProductChange {
  readonly base: StoredProduct
  now: StoredProduct
  isShown: boolean
}

export type StockTurn = Omit<ReturnType<typeof createTurn>, 'isProvenByWriting' | 'products' | 'write'>

function createTurn(facts: Facts) {
  const at = new Date()
  const accounts = new Map<string, Account>()
  for (const product of facts.products) {
    accounts.set(product.productId, {
      ...{ base: product, now: product, stocked: 0, lowest: 0 },
      ...{ isShown: true, isTaken: false, isExact: false },
    })
  }
  const reservations = new Map(facts.reservations.map((record) => [record.orderId, record]))
  const askedReservations = new Set<string>()
  const changedReservations = new Set<string>()
  const answers = new Map(facts.answers.map(({ id, ...answer }) => [id, answer]))
  const askedAnswers = new Set<string>()
  const newAnswers: (KeyedAnswer & { id: string })[] = []
  const newProducts: Product[] = []
  const entries: LedgerEntry[] = []

  const move = (productId: string, change: number, content: ContentChange = {}): Account | undefined => {
    const account = accounts.get(productId)
    if (!account) return undefined
    const { now, isShown } = account
    const version = isShown ? now.version + 1 : now.version
    const contentVersion = Object.keys(content).length > 0 ? version : now.contentVersion
    account.now = { ...now, ...content, stock: now.stock + change, version, contentVersion, updatedAt: at }
    account.lowest = Math.min(account.lowest, account.now.stock - account.base.stock)
    account.isShown = false
    return account
  }

  const product = (productId: string): Product | undefined => {
    const account = accounts.get(productId)
    if (account) account.isExact = true
    return account?.now.deleted ? undefined : account?.now
  }

  return {
    /** A product that is there and not deleted, as those before have left it, to decide on: it must be exactly so. */
    product,

    /** The same, for somebody to see: whatever comes after is a new version. */
    show(productId: string): Product | undefined {
      const account = accounts.get(productId)
      if (account) account.isShown = true
      return product(productId)
    },

    reservation(orderId: string): ReservationRecord | undefined {
      askedReservations.add(orderId)
      return reservations.get(orderId)
    },

    keep(record: ReservationRecord): void {
      reservations.set(record.orderId, record)
      changedReservations.add(record.orderId)
    },

    /**
     * Takes all of it, if it is there, or nothing: whatever else others take or give back, as long as that much is left.
     * @returns the product of each line
     */
    take(lines: readonly Line[]): Product[] | undefined {
      const taken: Account[] = []
      for (const { productId, quantity } of lines) {
        const account = accounts.get(productId)
        if (!account || account.now.deleted || quantity > account.now.stock) return undefined
        taken.push(account)
      }
      for (const { productId, quantity } of lines) move(productId, -quantity)
      return taken.map((account) => {
        account.isTaken = true
        return account.now
      })
    },

    /** Never refused: deleted products get theirs back too, or their books would not balance. */
    giveBack(lines: readonly Line[]): void {
      for (const { productId, quantity } of lines) move(productId, quantity)
    },

    add(product: Omit<Product, 'version' | 'contentVersion' | 'createdAt' | 'updatedAt'>): Product {
      const added = { ...product, version: 1, contentVersion: 1, createdAt: at, updatedAt: at }
      newProducts.push(added)
      return added
    },

    /** Moves what was put in by as much as the stock, and changes the content along. */
    restock(productId: string, change: number, content?: ContentChange): void {
      const account = move(productId, change, content)
      if (account) account.stocked += change
    },

    record(entry: LedgerEntry): void {
      entries.push(entry)
    },

    /** The first answer to a keyed stock change. */
    answer(answerId: string): KeyedAnswer | undefined {
      askedAnswers.add(answerId)
      return answers.get(answerId)
    },

    keepAnswer(answerId: string, answer: KeyedAnswer): void {
      answers.set(answerId, answer)
      newAnswers.push({ id: answerId, ...answer })
    },

    /** Whether nothing was decided on but what the writes themselves have as their conditions. */
    isProvenByWriting(): boolean {
      return (
        [...askedAnswers].every((answerId) => newAnswers.some(({ id }) => id === answerId)) &&
        [...askedReservations].every((orderId) => changedReservations.has(orderId)) &&
        [...facts.productIds].every((productId) => {
          const account = accounts.get(productId)
          return account !== undefined && account.base !== account.now
        })
      )
    },

    /** Those that were looked at, as they are afterwards. */
    products: (): StoredProduct[] => [...accounts.values()].map(({ now }) => now),

    /** @throws Outdated if a condition does not hold */
    async write(transaction: StockTransaction): Promise<void> {
      const changes = [...accounts.values()].filter(({ base, now }) => base !== now)
      if (changes.length > 0) await transaction.changeProducts(changes)
      if (newProducts.length > 0) await transaction.addProducts(newProducts)

      const before = new Set(facts.reservations.map(({ orderId }) => orderId))
      const changed = [...changedReservations].map(
        (orderId) => reservations.get(orderId) as ReservationRecord,
      )
      const added = changed.filter(({ orderId }) => !before.has(orderId))
      const released = changed.filter(({ orderId }) => before.has(orderId))
      if (added.length > 0) await transaction.addReservations(added, at)
      if (released.length > 0) {
        await transaction.markReleased(
          released.map(({ orderId }) => orderId),
          at,
        )
      }
      if (entries.length > 0) await transaction.record(entries, at)
      if (newAnswers.length > 0) await transaction.addKeyedAnswers(newAnswers, at)
    },
  }
}
