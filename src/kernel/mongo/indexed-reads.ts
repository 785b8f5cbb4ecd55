import type { Call } from '#kernel/call.ts'
import type { Logger } from '#kernel/logger.ts'
import { createQueue } from '#kernel/queue.ts'
import type { Database } from './database.ts'
import { isMissingIndexHint } from './errors.ts'

interface Source {
  collection: string
  index: Readonly<Record<string, 1 | -1>>
}

/**
 * Reads a collection through one index, which it tells MongoDB to use (`hint`).
 * @param read passes the options on to each query. It is repeated without `hint` where there is no such index
 * @throws DomainError as `Database.run`; `overloaded` if too many wait to be read without their index
 */
export type IndexedRead = <T>(
  call: Call,
  source: Source,
  read: (options: { maxTimeMS: number; hint?: Source['index'] }) => Promise<T>,
) => Promise<T>

// A read without its index goes through a whole collection: few at a time, so that the others get on.
const atOnce = 2
const mayWait = 100
const warnAgainAfterMs = 60_000

/**
 * A named index spares MongoDB to weigh every other one, and a missing or hidden one makes the read fail. It is then
 * repeated without the index, slowly, with a warning once a minute, until the index is back.
 */
export function createIndexedReads(database: Database, logger: Logger): IndexedRead {
  const withoutIndex = createQueue({
    name: 'a list whose index is missing',
    maxConcurrent: atOnce,
    maxWaiting: mayWait,
  })
  const warnedAt = new Map<string, number>()

  const warn = ({ collection, index }: Source) => {
    const name = `${collection} ${JSON.stringify(index)}`
    const now = performance.now()
    if (now - (warnedAt.get(name) ?? Number.NEGATIVE_INFINITY) < warnAgainAfterMs) return
    warnedAt.set(name, now)
    logger.warn(
      { collection, index },
      'an index is missing or hidden, and what needs it is slow: unhide it, or start a process again, which makes it',
    )
  }

  return async (call, source, read) => {
    try {
      return await database.run(call, (maxTimeMS) => read({ maxTimeMS, hint: source.index }))
    } catch (error) {
      if (!isMissingIndexHint(error)) throw error
      warn(source)
      return withoutIndex(call, () => database.run(call, (maxTimeMS) => read({ maxTimeMS })))
    }
  }
}
