import { type Call, waitUntilDeadline } from '#kernel/call.ts'
import type { ProductPort } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'

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
  { orders, product }: { orders: OrderRepository; product: ProductPort },
  order: Order,
  call: Call,
): Promise<Order> {
  await waitUntilDeadline(call, 'product', product.release({ orderId: order.orderId }, call))
  const cancelled = await orders.finishCancelling(order, call)
  return cancelled ?? (await orders.findLatest(order, ({ status }) => status === 'cancelled', call)) ?? order
}
