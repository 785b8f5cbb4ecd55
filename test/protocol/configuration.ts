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
  /** The order ids, such as `ada#1`, under which old reservations and rejected orders expire. */
  expiry: readonly string[]
}

/** The safeguards of the protocol. For each of them except `lease`, a test shows an invariant that breaks without it. */
export interface Safeguards {
  /** A unique index admits at most one order per user and key. */
  uniqueKey: boolean
  /** There is at most one order with an id. */
  uniqueId: boolean
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
  /**
   * The sweeper deletes an order only if the order is still old. A rejected order that is not old may have replaced the order that
   * the sweeper has read.
   */
  compareOnDelete: boolean
  /** An order becomes `cancelled` only after its release was answered. */
  releaseBeforeCancelled: boolean
  /**
   * A request that comes too late to insert or change its order reads the order. It does not repeat the product module's answer to the
   * client.
   */
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
  /** The sweeper finds holds that no order needs, and releases them. */
  sweeperFindsHolds: boolean
  /** The sweeper looks again at the hold of an order that was `pending` or `cancelling` when it looked before. */
  looksAgain: boolean
  /** The sweeper leaves the hold of a `pending` order alone, until it has begun to undo the order. */
  undoBeforeRelease: boolean
  /**
   * Before the sweeper releases a hold without an order, it inserts an order under the id of the hold, so that no request can insert
   * one.
   */
  orderBeforeUndo: boolean
  /**
   * The sweeper does not release the hold of a rejected order that may expire soon. Instead it undoes the hold once the order has
   * expired. Otherwise a retry could use the id and the hold again before the release arrives.
   */
  sweeperWaitsForExpiry: boolean
  /** No release takes effect after its deadline plus the lifetime of a transaction. */
  deadlineOfRelease: boolean
  /** No process acts on an answer that is a week old. */
  answersAreRecent: boolean
  /** While the lease of a `pending` order runs, no sweeper undoes the order. A lease only avoids duplicate work. */
  lease: boolean
}

export const allSafeguards: Safeguards = {
  uniqueKey: true,
  uniqueId: true,
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
  compareOnDelete: true,
  releaseBeforeCancelled: true,
  loserAnswersFromOrder: true,
  undoGivesNoFinalAnswer: true,
  undoFreesKey: true,
  onlyUndoFreesKey: true,
  sweeperUndoesPending: true,
  sweeperCompletesCancelling: true,
  sweeperFindsHolds: true,
  looksAgain: true,
  undoBeforeRelease: true,
  orderBeforeUndo: true,
  sweeperWaitsForExpiry: true,
  deadlineOfRelease: true,
  answersAreRecent: true,
  lease: true,
}
