import { DomainError } from '#kernel/errors.ts'
import type { Principal } from '#kernel/principal.ts'
import type { Order } from './order.ts'
import { type OrderStatus, orderStatuses } from './order-status.ts'

/** What a client asks for. The names are those of the query parameters. */
export interface OrderFilters {
  userId?: string | undefined
  status?: readonly OrderStatus[] | undefined
  createdAfter?: Date | undefined
  createdBefore?: Date | undefined
  updatedAfter?: Date | undefined
}

export const sortOrders = ['newest', 'updated'] as const
export type SortOrder = (typeof sortOrders)[number]

/** The place of the last row of a page: its `createdAt`, or its `updatedAt` in a list in that order, and its id. */
export interface Position {
  at: Date
  id: string
}

export interface PageRequest {
  /** The page continues after this row. */
  after: Position | undefined
  limit: number
}

export interface OrderPage {
  data: Order[]
  /** Undefined at the end of the list. */
  next: Position | undefined
}

export interface OrderQuery extends PageRequest {
  /** If undefined, the orders of all users are listed. */
  userId: string | undefined
  statuses: readonly OrderStatus[]
  /** Inclusive. */
  createdFrom: Date | undefined
  /** Exclusive. */
  createdUntil: Date | undefined
}

/** The statuses of a list without the filter `status`. */
export const listedStatuses: readonly OrderStatus[] = orderStatuses.filter((status) => status !== 'rejected')

/**
 * The statuses in the feed of changes. It begins with the first decision on an order. A client that follows it sees no
 * `pending` order, and so needs no notice of a rejection.
 */
export const followedStatuses: readonly OrderStatus[] = listedStatuses.filter(
  (status) => status !== 'pending',
)

/** @throws DomainError `forbidden` if a customer asks for the orders of another user */
export function queryOf(
  { userId, status, createdAfter, createdBefore }: OrderFilters,
  { role, userId: ownId }: Principal,
  allStatuses: readonly OrderStatus[],
): Omit<OrderQuery, keyof PageRequest> {
  if (role !== 'admin' && userId !== undefined && userId !== ownId) {
    throw new DomainError('forbidden', "userId: only an admin may list another user's orders")
  }
  return {
    userId: role === 'admin' ? userId : ownId,
    statuses: status ?? allStatuses,
    createdFrom: createdAfter,
    createdUntil: createdBefore,
  }
}

/** Whether the row at the first place comes before the other one in a list that begins with the newest order. */
export const isNewer = (one: Position, other: Position): boolean =>
  one.at > other.at || (one.at.getTime() === other.at.getTime() && one.id > other.id)
