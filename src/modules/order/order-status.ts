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

/** What a client may ask an order to become. */
export const requestableStatuses = ['shipped', 'delivered', 'cancelled'] as const
export type RequestableStatus = (typeof requestableStatuses)[number]

/** Who may ask for what: owners only cancel. */
export const mayRequest = (role: Role, to: RequestableStatus): boolean =>
  role === 'admin' || to === 'cancelled'

// pending → confirmed and pending → rejected are not here: only placing the order takes them.
const steps: Record<OrderStatus, readonly RequestableStatus[]> = {
  pending: ['cancelled'],
  confirmed: ['shipped', 'cancelled'],
  shipped: ['delivered'],
  delivered: [],
  cancelling: ['cancelled'],
  cancelled: [],
  rejected: [],
}

/** What this caller may do next. */
export const allowedSteps = (role: Role, from: OrderStatus): RequestableStatus[] =>
  steps[from].filter((to) => mayRequest(role, to))
