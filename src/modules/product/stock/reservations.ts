import { DomainError } from '#kernel/errors.ts'
import type { Line, ProductPort, Rejection, Reservation, ShortItem } from '../contract.ts'
import type { StockRepository } from './stock.repository.ts'
import type { ReservationRecord } from './stock.ts'
import type { StockTurn } from './stock-batch.ts'
import type { StockTurns } from './stock-queue.ts'

// What a release weighs in its turn: how many lines the order has shows when it is read.
const linesOfRelease = 4

/**
 * One document per order id, written in the same transaction as the stocks it moves, rejections too. It is what
 * makes every operation safe to repeat: held → released is the only step, and a release that comes first leaves a
 * `released` tombstone that refuses the reserve. A hold never expires by itself: orders decide.
 */
export function createReservationService(stock: StockRepository, turns: StockTurns): ProductPort {
  return {
    reserve: ({ orderId, lines }, call) =>
      turns(
        {
          lines: lines.length,
          reads: { orderId, productIds: lines.map(({ productId }) => productId), isNew: true },
          decide(turn) {
            const known = turn.reservation(orderId)
            return known ? repeated(known, lines) : outcomeOf(reserve(orderId, lines, turn))
          },
        },
        call,
      ),

    release: ({ orderId }, call) =>
      turns(
        {
          lines: linesOfRelease,
          reads: { orderId },
          decide(turn) {
            const known = turn.reservation(orderId)
            if (known?.state === 'held') turn.giveBack(known.requested)
            // Where nothing was reserved yet, the mark that is left refuses whatever comes later.
            if (known?.state !== 'released') {
              turn.keep({ ...(known ?? { orderId, requested: [] }), state: 'released' })
            }
            return { state: 'released' as const }
          },
        },
        call,
      ),

    async reservations({ orderIds }, call) {
      const { whole } = await stock.reads(call).reservations(orderIds)
      return {
        reservations: whole.map((record) => ({ orderId: record.orderId, reservation: outcomeOf(record) })),
      }
    },

    holds: async ({ after, limit }, call) => ({ orderIds: await stock.holds(after, limit, call) }),
  }
}

/** Takes the stock of every line, if all of it is there, or of none. */
function reserve(orderId: string, lines: Line[], turn: StockTurn): ReservationRecord {
  const held = turn.take(lines)
  const record: ReservationRecord = held
    ? { orderId, state: 'held', requested: lines, held }
    : { orderId, state: 'rejected', requested: lines, rejection: rejectionOf(lines, turn) }
  turn.keep(record)
  return record
}

function rejectionOf(lines: readonly Line[], turn: StockTurn): Rejection {
  const items = lines.map(({ productId, quantity }) => ({
    productId,
    requested: quantity,
    available: turn.product(productId)?.stock,
  }))
  const unknown = items.filter(({ available }) => available === undefined)
  if (unknown.length > 0) {
    return { code: 'unknown_product', productIds: unknown.map(({ productId }) => productId) }
  }
  const isShort = (item: (typeof items)[number]): item is ShortItem => item.requested > (item.available ?? 0)
  return { code: 'insufficient_stock', items: items.filter(isShort) }
}

function repeated(known: ReservationRecord, lines: readonly Line[]): Reservation {
  const tombstone = known.requested.length === 0
  if (!tombstone && !sameLines(known.requested, lines)) {
    throw new DomainError(
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
