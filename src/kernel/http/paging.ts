import type { z } from '@hono/zod-openapi'
import { validationFailed } from '#kernel/errors.ts'

/** Opaque to clients: the sort key of the last row that they have, so that a page is a range of an index. */
export const encodeCursor = (position: unknown): string =>
  Buffer.from(JSON.stringify(position)).toString('base64url')

/** @throws DomainError `validation_failed` for one that `encodeCursor` did not make. */
export function decodeCursor<T>(schema: z.ZodType<T>, cursor: string): T {
  try {
    const position: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    // Node.js skips over what is not base64url and replaces what is not UTF-8: neither comes back as it was.
    if (encodeCursor(position) === cursor) return schema.parse(position)
    throw new Error('not made by encodeCursor')
  } catch {
    throw validationFailed({
      parameter: 'cursor',
      message: 'must be the nextCursor of a page of this same list',
    })
  }
}

export interface Page<T> {
  data: T[]
  nextCursor: string | null
}

/** A page out of up to `limit + 1` rows: the one too many only tells that there is a next page. */
export function pageOf<T>(
  rows: T[],
  limit: number,
  position: (last: T, data: readonly T[]) => unknown,
): Page<T> {
  const data = rows.slice(0, limit)
  const last = data.at(-1)
  return { data, nextCursor: rows.length > limit && last ? encodeCursor(position(last, data)) : null }
}
