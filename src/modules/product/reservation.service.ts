import { remaining } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable } from '../../kernel/errors.ts'
import type { HeldLine, Line, ProductPort, Rejection, Reservation, ShortItem } from './contract.ts'
import type { Product } from './product.ts'
import { sharedTurns, type Waiting } from './shared-turns.ts'
import type { ReservationRecord, StockRepository, StockTransaction } from './stock.repository.ts'
import type { StockQueue } from './stock-queue.ts'

interface Reserve {
  orderId: string
  lines: Line[]
}
interface Release {
  orderId: string
}

// What one transaction takes on: enough to empty a rush in a few turns, too little to make any of them slow.
const linesPerTurn = 200
const releasesPerTurn = 50

/**
 * One document per order id, written in the same transaction as the stocks it moves, rejections too. It is what
 * makes every operation safe to repeat: held → released is the only step, and a release that comes first leaves a
 * `released` tombstone that refuses the reserve. A hold never expires by itself: orders decide.
 *
 * Reserves that wait for a turn share its transaction, and so do releases; each kind may so overtake the other, and stock
 * changes. What comes of a reserve and a release of one order does not depend on which of them comes first.
 */
export function createReservationService(stock: StockRepository, queue: StockQueue): ProductPort {
  return {
    reserve: sharedTurns<Reserve, Reservation>(
      queue,
      { most: linesPerTurn, weigh: ({ lines }) => lines.length },
      (batch, call) => stock.transaction(call, (transaction) => decide(batch, transaction)),
    ),

    release: sharedTurns<Release, { state: 'released' }>(
      queue,
      { most: releasesPerTurn, weigh: () => 1 },
      (batch, call) => stock.transaction(call, (transaction) => releaseAll(batch, transaction)),
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

/** Gives back what is held, and leaves a mark where nothing was reserved yet. Begun anew after a write conflict. */
async function releaseAll(
  batch: readonly Waiting<Release>[],
  transaction: StockTransaction,
): Promise<{ state: 'released' }[]> {
  const orderIds = [...new Set(batch.map(({ request }) => request.orderId))]
  const records = await transaction.reservations(orderIds)
  const known = orderIds.flatMap((orderId) => records.get(orderId) ?? [])

  const back = new Map<string, number>()
  for (const { state, requested } of known) {
    if (state === 'held') for (const line of requested) add(back, line)
  }
  const unknown = orderIds.filter((orderId) => !records.has(orderId))
  if (unknown.length > 0) {
    await transaction.addReservations(
      unknown.map((orderId) => ({ orderId, state: 'released', requested: [] })),
    )
  }
  if (back.size > 0) await transaction.giveBack(linesOf(back))
  const released = known.filter(({ state }) => state !== 'released').map(({ orderId }) => orderId)
  if (released.length > 0) await transaction.markReleased(released)
  // However late it comes, it is right: whoever asks for it has given the order up for good.
  return batch.map(() => ({ state: 'released' as const }))
}

/** What each of the batch is answered, once the transaction commits. Begun anew after a write conflict. */
async function decide(
  batch: readonly Waiting<Reserve>[],
  transaction: StockTransaction,
): Promise<(Reservation | DomainError)[]> {
  const records = await transaction.reservations(batch.map(({ request }) => request.orderId))
  const products = new Map<string, Product>()
  for (const product of await transaction.products(
    batch.flatMap(({ request }) => request.lines.map((line) => line.productId)),
  )) {
    products.set(product.productId, product)
  }
  const added: ReservationRecord[] = []
  const taken = new Map<string, number>()

  const outcomes = batch.map(({ request: { orderId, lines }, call }) => {
    const known = records.get(orderId)
    if (known) return repeated(known, lines)
    if (remaining(call) <= 0) return dependencyUnavailable('the time for this request is over')
    const record = recordOf(orderId, lines, products, taken)
    records.set(orderId, record)
    added.push(record)
    return outcomeOf(record)
  })

  if (taken.size > 0 && !(await transaction.take(linesOf(taken)))) {
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
  for (const line of lines) add(taken, line)
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

const add = (sums: Map<string, number>, { productId, quantity }: Line) =>
  sums.set(productId, (sums.get(productId) ?? 0) + quantity)

const linesOf = (sums: ReadonlyMap<string, number>): Line[] =>
  [...sums].map(([productId, quantity]) => ({ productId, quantity }))

const sameLines = (a: readonly Line[], b: readonly Line[]): boolean =>
  a.length === b.length &&
  a.every((line, at) => line.productId === b[at]?.productId && line.quantity === b[at]?.quantity)
