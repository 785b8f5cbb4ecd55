import { type Call, remaining } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable } from '../../kernel/errors.ts'
import type { HeldLine, Line, ProductPort, Rejection, Reservation, ShortItem } from './contract.ts'
import type { Product } from './product.ts'
import type { ReservationRecord, StockRepository, StockTransaction } from './stock.repository.ts'
import type { StockQueue } from './stock-queue.ts'

interface Waiting {
  orderId: string
  lines: Line[]
  call: Call
  resolve(outcome: Reservation): void
  reject(error: unknown): void
}

// What one transaction takes on: enough to empty a rush in a few turns, too little to make any of them slow.
const linesPerTurn = 200

/**
 * One document per order id, written in the same transaction as the stocks it moves, rejections too. It is what
 * makes every operation safe to repeat: held → released is the only step, and a release that comes first leaves a
 * `released` tombstone that refuses the reserve. A hold never expires by itself: orders decide.
 *
 * Reserves that wait for a turn share its transaction, decided in the order they came: a rush on one product would
 * otherwise outlast the time that its buyers have. They may so overtake releases and stock changes, never each other.
 */
export function createReservationService(stock: StockRepository, queue: StockQueue): ProductPort {
  const waiting = new Set<Waiting>()

  const reserveTogether = async (): Promise<void> => {
    const batch = nextBatch(waiting)
    // Nobody waits any longer than the last of them; each one's own deadline counts when it is decided.
    const call = batch.reduce(
      (last, { call }) => (call.deadline > last.deadline ? call : last),
      batch[0].call,
    )
    try {
      const outcomes = await stock.transaction(call, (transaction) => decide(batch, transaction))
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome instanceof DomainError) batch[at]?.reject(outcome)
        else batch[at]?.resolve(outcome)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  return {
    reserve({ orderId, lines }, call) {
      const { promise, resolve, reject } = Promise.withResolvers<Reservation>()
      const entry: Waiting = { orderId, lines, call, resolve, reject }
      waiting.add(entry)
      const turn = queue(call, async () => {
        // An earlier turn has often taken it along.
        if (waiting.has(entry)) await reserveTogether()
      })
      turn.catch((error: unknown) => {
        waiting.delete(entry)
        reject(error)
      })
      return promise
    },

    release: ({ orderId }, call) =>
      queue(call, () =>
        stock.transaction(call, async (transaction) => {
          const known = (await transaction.reservations([orderId])).get(orderId)
          if (!known) {
            await transaction.addReservations([{ orderId, state: 'released', requested: [] }])
          } else if (known.state !== 'released') {
            if (known.state === 'held') await transaction.giveBack(known.requested)
            await transaction.markReleased(orderId)
          }
          return { state: 'released' as const }
        }),
      ),

    async reservations({ orderIds }, call) {
      const records = await stock.reservations(orderIds, call)
      return {
        reservations: records.map((record) => ({ orderId: record.orderId, reservation: outcomeOf(record) })),
      }
    },

    holds: async ({ after, limit }, call) => ({ orderIds: await stock.holds(after, limit, call) }),
  }
}

function nextBatch(waiting: Set<Waiting>): [Waiting, ...Waiting[]] {
  const batch: Waiting[] = []
  let lines = 0
  for (const entry of waiting) {
    lines += entry.lines.length
    if (batch.length > 0 && lines > linesPerTurn) break
    waiting.delete(entry)
    batch.push(entry)
  }
  return batch as [Waiting, ...Waiting[]]
}

/** What each of the batch is answered, once the transaction commits. Begun anew after a write conflict. */
async function decide(
  batch: readonly Waiting[],
  transaction: StockTransaction,
): Promise<(Reservation | DomainError)[]> {
  const records = await transaction.reservations(batch.map(({ orderId }) => orderId))
  const products = new Map<string, Product>()
  for (const product of await transaction.products(
    batch.flatMap(({ lines }) => lines.map((line) => line.productId)),
  )) {
    products.set(product.productId, product)
  }
  const added: ReservationRecord[] = []
  const taken = new Map<string, number>()

  const outcomes = batch.map(({ orderId, lines, call }) => {
    const known = records.get(orderId)
    if (known) return repeated(known, lines)
    if (remaining(call) <= 0) return dependencyUnavailable('the time for this request is over')
    const record = recordOf(orderId, lines, products, taken)
    records.set(orderId, record)
    added.push(record)
    return outcomeOf(record)
  })

  const lines = [...taken].map(([productId, quantity]) => ({ productId, quantity }))
  if (lines.length > 0 && !(await transaction.take(lines))) {
    // The snapshot had enough, and what changed since is a write conflict: the condition is the last line of defence.
    throw new DomainError('internal_error', 'the stock is not what the snapshot shows')
  }
  if (added.length > 0) await transaction.addReservations(added)
  return outcomes
}

/** Decides on what those before it in the turn have left, and takes its own if all of it is there. */
function recordOf(
  orderId: string,
  lines: Line[],
  products: ReadonlyMap<string, Product>,
  taken: Map<string, number>,
): ReservationRecord {
  const left = (productId: string) => {
    const product = products.get(productId)
    return product && product.stock - (taken.get(productId) ?? 0)
  }
  const rejection = rejectionOf(lines, left)
  if (rejection) return { orderId, state: 'rejected', requested: lines, rejection }
  for (const { productId, quantity } of lines) taken.set(productId, (taken.get(productId) ?? 0) + quantity)
  const held = lines.map((line): HeldLine => {
    const { name, price } = products.get(line.productId) as Product
    return { ...line, name, price }
  })
  return { orderId, state: 'held', requested: lines, held }
}

function rejectionOf(
  lines: readonly Line[],
  left: (productId: string) => number | undefined,
): Rejection | undefined {
  const unknown = lines.filter((line) => left(line.productId) === undefined)
  if (unknown.length > 0)
    return { code: 'unknown_product', productIds: unknown.map((line) => line.productId) }

  const short: ShortItem[] = lines
    .map(({ productId, quantity }) => ({ productId, requested: quantity, available: left(productId) ?? 0 }))
    .filter((item) => item.requested > item.available)
  return short.length > 0 ? { code: 'insufficient_stock', items: short } : undefined
}

function repeated(known: ReservationRecord, lines: readonly Line[]): Reservation | DomainError {
  const tombstone = known.requested.length === 0
  if (!tombstone && !sameLines(known.requested, lines)) {
    return new DomainError(
      'idempotency_key_reused',
      `orderId: ${known.orderId} is reserved with other lines; a reserve is repeated with the same ones`,
    )
  }
  return outcomeOf(known)
}

function outcomeOf({ state, held, rejection }: ReservationRecord): Reservation {
  if (state === 'held' && held) return { state, lines: held }
  if (state === 'rejected' && rejection) return { state, rejection }
  return { state: 'released' }
}

const sameLines = (a: readonly Line[], b: readonly Line[]): boolean =>
  a.length === b.length &&
  a.every((line, at) => line.productId === b[at]?.productId && line.quantity === b[at]?.quantity)
