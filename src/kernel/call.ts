import { randomUUID } from 'node:crypto'
import { atDeadline, maxLatenessMs } from './deadline-timers.ts'
import { dependencyUnavailable, isDomainError } from './errors.ts'
import type { Span } from './span.ts'

/** The context of all work for one request, within a process and between processes. */
export interface Call {
  /**
   * Epoch milliseconds. After the deadline the caller no longer waits, and no command may act on the database. A batch
   * has the latest deadline of its requests.
   */
  readonly deadline: number
  /** Matches `requestIdFormat`. Each log line and each answer contains it. */
  readonly requestId: string
  /** W3C Trace Context: of the span if there is one, or else of the caller, passed on unchanged. */
  readonly traceparent?: string | undefined
  /** The span that the work belongs to, while tracing is on. It stays in this process. */
  readonly span?: Span | undefined
}

/** 1–128 of `A-Z a-z 0-9 . _ -`. */
export const requestIdFormat = /^[A-Za-z0-9._-]{1,128}$/

/** The request id that a client gave, or a new one if it is missing or malformed. */
export const requestIdFrom = (given: string | undefined): string =>
  given !== undefined && requestIdFormat.test(given) ? given : randomUUID()

/** The trace id of the call: 32 hexadecimal digits. */
export const traceIdOf = ({ traceparent }: Call): string | undefined => traceparent?.slice(3, 35)

/**
 * Creates a call for work that no request has started.
 * @param span the span that the work belongs to
 */
export const createCall = (timeoutMs: number, requestId: string, span?: Span): Call => ({
  deadline: Date.now() + timeoutMs,
  requestId,
  ...(span && { span, traceparent: span.traceparent }),
})

/** Returns the same call with a deadline that is at most `timeoutMs` from now. */
export const shortenDeadline = (call: Call, timeoutMs: number): Call => ({
  ...call,
  deadline: Math.min(call.deadline, Date.now() + timeoutMs),
})

/** The time until the deadline: 0 or less once it has passed. */
export const remainingMs = (call: Call): number => call.deadline - Date.now()

/**
 * Returns the time until the deadline, which is more than 0.
 * @throws DomainError `dependency_unavailable` once the deadline has passed
 */
export function requireRemainingMs(call: Call): number {
  const leftMs = remainingMs(call)
  if (leftMs <= 0) throw dependencyUnavailable('the time for this request is over')
  return leftMs
}

/** Whether the deadline has passed, or is too near for another attempt. */
export const isOutOfTime = (call: Call): boolean => remainingMs(call) <= maxLatenessMs

/**
 * Reads, and starts the read a second time if the first attempt has not answered within `firstAttemptMs`. The second attempt has
 * the rest of the call's time. A command or a connection that hangs costs `firstAttemptMs` only.
 * @param source what answers, for the error's message
 */
export async function retryOnTimeout<T>(
  call: Call,
  firstAttemptMs: number,
  source: string,
  read: (call: Call) => Promise<T>,
): Promise<T> {
  const firstCall = shortenDeadline(call, firstAttemptMs)
  try {
    return await waitUntilDeadline(firstCall, source, read(firstCall))
  } catch (error) {
    // The server may have reached the time limit a little earlier than this process.
    const isTimeout = isDomainError(error, 'dependency_unavailable') && isOutOfTime(firstCall)
    if (!isTimeout || isOutOfTime(call)) throw error
    return waitUntilDeadline(call, source, read(call))
  }
}

/**
 * Waits for work until the deadline, and then fails with `dependency_unavailable`. The work itself continues, so that
 * the caller must make sure that it is harmless after the deadline.
 * @param source what answers, for the error's message
 */
export function waitUntilDeadline<T>(call: Call, source: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancelTimer = atDeadline(call, () =>
      reject(dependencyUnavailable(`${source} did not answer in time`)),
    )
    work.then(
      (result) => {
        cancelTimer()
        resolve(result)
      },
      (error) => {
        cancelTimer()
        reject(error)
      },
    )
  })
}
