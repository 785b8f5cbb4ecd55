import { LRUCache } from 'lru-cache'
import type { Logger } from '#kernel/logger.ts'

/**
 * A document that is not as this program stores it: an operator has edited it, or a restore has mixed versions. A request
 * about it fails (500) and is logged. Lists leave it out, and the log names it once a minute. The
 * audit finds it.
 */
export const corruptDocument = (what: string, id: string): Error =>
  new Error(`${what} ${id} is not stored as it should be: npm run audit says more`)

// How often a page is read again without what is spoilt, before it fails.
const mostRounds = 5

// What the log has named within the last minute, by kind and id.
const named = new LRUCache<string, true>({ max: 1_000, ttl: 60_000 })

/**
 * A page without the documents that are spoilt: it is read again without them, so that it is as full as any other.
 * @param read leaves out what has these ids
 * @throws Error if the documents of one page after the other are spoilt
 */
export async function withoutCorrupt<Document extends { _id: unknown }>(
  options: { what: string; isValid: (document: Document) => boolean; logger: Logger },
  read: (without: Document['_id'][]) => Promise<Document[]>,
): Promise<Document[]> {
  const { what, isValid: isWhole, logger } = options
  const without: Document['_id'][] = []
  for (let round = 0; round < mostRounds; round++) {
    const documents = await read(without)
    const unfit = documents.filter((document) => !isWhole(document)).map(({ _id }) => _id)
    if (unfit.length === 0) return documents
    const ids = unfit.map(String).filter((id) => !named.has(`${what} ${id}`))
    for (const id of ids) named.set(`${what} ${id}`, true)
    if (ids.length > 0) {
      logger.error(
        { ids },
        `a list leaves out each ${what} that is not stored as it should be: npm run audit says more`,
      )
    }
    without.push(...unfit)
  }
  throw new Error('too many of what is listed are not stored as they should be: npm run audit says more')
}
