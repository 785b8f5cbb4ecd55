import type mongoose from 'mongoose'
import type { Logger } from '#kernel/logger.ts'

/**
 * The error of a request for a corrupt document. The answer is 500. A corrupt document has contents that this program
 * never writes, for example after a manual edit or a restore of mixed versions. Lists omit corrupt documents, the log
 * names them, and the audit finds them.
 */
export class CorruptDocument extends Error {
  constructor(what: string, id: string) {
    super(`the stored document of ${what} ${id} is corrupt: npm run audit shows the details`)
  }
}

const maxReads = 5

/** The filter for the documents that `filter` matches, except those with the given ids. */
export const excluding = <Document extends { _id: unknown }>(
  filter: mongoose.mongo.Filter<Document>,
  ids: readonly Document['_id'][],
): mongoose.mongo.Filter<Document> =>
  ids.length === 0 ? filter : ({ $and: [filter, { _id: { $nin: ids } }] } as mongoose.mongo.Filter<Document>)

/**
 * Reads a page without corrupt documents. If the page contains some, it is read again without them, so that it is full.
 * @param read must leave out the documents with the given ids
 * @throws Error if each of five reads finds further corrupt documents
 */
export async function withoutCorrupt<Document extends { _id: unknown }>(
  options: { what: string; isValid: (document: Document) => boolean; logger: Logger },
  read: (excludedIds: Document['_id'][]) => Promise<Document[]>,
): Promise<Document[]> {
  const { what, isValid, logger } = options
  const excludedIds: Document['_id'][] = []
  for (let round = 0; round < maxReads; round++) {
    const documents = await read(excludedIds)
    const corruptIds = documents.filter((document) => !isValid(document)).map(({ _id }) => _id)
    if (corruptIds.length === 0) return documents
    const ids = corruptIds.map(String)
    const message = `a list omits corrupt documents (${what}): npm run audit shows the details`
    logger.repeatable(`${what} ${ids}`, 'error', { ids }, message)
    excludedIds.push(...corruptIds)
  }
  throw new Error(`too many documents of this list are corrupt (${what}): npm run audit shows the details`)
}
