import { type Call, waitUntilDeadline } from '#kernel/call.ts'
import { isDomainError } from '#kernel/errors.ts'
import type { ProductPort } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'

interface Dependencies {
  orders: OrderRepository
  product: ProductPort
}

/**
 * Cancels an order for a client: compare-and-set it to `cancelling`, and then complete the cancellation. If the stock cannot
 * be released now, the order stays `cancelling`, and the sweeper completes the cancellation later.
 * @param order is `pending`, `confirmed`, `cancelling` or `cancelled`
 * @param by `StatusChange.by`
 * @returns the order as it is afterwards, or undefined if another request has changed it since it was read
 */
export async function cancelOrder(
  dependencies: Dependencies,
  order: Order,
  by: string,
  call: Call,
): Promise<Order | undefined> {
  if (order.status === 'cancelled') return order
  const { orders } = dependencies
  const cancelling =
    order.status === 'cancelling' ? order : await orders.beginCancelling(order, call.deadline, by, call)
  if (!cancelling) return undefined
  try {
    return await completeCancelling(dependencies, cancelling, by, call)
  } catch (error) {
    if (isDomainError(error, 'dependency_unavailable', 'overloaded')) return cancelling
    throw error
  }
}

/**
 * Completes the cancellation of an order that is `cancelling`. Both steps can be repeated, by any process:
 *
 * 1. Release the stock. The product module then also refuses a reserve of this order that arrives later.
 * 2. Compare-and-set the order to `cancelled`. If the sweeper undoes the order, this step also frees the idempotency key. An
 *    order that a client cancelled keeps its key.
 *
 * @returns the order as it is afterwards
 * @throws DomainError `dependency_unavailable`, `overloaded`: the order is still `cancelling`
 */
export async function completeCancelling(
  { orders, product }: Dependencies,
  order: Order,
  by: string,
  call: Call,
): Promise<Order> {
  await waitUntilDeadline(call, 'product', product.release({ orderId: order.orderId }, call))
  const cancelled = await orders.finishCancelling(order, by, call)
  return cancelled ?? (await orders.findLatest(order, ({ status }) => status === 'cancelled', call)) ?? order
}
