/** The number of events that were counted under one key. */
export interface Count {
  count: number
  /** A locked key allows nothing more, even if attempts are subtracted again. */
  isLocked: boolean
  /** Epoch milliseconds at which the count starts again from zero. */
  until: number
}
