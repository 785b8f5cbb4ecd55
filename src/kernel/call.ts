import { dependencyUnavailable } from './errors.ts'

/** What accompanies every piece of work on behalf of one request, within a process and between processes. */
export interface Call {
  /** Epoch milliseconds after which nobody waits for the outcome, and no message may act on the database. */
  readonly deadline: number
  /** As `requestIdFormat`; in every log line and in every answer. */
  readonly requestId: string
  /** W3C Trace Context, handed on as it came. */
  readonly traceparent?: string | undefined
}

/** 1–128 of `A-Z a-z 0-9 . _ -`. */
export const requestIdFormat = /^[A-Za-z0-9._-]{1,128}$/

/** For work that no request asked for. */
export const callWithin = (milliseconds: number, requestId: string): Call => ({
  deadline: Date.now() + milliseconds,
  requestId,
})

/** Milliseconds left, 0 or less once the deadline has passed. */
export const remaining = (call: Call): number => call.deadline - Date.now()

// The longest that Node.js can wait; more would be no time at all.
const longestTimer = 2 ** 31 - 1

/** The same for a timer. */
export const timerUntilDeadline = (call: Call): number => Math.min(Math.max(0, remaining(call)), longestTimer)

/**
 * The promise's outcome, or `dependency_unavailable` at the deadline. What the promise stands for is not undone:
 * whoever starts work that outlives its deadline makes sure that it is harmless.
 */
export async function withinDeadline<T>(call: Call, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(dependencyUnavailable(`${what} did not answer in time`)),
      timerUntilDeadline(call),
    )
  })
  try {
    return await Promise.race([work, expiry])
  } finally {
    clearTimeout(timer)
  }
}
