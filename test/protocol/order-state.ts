const statuses = [
  'unplaced',
  'pending',
  'confirmed',
  'shipped',
  'delivered',
  'cancelling',
  'cancelled',
  'rejected',
  'expired',
] as const
export type Status = (typeof statuses)[number]
const reservations = ['absent', 'held', 'rejected', 'released'] as const
type Reservation = (typeof reservations)[number]

/** What is stored under one id, the messages about it, and what the customer was told. */
export interface Order {
  /** `unplaced`: there was never an order with this id. `expired`: a rejected order had this id, and there is none now. */
  readonly status: Status
  readonly hasKey: boolean
  /** The sweeper cancels, or has cancelled, the order, because no request finished it. */
  readonly isUndone: boolean
  /** The order was confirmed once. Its status may have changed since. */
  readonly wasConfirmed: boolean
  /** Some sweeper may be about to undo the order, because the order was `pending` when its lease ended. */
  readonly leaseHasEnded: boolean
  /** The order has had its status for more than a week. */
  readonly isOld: boolean
  /** Some sweeper may be about to delete the order. The model only sets this without the safeguard `compareOnDelete`. */
  readonly isBeingDeleted: boolean
  /** The sweeper may have seen that the order needs the hold, and does not look at the hold again. */
  readonly holdWasSeen: boolean
  readonly reservation: Reservation
  /** The reservation has not changed for a week. It may expire, unless it is `held`. */
  readonly reservationIsOld: boolean
  // Messages that may be delivered at any time: requests to the product module (`...Sent`), and its answers: `held`, `rejected`
  // or `released` to a reserve (`answered...`), and the one answer to a release (`releaseAnswered`).
  readonly reserveSent: boolean
  readonly answeredHeld: boolean
  readonly answeredRejected: boolean
  readonly answeredReleased: boolean
  readonly releaseSent: boolean
  readonly releaseAnswered: boolean
  // Final answers that the customer got. Confirmed: 201. Rejected: 409 insufficient_stock or 422 unknown_product. Cancelled:
  // 409 invalid_transition.
  readonly toldConfirmed: boolean
  readonly toldRejected: boolean
  readonly toldCancelled: boolean
}

export interface Shop {
  readonly stock: number
  /** The quantity that was ever put in. */
  readonly stocked: number
  readonly deleted: boolean
  readonly orders: readonly Order[]
}

export const unplaced: Order = {
  status: 'unplaced',
  hasKey: false,
  isUndone: false,
  wasConfirmed: false,
  leaseHasEnded: false,
  isOld: false,
  isBeingDeleted: false,
  holdWasSeen: false,
  reservation: 'absent',
  reservationIsOld: false,
  reserveSent: false,
  answeredHeld: false,
  answeredRejected: false,
  answeredReleased: false,
  releaseSent: false,
  releaseAnswered: false,
  toldConfirmed: false,
  toldRejected: false,
  toldCancelled: false,
}

export const noAnswers: Partial<Order> = {
  answeredHeld: false,
  answeredRejected: false,
  answeredReleased: false,
  releaseAnswered: false,
}

export const noMessages: Partial<Order> = { ...noAnswers, reserveSent: false, releaseSent: false }

export const exists = ({ status }: Order) => status !== 'unplaced' && status !== 'expired'

/** Whether some request has an answer to its reserve. */
export const hasReservationAnswer = ({ answeredHeld, answeredRejected, answeredReleased }: Order) =>
  answeredHeld || answeredRejected || answeredReleased

/** Returns the state with the changed order and product, or the same object if nothing differs. */
export function changed(shop: Shop, at: number, change: Partial<Order>, product: Partial<Shop> = {}): Shop {
  const order = orderAt(shop, at)
  const differs = (Object.keys(change) as (keyof Order)[]).some((field) => change[field] !== order[field])
  if (!differs && Object.keys(product).length === 0) return shop
  const isOld = order.isOld && (change.status === undefined || change.status === order.status)
  return { ...shop, ...product, orders: shop.orders.with(at, { ...order, isOld, ...change }) }
}

export const orderAt = ({ orders }: Shop, at: number): Order => orders[at] ?? unplaced

/** Packs the state into one character for the product and two characters for each order. */
export function keyOf({ stock, stocked, deleted, orders }: Shop): string {
  let key = String.fromCharCode(stock + 1 + 8 * (stocked + 1) + 64 * Number(deleted))
  for (const order of orders) {
    const stored =
      statuses.indexOf(order.status) +
      16 * reservations.indexOf(order.reservation) +
      64 * Number(order.reservationIsOld) +
      128 * Number(order.hasKey) +
      256 * Number(order.isUndone) +
      512 * Number(order.wasConfirmed) +
      1024 * Number(order.leaseHasEnded) +
      2048 * Number(order.isOld) +
      4096 * Number(order.isBeingDeleted) +
      8192 * Number(order.holdWasSeen)
    const messages =
      Number(order.reserveSent) +
      2 * Number(order.answeredHeld) +
      4 * Number(order.answeredRejected) +
      8 * Number(order.answeredReleased) +
      16 * Number(order.releaseSent) +
      32 * Number(order.releaseAnswered) +
      64 * Number(order.toldConfirmed) +
      128 * Number(order.toldRejected) +
      256 * Number(order.toldCancelled)
    key += String.fromCharCode(stored, messages)
  }
  return key
}
