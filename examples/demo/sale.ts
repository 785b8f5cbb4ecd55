export const buyerCount = 200
export const unitCount = 50

/**
 * - `away`: has not arrived yet
 * - `ordering`: waits for the answer to the first request
 * - `retrying`: got no result, and sends the same request again
 */
export type BuyerState = 'away' | 'ordering' | 'retrying' | 'bought' | 'refused'
export type ServiceState = 'ready' | 'killed' | 'starting'

export interface Buyer {
  state: BuyerState
  token: string
  /** The ids of all orders that this buyer was told of. */
  orderIds: Set<string>
}

export interface SaleEvent {
  atMs: number
  text: string
  kind: 'fault' | 'repair' | 'progress'
}

/** A request that was answered, or failed. */
export interface Answer {
  atMs: number
  durationMs: number
}

/** Everything that the view shows. Times are milliseconds since the start of the demo. */
export interface Sale {
  phase: 'preparing' | 'selling' | 'auditing' | 'done'
  services: Map<string, ServiceState>
  buyers: Buyer[]
  /** Undefined while it is unknown. */
  stock: number | undefined
  answers: Answer[]
  retries: number
  /** Orders that were sent again after they had been placed. */
  repeats: number
  events: SaleEvent[]
  verdict: Verdict | undefined
}

export interface Verdict {
  promises: { promise: string; isKept: boolean; evidence: string }[]
}

export const createSale = (): Sale => ({
  phase: 'preparing',
  services: new Map(['gateway', 'auth', 'product', 'order'].map((name) => [name, 'starting'])),
  buyers: Array.from({ length: buyerCount }, () => ({ state: 'away', token: '', orderIds: new Set() })),
  stock: undefined,
  answers: [],
  retries: 0,
  repeats: 0,
  events: [],
  verdict: undefined,
})

export const countBuyers = ({ buyers }: Sale, state: BuyerState): number =>
  buyers.filter((buyer) => buyer.state === state).length

/** The duration that this part of the answers did not exceed, in milliseconds. Undefined without answers. */
export function percentile(answers: readonly Answer[], part: number): number | undefined {
  const durations = answers.map(({ durationMs }) => durationMs).toSorted((a, b) => a - b)
  return durations[Math.min(durations.length - 1, Math.floor(part * durations.length))]
}
