import type { Role } from '#kernel/principal.ts'

export const orderStatuses = [
  'pending',
  'confirmed',
  'shipped',
  'delivered',
  'cancelling',
  'cancelled',
  'rejected',
] as const
export type OrderStatus = (typeof orderStatuses)[number]

/** The statuses that a client may request for an order. */
export const requestableStatuses = ['shipped', 'delivered', 'cancelled'] as const
export type RequestableStatus = (typeof requestableStatuses)[number]

/** Owners may only cancel; admins may request every status. */
export const mayRequest = (role: Role, to: RequestableStatus): boolean =>
  role === 'admin' || to === 'cancelled'

// Clients cannot request `confirmed` and `rejected`, because the program itself sets these statuses when an order is placed.
const transitions: Record<OrderStatus, readonly RequestableStatus[]> = {
  pending: ['cancelled'],
  confirmed: ['shipped', 'cancelled'],
  shipped: ['delivered'],
  delivered: [],
  cancelling: ['cancelled'],
  cancelled: [],
  rejected: [],
}

/** The statuses that this role may request for an order with the status `from`. */
export const allowedTransitions = (role: Role, from: OrderStatus): RequestableStatus[] =>
  transitions[from].filter((to) => mayRequest(role, to))
