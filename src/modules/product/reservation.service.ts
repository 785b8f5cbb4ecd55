import { DomainError, dependencyUnavailable } from '../../kernel/errors.ts'
import type { HeldLine, Line, ProductPort, Rejection, Reservation, ShortItem } from './contract.ts'
import type { Product } from './product.ts'
import type { ReservationRecord, StockRepository } from './stock.repository.ts'
import type { StockQueue } from './stock-queue.ts'

/**
 * One document per order id, written in the same transaction as the stocks it moves, rejections too. It is what
 * makes every operation safe to repeat: held → released is the only step, and a release that comes first leaves a
 * `released` tombstone that refuses the reserve. A hold never expires by itself: orders decide.
 */
export function createReservationService(stock: StockRepository, queue: StockQueue): ProductPort {
  return {
    reserve: ({ orderId, lines }, call) =>
      queue(call, () =>
        stock.transaction(call, async (transaction): Promise<Reservation> => {
          const known = await transaction.reservation(orderId)
          if (known) return repeated(known, lines)

          const products = await transaction.products(lines.map((line) => line.productId))
          const rejection = rejectionOf(lines, products)
          if (rejection) {
            await transaction.addReservation({ orderId, state: 'rejected', requested: lines, rejection })
            return { state: 'rejected', rejection }
          }
          // The snapshot had enough, so a miss means that it is no longer current.
          if (!(await transaction.take(lines))) throw dependencyUnavailable('the stock changed meanwhile')
          const held = priced(lines, products)
          await transaction.addReservation({ orderId, state: 'held', requested: lines, held })
          return { state: 'held', lines: held }
        }),
      ),

    release: ({ orderId }, call) =>
      queue(call, () =>
        stock.transaction(call, async (transaction) => {
          const known = await transaction.reservation(orderId)
          if (!known) {
            await transaction.addReservation({ orderId, state: 'released', requested: [] })
          } else if (known.state !== 'released') {
            if (known.state === 'held') await transaction.giveBack(known.requested)
            await transaction.markReleased(orderId)
          }
          return { state: 'released' as const }
        }),
      ),
  }
}

function repeated(known: ReservationRecord, lines: Line[]): Reservation {
  const tombstone = known.requested.length === 0
  if (!tombstone && !sameLines(known.requested, lines)) {
    throw new DomainError(
      'idempotency_key_reused',
      `orderId: ${known.orderId} is reserved with other lines; a reserve is repeated with the same ones`,
    )
  }
  if (known.state === 'held' && known.held) return { state: 'held', lines: known.held }
  if (known.state === 'rejected' && known.rejection) return { state: 'rejected', rejection: known.rejection }
  return { state: 'released' }
}

const sameLines = (a: readonly Line[], b: readonly Line[]): boolean =>
  a.length === b.length &&
  a.every((line, at) => line.productId === b[at]?.productId && line.quantity === b[at]?.quantity)

function rejectionOf(lines: readonly Line[], products: readonly Product[]): Rejection | undefined {
  const stocks = new Map(products.map((product) => [product.productId, product.stock]))
  const unknown = lines.filter((line) => !stocks.has(line.productId))
  if (unknown.length > 0)
    return { code: 'unknown_product', productIds: unknown.map((line) => line.productId) }

  const short: ShortItem[] = lines
    .map((line) => ({
      productId: line.productId,
      requested: line.quantity,
      available: stocks.get(line.productId) ?? 0,
    }))
    .filter((item) => item.requested > item.available)
  return short.length > 0 ? { code: 'insufficient_stock', items: short } : undefined
}

function priced(lines: readonly Line[], products: readonly Product[]): HeldLine[] {
  const byId = new Map(products.map((product) => [product.productId, product]))
  return lines.map((line) => {
    const { name, price } = byId.get(line.productId) as Product
    return { ...line, name, price }
  })
}
