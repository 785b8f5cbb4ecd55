import { LRUCache } from 'lru-cache'
import type { Call } from '#kernel/call.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import { DomainError } from '#kernel/errors.ts'
import { type Page, pageOf } from '#kernel/http/paging.ts'
import { checkPreconditions, type Preconditions } from '#kernel/http/preconditions.ts'
import type { Principal } from '#kernel/principal.ts'
import type { Line } from '../product/contract.ts'
import { cancelOrder } from './cancel-order.ts'
import type { OrderScope } from './order.repository.ts'
import type { Order, StatusChange } from './order.ts'
import type { OrderFeed } from './order-feed.repository.ts'
import {
  followedStatuses,
  listedStatuses,
  type OrderFilters,
  type OrderPage,
  type PageRequest,
  queryOf,
} from './order-list.ts'
import { allowedTransitions, mayRequest, type RequestableStatus } from './order-status.ts'
import { type PlacingDependencies, placeOrder } from './place-order.ts'

// An order changes only a few times in its life, so more lost compare-and-sets than this point to another fault.
const maxAttempts = 10
/** A retry usually comes within seconds. */
const maxSettledIds = 10_000

export type OrderService = ReturnType<typeof createOrderService>

export function createOrderService(options: Omit<PlacingDependencies, 'settledIds'> & { feed: OrderFeed }) {
  const dependencies = { ...options, settledIds: new LRUCache<string, true>({ max: maxSettledIds }) }
  const { orders, feed } = dependencies

  /** @throws DomainError `order_not_found`, also for an order of another user, so that its id reveals nothing */
  const find = async (orderId: string, principal: Principal, call: Call): Promise<Order> => {
    const order = await orders.find(scopeOf(orderId, principal), call)
    if (!order) throw orderNotFound(orderId)
    return order
  }

  return {
    place: (request: { userId: string; key: string | undefined; lines: readonly Line[] }, call: Call) =>
      placeOrder(dependencies, request, call),

    find,

    /** @throws DomainError `forbidden` */
    list: (filters: OrderFilters, page: PageRequest, principal: Principal, call: Call): Promise<OrderPage> =>
      orders.list({ ...queryOf(filters, principal, listedStatuses), ...page }, call),

    /** Lists orders by their last change. @throws DomainError `forbidden` */
    follow: (
      filters: OrderFilters,
      page: PageRequest,
      principal: Principal,
      call: Call,
    ): Promise<OrderPage> =>
      feed(
        { ...queryOf(filters, principal, followedStatuses), updatedAfter: filters.updatedAfter, ...page },
        call,
      ),

    /** @throws DomainError as `find` */
    async history(
      orderId: string,
      { skip, limit }: { skip: number; limit: number },
      principal: Principal,
      call: Call,
    ): Promise<Page<StatusChange>> {
      const changes = await orders.statusChanges(scopeOf(orderId, principal), call)
      if (!changes) throw orderNotFound(orderId)
      const rows = changes.slice(skip, skip + limit + 1)
      return pageOf(rows, limit, () => [orderId, skip + limit])
    },

    /**
     * Changes the status of an order. Cancelling a cancelled order changes nothing.
     * @returns the order as it is afterwards; `cancelling` if the stock could not be released at once
     */
    changeStatus: (
      orderId: string,
      to: RequestableStatus,
      conditions: Preconditions,
      principal: Principal,
      call: Call,
    ): Promise<Order> =>
      retryCompareAndSet({ subject: 'order', maxAttempts }, async () => {
        const order = await find(orderId, principal, call)
        checkChange(order, to, conditions, principal)
        const by = principal.userId
        return to === 'cancelled'
          ? cancelOrder(dependencies, order, by, call)
          : orders.advance(order, to, by, call)
      }),
  }
}

const scopeOf = (orderId: string, { role, userId }: Principal): OrderScope =>
  role === 'admin' ? { orderId } : { orderId, userId }

const orderNotFound = (orderId: string) => new DomainError('order_not_found', `there is no order ${orderId}`)

/** @throws DomainError `forbidden`, `precondition_failed`, `invalid_transition` */
function checkChange(
  { status, version }: Order,
  to: RequestableStatus,
  conditions: Preconditions,
  { role }: Principal,
): void {
  if (!mayRequest(role, to)) throw new DomainError('forbidden', `status: only an admin may set ${to}`)
  checkPreconditions(conditions, version)
  const allowed = allowedTransitions(role, status)
  if (allowed.includes(to) || (to === 'cancelled' && status === 'cancelled')) return
  const message = `status: an order that is ${status} cannot be ${to}`
  throw new DomainError('invalid_transition', message, { from: status, to, allowed })
}
