import { CorruptDocument } from '#kernel/mongo/corrupt-documents.ts'
import { createProductStates } from './product-states.ts'
import type { BatchChanges, KeyedAnswer, LedgerEntry, ReservationRecord } from './stock.ts'
import type { StockBatch, StoredState } from './stock-operation.ts'

/**
 * Creates a batch without operations.
 * @param at the time of its changes
 */
export function createStockBatch(state: StoredState, at: Date) {
  const products = createProductStates(state, at)
  const reservations = createReservationStates(state)
  const answers = createAnswerStates(state)
  const ledgerEntries: LedgerEntry[] = []
  const batch: StockBatch = {
    ...products.methods,
    ...reservations.methods,
    ...answers.methods,
    addLedgerEntry(entry) {
      ledgerEntries.push(entry)
    },
  }
  return {
    batch,

    /** Whether the filters and the unique ids of the writes verify everything that the decisions depend on. */
    isVerifiedByWrites: (): boolean =>
      answers.areVerifiedByWrites() && reservations.areVerifiedByWrites() && products.areVerifiedByWrites(),

    /** The products that were read, as they are after the batch. */
    products: products.afterBatch,

    changes: (): BatchChanges => ({
      at,
      ...products.changes(),
      ...reservations.changes(),
      ledgerEntries,
      newAnswers: answers.newAnswers,
    }),
  }
}

function createReservationStates({ reservations: stored, corruptIds }: StoredState) {
  const reservations = new Map(stored.map((reservation) => [reservation.orderId, reservation]))
  const readIds = new Set<string>()
  const changedIds = new Set<string>()

  return {
    methods: {
      findReservation(orderId) {
        if (corruptIds.has(orderId)) throw new CorruptDocument('the reservation of order', orderId)
        readIds.add(orderId)
        return reservations.get(orderId)
      },

      storeReservation(reservation) {
        reservations.set(reservation.orderId, reservation)
        changedIds.add(reservation.orderId)
      },
    } satisfies Partial<StockBatch>,

    areVerifiedByWrites: (): boolean => [...readIds].every((orderId) => changedIds.has(orderId)),

    changes() {
      const storedIds = new Set(stored.map(({ orderId }) => orderId))
      const newIds = [...changedIds].filter((orderId) => !storedIds.has(orderId))
      return {
        newReservations: newIds.map((orderId) => reservations.get(orderId) as ReservationRecord),
        releasedOrderIds: [...changedIds].filter((orderId) => storedIds.has(orderId)),
      }
    },
  }
}

function createAnswerStates({ answers: stored, corruptIds }: StoredState) {
  const answers = new Map(stored.map(({ id, ...answer }) => [id, answer]))
  const readIds = new Set<string>()
  const newAnswers: (KeyedAnswer & { id: string })[] = []

  return {
    methods: {
      findAnswer(answerId) {
        if (corruptIds.has(answerId)) throw new CorruptDocument('the answer to the keyed request', answerId)
        readIds.add(answerId)
        return answers.get(answerId)
      },

      storeAnswer(answerId, answer) {
        answers.set(answerId, answer)
        newAnswers.push({ id: answerId, ...answer })
      },
    } satisfies Partial<StockBatch>,

    areVerifiedByWrites: (): boolean =>
      [...readIds].every((answerId) => newAnswers.some(({ id }) => id === answerId)),

    newAnswers,
  }
}
