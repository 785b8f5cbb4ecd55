import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '#kernel/logger.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'

import type { Missing, Readiness } from '../http/operator-routes.ts'

// An election takes some ten seconds, and every replica sees it at once: none of them may leave its Service for that.
const awayAfterMs = 30_000
// A probe gives up after two or three seconds, and a ping may hang.
const answersWithinMs = 1_000
const pingAgainAfterMs = 1_000

/** What keeps a process from being ready, from its start to its end. */
export interface ProcessReadiness extends Readiness {
  /** A part of the start is done: `database of ...` or `migrations of ...`. */
  done(part: string): void
  /** The process ends: from now on it is not ready, and nothing is asked of the database. */
  drain(): void
}

/**
 * Ready means started, migrated and not draining. A database that does not answer is named, and ends readiness once it has
 * been away for 30 s, or at once if a server answers that cannot be used.
 * @param now a monotonic clock, in milliseconds
 */
export function createReadiness(options: {
  hosted: readonly string[]
  mongo: Pick<Mongo, 'ping' | 'unusableReason'>
  logger: Logger
  now?: () => number
}): ProcessReadiness {
  const { hosted, mongo, logger, now = () => performance.now() } = options
  const databases = hosted.map((name) => `database of ${name}`)
  const missing = new Set(hosted.flatMap((name) => [`database of ${name}`, `migrations of ${name}`]))
  let isDraining = false
  let awaySince: number | undefined
  let pinging: Promise<void> | undefined
  let next: NodeJS.Timeout | undefined

  const isAway = (since: number, reason: string) => {
    if (awaySince !== undefined) return
    awaySince = since
    logger.warn({ error: reason }, 'MongoDB does not answer')
  }

  /** One at a time, however many ask. A failed ping is repeated until one succeeds, so that rare probes count right. */
  const ping = (): Promise<void> => {
    const began = now()
    clearTimeout(next)
    pinging ??= mongo
      .ping()
      .then(
        () => {
          if (awaySince !== undefined) logger.info('MongoDB answers again')
          awaySince = undefined
        },
        (error: unknown) => {
          isAway(began, String(error))
          if (!isDraining) next = setTimeout(ping, pingAgainAfterMs).unref()
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
      const gone: Missing = { missing: isDraining ? ['draining'] : [...missing] }
      if (gone.missing.length > 0) return { ...gone, unavailable: [] }
      const began = now()
      const hasAnswered = await Promise.race([
        ping().then(() => true),
        sleep(answersWithinMs, false, { ref: false }),
      ])
      if (!hasAnswered) isAway(began, `no answer within ${answersWithinMs} ms`)
      const reason = mongo.unusableReason()
      if (reason !== undefined) return { missing: databases, reason, unavailable: [] }
      if (awaySince === undefined) return { missing: [], unavailable: [] }
      return now() - awaySince < awayAfterMs
        ? { missing: [], unavailable: databases }
        : { missing: databases, unavailable: [] }
    },

    done: (part) => void missing.delete(part),

    drain() {
      isDraining = true
      clearTimeout(next)
    },
  }
}
