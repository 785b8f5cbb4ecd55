import type { z } from '@hono/zod-openapi'
import { validationFailed } from '#kernel/errors.ts'

/** Encodes the sort key of the last row of a page. The next page then is a range of an index. Clients treat it as opaque. */
export const encodeCursor = (position: unknown): string =>
  Buffer.from(JSON.stringify(position)).toString('base64url')

/** @throws DomainError `validation_failed` for a cursor that `encodeCursor` did not make */
export function decodeCursor<T>(schema: z.ZodType<T>, cursor: string): T {
  try {
    const position: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    // Node.js skips characters that are not base64url and replaces bytes that are not UTF-8. Encoding again detects both.
    if (encodeCursor(position) === cursor) return schema.parse(position)
    throw new Error('not made by encodeCursor')
  } catch {
    throw validationFailed({
      parameter: 'cursor',
      code: 'format',
      message: 'must be the nextCursor of a page of this list, with the same filters and the same sort',
    })
  }
}

export interface Page<T> {
  data: T[]
  nextCursor: string | null
}

/** Makes a page of up to `limit + 1` rows. The additional row only shows that there is a next page. */
export function pageOf<T>(
  rows: T[],
  limit: number,
  position: (last: T, data: readonly T[]) => unknown,
): Page<T> {
  const data = rows.slice(0, limit)
  const last = data.at(-1)
  return { data, nextCursor: rows.length > limit && last ? encodeCursor(position(last, data)) : null }
}
