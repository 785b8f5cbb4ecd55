import { DomainError } from '#kernel/errors.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { Line, ProductPort, Rejection, Reservation, ShortItem } from '../contract.ts'
import type { StockRepository } from './stock.repository.ts'
import type { ReservationRecord } from './stock.ts'
import type { StockBatch } from './stock-operation.ts'
import type { RunInBatch } from './stock-queue.ts'

// A release learns the lines of its order only when it reads the reservation.
const estimatedLinesOfRelease = 4

/**
 * Each order has one reservation document under the order's id. The document is written in the same transaction as the stock,
 * also for a rejection, so that every operation is safe to repeat. The only change of a stored reservation is to `released`.
 * A release that arrives before its reserve stores a tombstone, which refuses the reserve. A hold never expires by itself: the
 * order module decides when to release it.
 */
export function createReservationService(
  stock: StockRepository,
  runInBatch: RunInBatch,
  metrics: Metrics,
): ProductPort {
  const count = createOutcomeCount(metrics)
  return {
    reserve: async ({ orderId, userId, lines }, call) => {
      const reservation = await runInBatch(
        {
          lineCount: lines.length,
          reads: {
            orderId,
            productIds: lines.map(({ productId }) => productId),
            assumesNew: true,
            takes: lines,
          },
          decide(batch) {
            const stored = batch.findReservation(orderId)
            return stored
              ? repeatedAnswer(stored, lines)
              : toReservation(reserve({ orderId, userId }, lines, batch))
          },
        },
        call,
      )
      count(outcomeOf(reservation))
      return reservation
    },

    release: async ({ orderId }, call) => {
      const released = await runInBatch(
        {
          lineCount: estimatedLinesOfRelease,
          reads: { orderId },
          decide(batch) {
            const stored = batch.findReservation(orderId)
            if (stored?.state === 'held') batch.returnStock(stored.requested)
            // Without a stored reservation, this stores the tombstone.
            if (stored?.state !== 'released') {
              batch.storeReservation({ ...(stored ?? { orderId, requested: [] }), state: 'released' })
            }
            return { state: 'released' as const }
          },
        },
        call,
      )
      count('released')
      return released
    },

    async reservations({ orderIds }, call) {
      const { valid } = await stock.reads(call).reservations(orderIds)
      return {
        reservations: valid.map((record) => ({
          orderId: record.orderId,
          reservation: toReservation(record),
          ...(record.userId !== undefined && { userId: record.userId }),
          ...(record.createdAt && { reservedAt: record.createdAt.getTime() }),
        })),
      }
    },

    holdsByTime: async ({ after, until, limit }, call) => ({
      holds: await stock.listHoldsByTime({ after, until, limit }, call),
    }),

    holds: async ({ after, limit }, call) => ({ orderIds: await stock.listHolds(after, limit, call) }),
  }
}

const outcomes = ['held', 'insufficient_stock', 'unknown_product', 'refused', 'released'] as const
type Outcome = (typeof outcomes)[number]

/** Creates the function that counts the answers to reserves and releases. A repeated operation counts again. */
function createOutcomeCount(metrics: Metrics): (outcome: Outcome) => void {
  const help = 'Answers to reservations and releases of stock, by outcome'
  const counter = (outcome: Outcome) =>
    metrics.counter({ name: 'trivet_reservations_total', help }, { outcome })
  for (const outcome of outcomes) counter(outcome)
  return (outcome) => counter(outcome).add()
}

/** A reserve is `refused` if a release of its order has come first. */
function outcomeOf(reservation: Reservation): Outcome {
  if (reservation.state === 'released') return 'refused'
  return reservation.state === 'rejected' ? reservation.rejection.code : 'held'
}

function reserve(
  order: Pick<ReservationRecord, 'orderId' | 'userId'>,
  lines: Line[],
  batch: StockBatch,
): ReservationRecord {
  const held = batch.takeStock(lines)
  const record: ReservationRecord = held
    ? { ...order, state: 'held', requested: lines, held }
    : { ...order, state: 'rejected', requested: lines, rejection: rejectionOf(lines, batch) }
  batch.storeReservation(record)
  return record
}

function rejectionOf(lines: readonly Line[], batch: StockBatch): Rejection {
  const items = lines.map(({ productId, quantity }) => ({
    productId,
    requested: quantity,
    available: batch.findProduct(productId)?.stock,
  }))
  const unknown = items.filter(({ available }) => available === undefined)
  if (unknown.length > 0) {
    return { code: 'unknown_product', productIds: unknown.map(({ productId }) => productId) }
  }
  const isShort = (item: (typeof items)[number]): item is ShortItem => item.requested > (item.available ?? 0)
  return { code: 'insufficient_stock', items: items.filter(isShort) }
}

/** @throws DomainError `idempotency_key_reused` if the order is stored with other lines */
function repeatedAnswer(stored: ReservationRecord, lines: readonly Line[]): Reservation {
  const isTombstone = stored.requested.length === 0
  if (!isTombstone && !hasSameLines(stored.requested, lines)) {
    throw new DomainError(
      'idempotency_key_reused',
      `orderId: ${stored.orderId} is already reserved with other lines; repeat the reserve with the same lines`,
    )
  }
  return toReservation(stored)
}

function toReservation({ state, held, rejection }: ReservationRecord): Reservation {
  if (state === 'held' && held) return { state, lines: held }
  if (state === 'rejected' && rejection) return { state, rejection }
  return { state: 'released' }
}

const hasSameLines = (a: readonly Line[], b: readonly Line[]): boolean =>
  a.length === b.length &&
  a.every((line, at) => line.productId === b[at]?.productId && line.quantity === b[at]?.quantity)
