import { setTimeout as sleep } from 'node:timers/promises'
import type { Neighbour } from '#kernel/circuit-breaker.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'
import type { Missing, Readiness } from '../http/health-routes.ts'

// An election of MongoDB takes about ten seconds. If it ended readiness, all replicas of a service would stop receiving
// requests at the same time.
const maxOutageMs = 30_000
// A ping may hang, and a readiness probe waits two or three seconds.
const pingTimeoutMs = 1_000
const pingRetryMs = 1_000

export interface ProcessReadiness extends Readiness {
  started(): Missing
  /** Marks a part of the start as done: `database of <module>` or `migrations of <module>`. */
  done(part: string): void
  /** Ends readiness for good, and stops the repeated pings. */
  drain(): void
}

/**
 * A process is ready if it has started and migrated its databases, and is not draining. A database that does not answer
 * ends readiness after 30 s. A server that answers and cannot be used ends it at once.
 * @param options.now a monotonic clock in milliseconds
 */
export function createReadiness(options: {
  hosted: readonly string[]
  mongo: Pick<Mongo, 'ping' | 'unusableReason'>
  /** The services that the modules call. They do not end readiness. */
  neighbours: readonly Neighbour[]
  logger: Logger
  now?: () => number
}): ProcessReadiness {
  const { hosted, mongo, neighbours, logger, now = () => performance.now() } = options
  const databases = hosted.map((name) => `database of ${name}`)
  const missing = new Set(hosted.flatMap((name) => [`database of ${name}`, `migrations of ${name}`]))
  let isDraining = false
  let outageSince: number | undefined
  let pinging: Promise<void> | undefined
  let retry: NodeJS.Timeout | undefined

  const recordOutage = (since: number, reason: string) => {
    if (outageSince !== undefined) return
    outageSince = since
    logger.warn({ reason }, 'MongoDB does not answer')
  }

  /**
   * Concurrent calls share one ping. A failed ping is repeated until a ping succeeds, so that the length of an outage
   * is right even if probes are rare.
   */
  const ping = (): Promise<void> => {
    const began = now()
    clearTimeout(retry)
    pinging ??= mongo
      .ping()
      .then(
        () => {
          if (outageSince !== undefined) logger.info('MongoDB answers again')
          outageSince = undefined
        },
        (error: unknown) => {
          recordOutage(began, String(error))
          if (!isDraining) retry = setTimeout(ping, pingRetryMs).unref()
        },
      )
      .finally(() => {
        pinging = undefined
      })
    return pinging
  }

  return {
    started: () => ({ missing: [...missing] }),

    async ready() {
      const notStarted = isDraining ? ['draining'] : [...missing]
      if (notStarted.length > 0) return { missing: notStarted, unavailable: [] }
      const began = now()
      const hasAnswered = await Promise.race([
        ping().then(() => true),
        sleep(pingTimeoutMs, false, { ref: false }),
      ])
      if (!hasAnswered) recordOutage(began, `no answer within ${pingTimeoutMs} ms`)
      const reason = mongo.unusableReason()
      if (reason !== undefined) return { missing: databases, reason, unavailable: [] }
      const services = neighbours.filter((neighbour) => neighbour.isAway()).map(({ name }) => name)
      if (outageSince === undefined) return { missing: [], unavailable: services }
      return now() - outageSince < maxOutageMs
        ? { missing: [], unavailable: [...databases, ...services] }
        : { missing: databases, unavailable: services }
    },

    done: (part) => void missing.delete(part),

    drain() {
      isDraining = true
      clearTimeout(retry)
    },
  }
}
