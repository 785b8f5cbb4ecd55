import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { createQueue } from '#kernel/queue.ts'
import { queueMetrics } from '#kernel/queue-metrics.ts'
import type { Database } from './database.ts'
import { isMissingIndex } from './errors.ts'
import type { IndexRange } from './index-range.ts'

interface Source {
  collection: string
  index: Readonly<Record<string, 1 | -1 | 'text'>>
  /** The part of the index to read. MongoDB accepts bounds only together with the index. */
  bounds?: IndexRange['bounds']
}

/**
 * Reads a collection through one index, which the query names (`hint`).
 * @param read must pass the options to each query. It is repeated without the index and its bounds if the index does not exist
 * @throws DomainError as `Database.run`; `overloaded` if too many reads without their index are waiting
 */
export type IndexedRead = <T>(
  call: Call,
  source: Source,
  read: (
    options: { maxTimeMS: number; hint?: Source['index'] } & Partial<IndexRange['bounds']>,
  ) => Promise<T>,
) => Promise<T>

// A read without its index scans the whole collection. The limit keeps such reads from slowing down all others.
const maxConcurrent = 2
const maxWaiting = 100

/**
 * Creates the function that reads through a named index. Naming it saves MongoDB the time to compare all indexes. If
 * the index is missing or hidden, MongoDB refuses the query. The read is then repeated without the index, which is
 * slow, and a warning is logged until the index exists again.
 */
export function createIndexedReads(database: Database, logger: Logger): IndexedRead {
  const withoutIndex = createQueue({
    name: 'a list whose index is missing',
    maxConcurrent,
    maxWaiting,
    metrics: queueMetrics(database.metrics, 'lists_without_index'),
  })

  const warn = ({ collection, index }: Source) =>
    logger.repeatable(
      `${collection} ${JSON.stringify(index)}`,
      'warn',
      { collection, index },
      'an index is missing or hidden, so that its queries are slow: unhide the index, or restart a process, which creates it',
    )

  return async (call, source, read) => {
    try {
      const { index: hint, bounds } = source
      return await database.run(`${source.collection}.list`, call, (maxTimeMS) =>
        read({ maxTimeMS, hint, ...bounds }),
      )
    } catch (error) {
      if (!isMissingIndex(error)) throw error
      warn(source)
      return withoutIndex(call, () =>
        database.run(`${source.collection}.list`, call, (maxTimeMS) => read({ maxTimeMS })),
      )
    }
  }
}
