import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A kind of request that is offered. */
export interface RequestKind {
  /** Out of the sum of the weights of all kinds. */
  weight: number
  /** Whole HTTP requests, which are sent in turn. `{key}` is replaced by a text of its own in each request. */
  requests: readonly string[]
}

export interface LoadPlan {
  port: number
  seconds: number
  connections: number
  kinds: readonly RequestKind[]
  /**
   * The rate of an open loop, whose requests do not wait for answers. Without it each connection sends its next request when
   * the last one is answered.
   */
  perSecond?: number
  /** The time that a client of a closed loop waits after a 503, as `Retry-After` asks it to. Without it, the client does not wait. */
  waitsAfterRefusalMs?: number
  /** The time in which the connections are opened, before the measurement. Without it, all are opened at once. */
  connectMs?: number
  /** The time for the last answers after the last request. */
  lingerMs?: number
}

/** In milliseconds. */
export interface Times {
  count: number
  p50: number
  p99: number
  max: number
}

export interface Second {
  accepted: number
  refused: number
}

export interface LoadResult {
  /** From the time for which the request was scheduled. */
  accepted: Times
  /** From the time at which the request was sent, which is later where no connection was free. */
  refused: Times
  statuses: Record<string, number>
  seconds: readonly Second[]
  /** Requests of an open loop for which no connection was free. */
  unsent: number
  unanswered: number
  errors: number
  cpuSeconds: number
}

/** Offers requests to a program from a process of its own, so that the loop of the test is not delayed. */
export function offerLoad(plan: LoadPlan): Promise<LoadResult> {
  const generator = fork(fileURLToPath(new URL('load-generator.ts', import.meta.url)), { execArgv: [] })
  generator.send(plan)
  return new Promise((resolve, reject) => {
    generator.once('message', (result) => resolve(result as LoadResult))
    generator.once('exit', (code) => reject(new Error(`the load generator ended with ${code}`)))
  })
}
