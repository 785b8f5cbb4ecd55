import type { Call } from '#kernel/call.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import { DomainError, isDomainError } from '#kernel/errors.ts'
import { type Page, pageOf } from '#kernel/http/paging.ts'
import { checkPreconditions, type Preconditions } from '#kernel/http/preconditions.ts'
import type { Principal } from '#kernel/principal.ts'
import type { Line, ProductPort } from '../product/contract.ts'
import { completeCancelling } from './cancel-order.ts'
import type { OrderRepository } from './order.repository.ts'
import { type Order, orderResponse, type Position, positionOf } from './order.ts'
import {
  allowedTransitions,
  mayRequest,
  type OrderStatus,
  orderStatuses,
  type RequestableStatus,
} from './order-status.ts'
import { placeOrder } from './place-order.ts'

// An order changes only a few times in its life, so more lost compare-and-sets than this point to another fault.
const maxAttempts = 10

const listedByDefault = orderStatuses.filter((status) => status !== 'rejected')

export type OrderService = ReturnType<typeof createOrderService>

export function createOrderService({ orders, product }: { orders: OrderRepository; product: ProductPort }) {
  /** @throws DomainError `order_not_found`, also for an order of another user, so that its id reveals nothing */
  const findVisible = async (orderId: string, principal: Principal, call: Call): Promise<Order> => {
    const scope = principal.role === 'admin' ? { orderId } : { orderId, userId: principal.userId }
    const order = await orders.find(scope, call)
    if (!order) throw new DomainError('order_not_found', `there is no order ${orderId}`)
    return order
  }

  /** If the stock cannot be released now, the order stays `cancelling`, and the sweeper finishes the cancellation later. */
  const finishCancelling = async (order: Order, call: Call): Promise<Order> => {
    try {
      return await completeCancelling({ orders, product }, order, call)
    } catch (error) {
      if (isDomainError(error, 'dependency_unavailable', 'overloaded')) return order
      throw error
    }
  }

  /** @returns undefined if another request has changed the order since it was read */
  const changeTo = async (order: Order, to: RequestableStatus, call: Call): Promise<Order | undefined> => {
    if (to !== 'cancelled') return orders.advance(order, to, call)
    if (order.status === 'cancelled') return order
    const cancelling =
      order.status === 'cancelling' ? order : await orders.beginCancelling(order, call.deadline, call)
    return cancelling && finishCancelling(cancelling, call)
  }

  return {
    place: (request: { userId: string; key: string | undefined; lines: readonly Line[] }, call: Call) =>
      placeOrder({ orders, product }, request, call),

    get: findVisible,

    async list(
      query: {
        userId: string | undefined
        status: OrderStatus | undefined
        after: Position | undefined
        limit: number
      },
      principal: Principal,
      call: Call,
    ): Promise<Page<ReturnType<typeof orderResponse>>> {
      if (principal.role !== 'admin' && query.userId !== undefined && query.userId !== principal.userId) {
        throw new DomainError('forbidden', "userId: only an admin may list another user's orders")
      }
      const userId = principal.role === 'admin' ? query.userId : principal.userId
      const statuses = query.status === undefined ? listedByDefault : [query.status]
      const { after, limit } = query
      const rows = await orders.list({ userId, statuses, after, limit: limit + 1 }, call)
      const page = pageOf(rows, limit, positionOf)
      return { ...page, data: page.data.map(orderResponse) }
    },

    /**
     * Changes the status of an order. To cancel a cancelled order changes nothing.
     * @returns the order as it is afterwards; `cancelling` if the stock could not be released at once
     */
    async changeStatus(
      orderId: string,
      to: RequestableStatus,
      conditions: Preconditions,
      principal: Principal,
      call: Call,
    ): Promise<Order> {
      return retryCompareAndSet({ subject: 'order', maxAttempts }, async () => {
        const order = await findVisible(orderId, principal, call)
        if (!mayRequest(principal.role, to))
          throw new DomainError('forbidden', `status: only an admin sets ${to}`)
        checkPreconditions(conditions, order.version)
        const allowed = allowedTransitions(principal.role, order.status)
        if (!allowed.includes(to) && !(to === 'cancelled' && order.status === 'cancelled')) {
          throw new DomainError(
            'invalid_transition',
            `status: an order that is ${order.status} cannot be ${to}`,
            {
              from: order.status,
              to,
              allowed,
            },
          )
        }
        return changeTo(order, to, call)
      })
    },
  }
}
