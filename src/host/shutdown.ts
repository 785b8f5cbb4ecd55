import type { Logger } from '#kernel/logger.ts'

/**
 * The request to end a process. The reason is a signal, `disconnect` for the end of the parent process, or the name of
 * a crash.
 */
export interface Stop {
  reason: string
}

/** The shutdown of this process, requested or not yet. */
export interface Shutdown {
  /** Aborted by the first request to end. */
  signal: AbortSignal
  /** Resolves with the reason of the first request to end. */
  stopped: Promise<Stop>
  /** Whether anything crashed. The exit code of the process is then 1. */
  crashed(): boolean
  /**
   * Requests the end because of an error that this process cannot recover from. Uncaught errors call it automatically.
   */
  crash(reason: string, error: unknown): void
  /** Logs crashes with this logger from now on, instead of printing them to standard error. */
  reportTo(logger: Logger): void
}

// One Ctrl-C arrives twice: the terminal signals each process of its foreground group, and npm forwards what it receives.
const duplicateSignalMs = 500

/**
 * Listens for requests to end this process: SIGTERM, SIGINT, the end of a parent process that forked it, and uncaught
 * errors. A second signal ends the process at once.
 */
export function createShutdown(): Shutdown {
  const stop = new AbortController()
  const { promise: stopped, resolve } = Promise.withResolvers<Stop>()
  const { signal } = stop
  let report = (reason: string, error: unknown) => console.error(reason, error)
  let crashed = false
  let firstRequestAt = Number.POSITIVE_INFINITY
  const end = (reason: string) => {
    if (!signal.aborted) firstRequestAt = performance.now()
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
      if (performance.now() - firstRequestAt > duplicateSignalMs) process.exit(1)
      end(event)
    })
  }
  // Node.js reports unhandled rejections with this event too.
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
