import type mongoose from 'mongoose'
import type { Logger } from '#kernel/logger.ts'

// A transaction runs a few commands without a pause. If a transaction has been idle for this time in total, and has run
// no command between two checks, its process is dead, frozen or past its deadline. The documents that the transaction
// wrote block all other transactions.
const stalledAfterMs = 1_000

/**
 * Kills stalled transactions of this shop. The function is called every half second while an operation waits for half a second
 * or longer. The server itself would abort the transactions later (`transactionLifetimeLimitSeconds`: 60 by default, 10 in
 * Trivet's setup).
 *
 * Correctness does not depend on the death of the transaction's process: a process that is alive sees a write conflict and
 * repeats its transaction. If the account may not kill sessions, operations wait for the server's limit.
 */
export function createStallCheck(
  connection: mongoose.Connection,
  options: { appName: string; logger: Logger },
): () => void {
  const { appName, logger } = options
  let isAllowed = true
  /** The keys of the transactions that were idle at the last check. Every command of a transaction changes its key. */
  let idle = new Set<string>()

  const killStalled = async (): Promise<void> => {
    const admin = connection.getClient().db('admin')
    const found = await admin
      .aggregate<{ lsid: { id: { toString(): string } }; transaction: { timeActiveMicros: unknown } }>(
        [
          { $currentOp: { idleSessions: true } },
          {
            $match: {
              type: 'idleSession',
              'clientMetadata.application.name': appName,
              'transaction.timeInactiveMicros': { $gte: stalledAfterMs * 1_000 },
            },
          },
          { $project: { lsid: 1, transaction: 1 } },
        ],
        { readConcern: { level: 'local' }, maxTimeMS: stalledAfterMs },
      )
      .toArray()
    const idleBefore = idle
    const keyOf = ({ lsid, transaction }: (typeof found)[number]) =>
      `${lsid.id} ${transaction.timeActiveMicros}`
    idle = new Set(found.map(keyOf))
    const stalled = found.filter((transaction) => idleBefore.has(keyOf(transaction)))
    if (stalled.length === 0) return
    const killSessions = stalled.map(({ lsid }) => ({ id: lsid.id }))
    await admin.command({ killSessions, maxTimeMS: stalledAfterMs })
    logger.warn({ transactions: stalled.length }, 'killed stalled transactions')
  }

  return () => {
    if (!isAllowed) return
    killStalled().catch((error: unknown) => {
      isAllowed = !isRefusal(error)
      logger.debug({ err: error }, 'could not check for stalled transactions')
    })
  }
}

/** Whether the account lacks a privilege or the server does not know a command, so that another attempt is useless. */
const isRefusal = (error: unknown): boolean =>
  [13, 59, 8000].includes(Number((error as { code?: unknown }).code))
