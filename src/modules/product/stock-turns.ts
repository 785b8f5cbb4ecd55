import { batched, type Waiting } from '../../kernel/batching.ts'
import { type Call, remaining } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable } from '../../kernel/errors.ts'
import type { Line } from './contract.ts'
import type { ContentChange } from './product.repository.ts'
import type { Product } from './product.ts'
import type {
  KeyedAnswer,
  LedgerEntry,
  ReservationRecord,
  StockRepository,
  StockTransaction,
} from './stock.repository.ts'

/** One step that moves stock: what it looks at, and what it makes of it. */
export interface StockMove<Result> {
  /** What a turn is bounded by. */
  lines: number
  reads: { orderId?: string; productIds?: readonly string[]; answerId?: string | undefined }
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

/**
 * Group commit. All that moves stock waits here in line, and those that wait are carried out in one transaction: one
 * conditional `$inc` per product, whatever is in the turn. Transactions of one process that met on a hot product would
 * only abort each other; those of several processes still meet, and a turn that does is decided anew.
 *
 * A product's `version` grows once per turn, and once more after each time that it was shown within the turn: one
 * version is never two representations.
 */
export function createStockTurns(stock: StockRepository): StockTurns {
  const turns = batched<StockMove<unknown>, unknown>(
    {
      name: 'the stock queue',
      inFlight: 1,
      bound: 2_000,
      most: linesPerTurn,
      weigh: ({ lines }) => lines,
    },
    (batch, call) => stock.transaction(call, (transaction) => carryOut(batch, transaction)),
  )
  return turns as StockTurns
}

async function carryOut(
  batch: readonly Waiting<StockMove<unknown>>[],
  transaction: StockTransaction,
): Promise<unknown[]> {
  const turn = await beginTurn(
    batch.map(({ request }) => request.reads),
    transaction,
  )
  const outcomes = batch.map(({ request, call }) => {
    if (remaining(call) <= 0) return dependencyUnavailable('the time for this request is over')
    try {
      return request.decide(turn)
    } catch (error) {
      if (error instanceof DomainError) return error
      throw error
    }
  })
  await turn.write(transaction)
  return outcomes
}

/** A product while a turn is decided. */
interface Account {
  readonly base: Product
  readonly deleted: boolean
  now: Product
  stocked: number
  isShown: boolean
}

export type StockTurn = Omit<Awaited<ReturnType<typeof beginTurn>>, 'write'>

async function beginTurn(reads: readonly StockMove<unknown>['reads'][], transaction: StockTransaction) {
  const orderIds = reads.flatMap(({ orderId }) => orderId ?? [])
  const answerIds = reads.flatMap(({ answerId }) => answerId ?? [])
  const stored = orderIds.length > 0 ? await transaction.reservations([...new Set(orderIds)]) : []
  const known = answerIds.length > 0 ? await transaction.keyedAnswers([...new Set(answerIds)]) : []
  const productIds = new Set(reads.flatMap((each) => each.productIds ?? []))
  for (const { requested } of stored) for (const line of requested) productIds.add(line.productId)
  const products = productIds.size > 0 ? await transaction.products([...productIds]) : []

  const at = new Date()
  const accounts = new Map<string, Account>()
  for (const { deleted, ...base } of products) {
    accounts.set(base.productId, { base, deleted, now: base, stocked: 0, isShown: true })
  }
  const reservations = new Map(stored.map((record) => [record.orderId, record]))
  const changedReservations = new Set<string>()
  const answers = new Map(known.map(({ id, ...answer }) => [id, answer]))
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
    account.isShown = false
    return account
  }

  const product = (productId: string): Product | undefined => {
    const account = accounts.get(productId)
    return account && !account.deleted ? account.now : undefined
  }

  return {
    /** A product that is there and not deleted, as those before have left it. For decisions alone. */
    product,

    /** The same, for somebody to see: whatever comes after is a new version. */
    show(productId: string): Product | undefined {
      const account = accounts.get(productId)
      if (account) account.isShown = true
      return product(productId)
    },

    reservation: (orderId: string): ReservationRecord | undefined => reservations.get(orderId),

    keep(record: ReservationRecord): void {
      reservations.set(record.orderId, record)
      changedReservations.add(record.orderId)
    },

    take(lines: readonly Line[]): void {
      for (const { productId, quantity } of lines) move(productId, -quantity)
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
    answer: (answerId: string): KeyedAnswer | undefined => answers.get(answerId),

    keepAnswer(answerId: string, answer: KeyedAnswer): void {
      answers.set(answerId, answer)
      newAnswers.push({ id: answerId, ...answer })
    },

    async write(transaction: StockTransaction): Promise<void> {
      const changes = [...accounts.values()].filter(({ base, now }) => base !== now)
      if (changes.length > 0 && !(await transaction.changeProducts(changes))) {
        // The snapshot had it so, and what changed since is a write conflict: the condition is the last line of defence.
        throw new DomainError('internal_error', 'the stock is not what the snapshot shows')
      }
      if (newProducts.length > 0) await transaction.addProducts(newProducts)

      const before = new Set(stored.map(({ orderId }) => orderId))
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
