import { atDeadline, maxLatenessMs } from './deadline-timers.ts'
import { dependencyUnavailable, isDomainError } from './errors.ts'

/** The context of all work for one request, within a process and between processes. */
export interface Call {
  /**
   * Epoch milliseconds. After it the caller does not wait any more, and no message may act on the database. A batch has the
   * latest deadline of its requests.
   */
  readonly deadline: number
  /** As `requestIdFormat`. Each log line and each answer has it. */
  readonly requestId: string
  /** W3C Trace Context, passed on unchanged. */
  readonly traceparent?: string | undefined
}

/** 1–128 of `A-Z a-z 0-9 . _ -`. */
export const requestIdFormat = /^[A-Za-z0-9._-]{1,128}$/

/** A call for work that no request has started, with a deadline this many milliseconds from now. */
export const createCall = (milliseconds: number, requestId: string): Call => ({
  deadline: Date.now() + milliseconds,
  requestId,
})

/** The same call with a deadline of at most this many milliseconds from now. */
export const shortenDeadline = (call: Call, milliseconds: number): Call => ({
  ...call,
  deadline: Math.min(call.deadline, Date.now() + milliseconds),
})

/** Milliseconds left, 0 or less once the deadline has passed. */
export const remainingMs = (call: Call): number => call.deadline - Date.now()

/** Whether the deadline has passed, or is too near for another attempt. */
export const isOutOfTime = (call: Call): boolean => remainingMs(call) <= maxLatenessMs

/**
 * Reads, and starts the read a second time if the first attempt has not answered within `firstMs`. The second attempt has the
 * rest of the call's time. A command or a connection that hangs costs `firstMs` only.
 */
export async function retryOnTimeout<T>(
  call: Call,
  firstMs: number,
  what: string,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const first = shortenDeadline(call, firstMs)
  try {
    return await waitUntilDeadline(first, what, work(first))
  } catch (error) {
    // The server may have reached the time limit a little earlier than this process.
    const isTimeUp = isDomainError(error, 'dependency_unavailable') && remainingMs(first) <= maxLatenessMs
    if (!isTimeUp || remainingMs(call) <= maxLatenessMs) throw error
    return waitUntilDeadline(call, what, work(call))
  }
}

/**
 * Waits for work until the deadline, and then fails with `dependency_unavailable`. The work itself continues: the caller makes
 * sure that it is harmless after the deadline.
 */
export function waitUntilDeadline<T>(call: Call, what: string, work: Promise<T>): Promise<T> {
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
