import type { Logger } from '#kernel/logger.ts'

/** Why a process is to end. */
export interface Stop {
  /** A signal, `disconnect` for the end of a parent that it was forked by, or what has crashed. */
  reason: string
}

/** What is heard of the end of this process, from when `stopSignal` was called. */
export interface Shutdown {
  /** Aborted as soon as the process is to end. */
  signal: AbortSignal
  /** Resolves with what asked for it first. */
  stopped: Promise<Stop>
  /** Whether there was anything that no code has caught: the process then ends with 1. */
  crashed(): boolean
  /** For what this process cannot go on without. What no code catches gets here by itself. */
  crash(reason: string, error: unknown): void
  /** Where crashes are written from now on; on standard error until then. */
  reportTo(logger: Logger): void
}

// Milliseconds. A terminal sends Ctrl-C to all of its foreground processes, and npm passes on what it has heard: who
// started this with npm has asked once, and the process hears of it twice.
const heardTwice = 500

/**
 * Whatever asks this process to end, once: SIGTERM, SIGINT, the end of a parent that it was forked by, or an error that
 * no code has caught. A signal half a second after the first is from somebody who does not want to wait, and ends the
 * process at once.
 */
export function createShutdown(): Shutdown {
  const stop = new AbortController()
  const { promise: stopped, resolve } = Promise.withResolvers<Stop>()
  const { signal } = stop
  let report = (reason: string, error: unknown) => console.error(reason, error)
  let crashed = false
  let heardFirst = Number.POSITIVE_INFINITY
  const end = (reason: string) => {
    if (!signal.aborted) heardFirst = performance.now()
    resolve({ reason })
    stop.abort()
  }
  const crash = (reason: string, error: unknown) => {
    crashed = true
    report(reason, error)
    end(reason)
  }

  for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
    process.on(event, () => {
      if (performance.now() - heardFirst > heardTwice) process.exit(1)
      end(event)
    })
  }
  // Rejections that nobody handles get here as well.
  process.on('uncaughtException', (error, origin) => crash(origin, error))

  return {
    signal,
    stopped,
    crashed: () => crashed,
    crash,
    reportTo(logger) {
      report = (reason, error) => logger.fatal({ err: error, reason }, 'crashed')
    },
  }
}
