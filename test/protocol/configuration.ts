/** The part of the shop that a model contains. */
export interface Configuration {
  /** The customers, by name. Each buys under one key. The number is how many orders the key may lead to, one after the other. */
  customers: Record<string, number>
  /** Whether admins ship and deliver. */
  shipping: boolean
  /** An admin corrects the stock while `stocked` stays at or below this number. 0 means no corrections. */
  maxCorrectedStock: number
  /** Whether an admin deletes the product. */
  deletion: boolean
  /**
   * Whether old reservations and rejected orders expire. `careful`: a reservation expires a week after its last change, and
   * no request acts on an answer that is a week old. `careless`: a reservation expires a week after it was made, and
   * a request may act on an answer that is a week old.
   */
  expiry: 'never' | 'careful' | 'careless'
  /**
   * Whether a request reserves first, and then inserts its order in its final status (docs/decisions/0021-reserve-first.md). The default
   * is the protocol of the program, in which the order is inserted first.
   */
  reservesFirst?: boolean
}

/** The safeguards of the protocol. For each of them except `lease`, a test shows an invariant that breaks without it. */
export interface Safeguards {
  /** An order is inserted before anything is reserved for it. */
  orderBeforeReservation: boolean
  /** A unique index admits at most one order per user and key. */
  uniqueKey: boolean
  /** A hold takes stock only if there is enough. */
  conditionalDecrement: boolean
  /** A rejection is stored, and a repeated reserve gets the same rejection. */
  recordedRejection: boolean
  /** A release that arrives before its reserve stores a tombstone (`released`), which refuses the reserve. */
  tombstone: boolean
  /** A release returns stock only if the reservation is `held`, and ends the hold in the same transaction. */
  compareOnRelease: boolean
  /** A release is never refused, even if the product has been deleted. */
  releaseIsNeverRefused: boolean
  /** The change pending → confirmed is a compare-and-set. */
  compareOnConfirm: boolean
  /** The change pending → rejected is a compare-and-set. */
  compareOnReject: boolean
  /** The change pending | confirmed → cancelling by a client is a compare-and-set. */
  compareOnCancel: boolean
  /** The change pending → cancelling by the sweeper is a compare-and-set. */
  compareOnUndo: boolean
  /** The change confirmed → shipped is a compare-and-set. */
  compareOnShip: boolean
  /** An order becomes `cancelled` only after its release was answered. */
  releaseBeforeCancelled: boolean
  /** A request that loses its compare-and-set reads the order, and does not repeat the product module's answer to the client. */
  loserAnswersFromOrder: boolean
  /** A request whose order is undone, or is being undone, gets no final answer: the client is told to retry. */
  undoGivesNoFinalAnswer: boolean
  /** An undo unsets the idempotency key. */
  undoFreesKey: boolean
  /** Only an undo unsets the idempotency key. */
  onlyUndoFreesKey: boolean
  /** The sweeper undoes abandoned `pending` orders. */
  sweeperUndoesPending: boolean
  /** The sweeper completes abandoned cancellations. */
  sweeperCompletesCancelling: boolean
  /** No reserve takes effect after its deadline plus the lifetime of a transaction. */
  deadlineInTransaction: boolean
  /**
   * Retries do not take over an old order: only the sweeper settles it. Otherwise its reservation could expire between the
   * answer to the retry's reserve and a second delivery of that reserve.
   */
  neverTakesOverOldOrders: boolean
  /** Only if requests reserve first: all requests with one key reserve under one id, until the order with that id is undone. */
  sameIdForKey: boolean
  /** Only if requests reserve first: there is at most one order with an id. */
  uniqueId: boolean
  /** Only if requests reserve first: the sweeper finds holds without an order, and undoes them. */
  sweeperFindsHolds: boolean
  /**
   * Only if requests reserve first: before the sweeper releases a hold without an order, it inserts an order under the id of the hold, so
   * that no request can insert one.
   */
  orderBeforeUndo: boolean
  /**
   * Only if requests reserve first: the sweeper does not release the hold of a rejected order that may expire soon, but undoes the hold
   * once the order has expired. Otherwise a retry could use the id and the hold again before the release arrives.
   */
  sweeperWaitsForExpiry: boolean
  /** Only if requests reserve first: no release takes effect after its deadline plus the lifetime of a transaction. */
  deadlineOfRelease: boolean
  /** While the lease of an order runs, no retry takes it over, and no sweeper undoes it. A lease only avoids duplicate work. */
  lease: boolean
}

export const allSafeguards: Safeguards = {
  orderBeforeReservation: true,
  uniqueKey: true,
  conditionalDecrement: true,
  recordedRejection: true,
  tombstone: true,
  compareOnRelease: true,
  releaseIsNeverRefused: true,
  compareOnConfirm: true,
  compareOnReject: true,
  compareOnCancel: true,
  compareOnUndo: true,
  compareOnShip: true,
  releaseBeforeCancelled: true,
  loserAnswersFromOrder: true,
  undoGivesNoFinalAnswer: true,
  undoFreesKey: true,
  onlyUndoFreesKey: true,
  sweeperUndoesPending: true,
  sweeperCompletesCancelling: true,
  deadlineInTransaction: true,
  neverTakesOverOldOrders: true,
  sameIdForKey: true,
  uniqueId: true,
  sweeperFindsHolds: true,
  orderBeforeUndo: true,
  sweeperWaitsForExpiry: true,
  deadlineOfRelease: true,
  lease: true,
}

export type ReserveFirstSafeguard =
  | 'sameIdForKey'
  | 'uniqueId'
  | 'sweeperFindsHolds'
  | 'orderBeforeUndo'
  | 'sweeperWaitsForExpiry'
  | 'deadlineOfRelease'
