import { atDeadline, lateness } from './deadline-timers.ts'
import { dependencyUnavailable, isDomainError } from './errors.ts'

/** What accompanies every piece of work on behalf of one request, within a process and between processes. */
export interface Call {
  /**
   * Epoch milliseconds after which nobody waits for the outcome, and no message may act on the database; what is carried
   * out together with others has the latest deadline of them all.
   */
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

/** The same with no more than so many milliseconds from now. */
export const shortened = (call: Call, milliseconds: number): Call => ({
  ...call,
  deadline: Math.min(call.deadline, Date.now() + milliseconds),
})

/** Milliseconds left, 0 or less once the deadline has passed. */
export const remaining = (call: Call): number => call.deadline - Date.now()

/** Whether the deadline has passed, or passes too soon for another attempt. */
export const isOver = (call: Call): boolean => remaining(call) <= lateness

/**
 * Work that reads is begun once more where it has not answered within `firstMs`, and then has all the time of the call: a
 * command or a connection that hangs costs that much and no more.
 */
export async function orAskedAgain<T>(
  call: Call,
  firstMs: number,
  what: string,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const first = shortened(call, firstMs)
  try {
    return await withinDeadline(first, what, work(first))
  } catch (error) {
    // The server may have found the time to be over a little earlier than this process.
    const isTimeUp = isDomainError(error, 'dependency_unavailable') && remaining(first) <= lateness
    if (!isTimeUp || remaining(call) <= lateness) throw error
    return withinDeadline(call, what, work(call))
  }
}

/**
 * The promise's outcome, or `dependency_unavailable` at the deadline. What the promise stands for is not undone:
 * whoever starts work that outlives its deadline makes sure that it is harmless.
 */
export function withinDeadline<T>(call: Call, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const answered = atDeadline(call, () => reject(dependencyUnavailable(`${what} did not answer in time`)))
    work.then(
      (result) => {
        answered()
        resolve(result)
      },
      (error) => {
        answered()
        reject(error)
      },
    )
  })
}
