import type mongoose from 'mongoose'
import type { Logger } from '#kernel/logger.ts'

// A transaction is a few commands back to back. One that in all has waited this long for its owner, and for the last
// half of it without a single command, belongs to a process that is dead, frozen or beyond its deadline. What it has
// written stands in the way of everybody else.
const stalledAfter = 1_000
/** How long an operation waits before it looks, and how often it looks again. Milliseconds. */
const lookAfter = 500

/** Accompanies an operation until it has its outcome. */
export type StallWatch = <T>(operation: Promise<T>) => Promise<T>

/**
 * Ends transactions that nobody goes on with, as soon as an operation has waited for half a second, rather than when
 * the server does (`transactionLifetimeLimitSeconds`: 60 by default, 10 as Trivet sets it up).
 *
 * No guarantee rests on the owner being dead: to one that lives after all, its transaction is as if it had met a write
 * conflict, and it decides anew. Whoever may not end sessions waits for the server's own limit, as everybody did before.
 */
export function createStallWatch(
  connection: mongoose.Connection,
  options: { appName: string; logger: Logger },
): StallWatch {
  const { appName, logger } = options
  let next = 0
  let allowed = true
  /** Transactions that were idle at the last look, by what changes as soon as one goes on. */
  let idle = new Set<string>()

  const endStalled = async (): Promise<void> => {
    const admin = connection.getClient().db('admin')
    const seen = await admin
      .aggregate<{ lsid: { id: { toString(): string } }; transaction: { timeActiveMicros: unknown } }>(
        [
          { $currentOp: { idleSessions: true } },
          {
            $match: {
              type: 'idleSession',
              'clientMetadata.application.name': appName,
              'transaction.timeInactiveMicros': { $gte: stalledAfter * 1_000 },
            },
          },
          { $project: { lsid: 1, transaction: 1 } },
        ],
        { readConcern: { level: 'local' }, maxTimeMS: stalledAfter },
      )
      .toArray()
    const before = idle
    const mark = ({ lsid, transaction }: (typeof seen)[number]) =>
      `${lsid.id} ${transaction.timeActiveMicros}`
    idle = new Set(seen.map(mark))
    const stalled = seen.filter((transaction) => before.has(mark(transaction)))
    if (stalled.length === 0) return
    const killSessions = stalled.map(({ lsid }) => ({ id: lsid.id }))
    await admin.command({ killSessions, maxTimeMS: stalledAfter })
    logger.warn({ transactions: stalled.length }, 'ended transactions that nobody went on with')
  }

  const look = () => {
    const now = Date.now()
    if (!allowed || now < next) return
    next = now + lookAfter
    endStalled().catch((error: unknown) => {
      allowed = !isRefusal(error)
      logger.debug({ error: String(error) }, 'could not look for transactions that nobody goes on with')
    })
  }

  return async (operation) => {
    const timer = setInterval(look, lookAfter)
    try {
      return await operation
    } finally {
      clearInterval(timer)
    }
  }
}

/** Unauthorized, or a server that does not know one of the commands: asking again would not help. */
const isRefusal = (error: unknown): boolean =>
  [13, 59, 8000].includes(Number((error as { code?: unknown }).code))
