import { setTimeout as sleep } from 'node:timers/promises'
import { Node, Yallist } from 'yallist'
import type { Call } from './call.ts'
import { atDeadline } from './deadline-timers.ts'
import { type DomainError, dependencyUnavailable, isDomainError } from './errors.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'

/** Another service, or MongoDB, as this process sees it. */
export interface Neighbour {
  readonly name: string
  /** Whether the circuit is open, because the neighbour does not answer. */
  isAway(): boolean
}

/** Refuses work for a neighbour that does not answer, and finds out when the neighbour answers again. */
export interface CircuitBreaker extends Neighbour {
  /** The error with which the caller refuses work while the circuit is open. Undefined while the circuit is closed. */
  refusal(): DomainError | undefined
  /**
   * Waits for work. The work itself continues after an error of this function, so that it must be harmless then.
   * @throws DomainError `dependency_unavailable` at the deadline, and as soon as the circuit is open. Errors of the work are
   * thrown unchanged
   */
  waitFor<T>(call: Call, work: Promise<T>): Promise<T>
  /** Lets a probe find out whether the neighbour is away. */
  suspect(): void
}

// A neighbour answers a probe within milliseconds, unless it has too little CPU time. The circuit of a frozen neighbour has to
// open within three seconds.
export const probeTimeoutMs = 800
const probeStepMs = 50
// One failed probe may have met a connection that was just lost.
const failuresToOpen = 2
const pauseBeforeSecondProbeMs = 100
// After a neighbour has returned, work for it is refused for at most this time and the duration of a probe.
const probeIntervalMs = 250
// Many failures, such as write conflicts, are not worth a probe each.
const minCheckIntervalMs = 250
/** Work that waits for this long raises the suspicion that the neighbour is away. */
const slowAfterMs = 500
const checkIntervalMs = 100

const circuitOpen = {
  name: 'trivet_circuit_open',
  help: '1 while work for a service or the database is refused, because it does not answer; 0 otherwise',
}

/**
 * Creates the circuit breaker of a neighbour. Work that fails, and work that waits for half a second, only raises the suspicion
 * that the neighbour is away. The circuit opens if two probes in a row fail and no work succeeds meanwhile. So neither a slow
 * query nor a lost connection opens it. While it is open, one probe at a time runs in the background, until a probe succeeds. No
 * request waits for a probe, and no request serves as a probe.
 *
 * @param options.probe a short read that succeeds only if the neighbour can do its work. It ends when its signal is aborted
 * @param options.title the neighbour in messages. The default is its name
 * @param options.onSlow is called every half second while work has waited for half a second or longer
 * @param options.signal ends the probes
 */
export function createCircuitBreaker(options: {
  name: string
  title?: string
  probe: (signal: AbortSignal) => Promise<unknown>
  onSlow?: () => void
  logger: Logger
  metrics: Metrics
  signal?: AbortSignal | undefined
}): CircuitBreaker {
  const { name, title = name, logger, metrics, signal } = options
  let successes = 0
  let isChecking = false
  let checkedAt = Number.NEGATIVE_INFINITY
  let openedBy: { failure: unknown } | undefined
  metrics.gauge(circuitOpen, () => (openedBy ? 1 : 0), { target: name })

  const notAvailable = (failure: unknown) => dependencyUnavailable(`${title} is not available`, failure)

  /** @returns undefined if the neighbour has answered the probe, or other work since there were this many successes */
  const failureOfProbe = async (successesBefore: number): Promise<{ failure: unknown } | undefined> => {
    try {
      await withTimeLimit(options.probe)
      return undefined
    } catch (failure) {
      return successes === successesBefore ? { failure } : undefined
    }
  }

  const stayOpenUntilBack = async ({ failure }: { failure: unknown }): Promise<void> => {
    const openedAt = performance.now()
    const successesBefore = successes
    openedBy = { failure }
    logger.warn({ target: name, reason: causeOf(failure) }, 'circuit opened')
    waiting.failAll(() => notAvailable(failure))
    do if (!(await pause(probeIntervalMs, signal))) return
    while (await failureOfProbe(successesBefore))
    openedBy = undefined
    logger.warn({ target: name, durationMs: Math.round(performance.now() - openedAt) }, 'circuit closed')
  }

  const check = async (): Promise<void> => {
    const successesBefore = successes
    for (let failures = 1; ; failures++) {
      const failed = await failureOfProbe(successesBefore)
      if (!failed) return
      if (failures >= failuresToOpen) return stayOpenUntilBack(failed)
      if (!(await pause(pauseBeforeSecondProbeMs, signal))) return
    }
  }

  const suspect = () => {
    if (isChecking || signal?.aborted || performance.now() - checkedAt < minCheckIntervalMs) return
    isChecking = true
    void check().finally(() => {
      isChecking = false
      checkedAt = performance.now()
    })
  }

  const waiting = createWaitingWork({
    onSlow() {
      options.onSlow?.()
      suspect()
    },
    onSuccess: () => {
      successes += 1
    },
    onFailure: suspect,
  })

  return {
    name,
    isAway: () => openedBy !== undefined,
    refusal: () => openedBy && notAvailable(openedBy.failure),
    suspect,
    waitFor: (call, work) =>
      waiting.waitFor(call, title, openedBy ? failed(work, notAvailable(openedBy.failure)) : work),
  }
}

/** Fails with the error at once. The work continues, and its outcome is ignored. */
const failed = (work: Promise<unknown>, error: Error): Promise<never> => {
  work.catch(() => undefined)
  return Promise.reject(error)
}

interface WaitingWork {
  readonly since: number
  fail(error: unknown): void
}

/** Keeps the work that is waited for in the order of its start, and watches for slow work with one timer. */
function createWaitingWork({
  onSlow,
  onSuccess,
  onFailure,
}: {
  onSlow: () => void
  /** Is also called when work succeeds that is not waited for any more. */
  onSuccess: () => void
  /** Is called when work fails as `dependency_unavailable`. */
  onFailure: () => void
}) {
  const list = new Yallist<WaitingWork>()
  let interval: NodeJS.Timeout | undefined
  let reportedAt = 0

  const check = () => {
    const oldest = list.head?.value
    const now = performance.now()
    if (!oldest) {
      clearInterval(interval)
      interval = undefined
    } else if (now - Math.max(oldest.since, reportedAt) >= slowAfterMs) {
      reportedAt = now
      onSlow()
    }
  }

  return {
    waitFor: <T>(call: Call, title: string, work: Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        const settle = () => {
          cancelTimer()
          if (entry.list) list.removeNode(entry)
        }
        const fail = (error: unknown) => {
          settle()
          if (isDomainError(error, 'dependency_unavailable')) onFailure()
          reject(error)
        }
        const entry = new Node<WaitingWork>({ since: performance.now(), fail })
        list.pushNode(entry)
        interval ??= setInterval(check, checkIntervalMs).unref()
        const cancelTimer = atDeadline(call, () =>
          fail(dependencyUnavailable(`${title} did not answer in time`)),
        )
        work.then((result) => {
          onSuccess()
          settle()
          resolve(result)
        }, fail)
      }),

    failAll(errorOf: () => Error): void {
      for (const { fail } of [...list]) fail(errorOf())
    },
  }
}

/**
 * Runs a probe. Its time is counted in steps, of which one passes at most in each turn of the event loop. A process that is so busy
 * that it cannot read the answer therefore waits longer for it.
 */
async function withTimeLimit(probe: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const limit = new AbortController()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  let steps = 0
  const timer = setInterval(() => {
    steps += 1
    if (steps * probeStepMs < probeTimeoutMs) return
    const error = dependencyUnavailable(`no answer within ${probeTimeoutMs} ms`)
    reject(error)
    limit.abort(error)
  }, probeStepMs)
  try {
    await Promise.race([probe(limit.signal), aborted])
  } finally {
    clearInterval(timer)
  }
}

/** @returns false if the signal was aborted */
async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<boolean> {
  await sleep(delayMs, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined)
  return !signal?.aborted
}

/** The message of the innermost cause, such as `connect ECONNREFUSED 127.0.0.1:9`: `fetch` and the driver wrap it. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // The addresses of one host usually fail for the same reason.
  const [inner = error.cause] = error instanceof AggregateError ? error.errors : []
  return inner instanceof Error ? causeOf(inner) : error.message
}
