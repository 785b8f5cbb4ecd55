import { type Call, withinDeadline } from '#kernel/call.ts'
import type { ProductPort } from '../product/contract.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'

/**
 * The way back of an order that is `cancelling`, safe to repeat from wherever it ended: the stock is released, which
 * also refuses every reserve that comes later, and then a compare-and-set makes it `cancelled`. Of an order that is
 * undone, that step frees the idempotency key; one that somebody cancelled keeps it.
 *
 * @returns the order as it is then
 * @throws DomainError `dependency_unavailable`, `overloaded`: it is still `cancelling` then
 */
export async function completeCancelling(
  { orders, product }: { orders: OrderRepository; product: ProductPort },
  order: Order,
  call: Call,
): Promise<Order> {
  await withinDeadline(call, 'product', product.release({ orderId: order.orderId }, call))
  const cancelled = await orders.finishCancelling(order, call)
  return cancelled ?? (await orders.findLatest(order, ({ status }) => status === 'cancelled', call)) ?? order
}
