import { z } from '@hono/zod-openapi'
import { decodeCursor, encodeCursor } from '#kernel/http/paging.ts'
import { id } from '#kernel/schemas.ts'
import type { Position, ProductFilters, ProductListQuery, SortOrder } from './product.ts'

type List = ProductFilters & Pick<ProductListQuery, 'sort'>

/** Makes the cursor of a list. It is valid only for the same order and filters. */
export const encodePosition = (list: List, position: Position): string =>
  encodeCursor([list.sort, position, ...filtersOf(list)])

/** @throws DomainError `validation_failed` for a cursor of another list, or one that `encodePosition` did not make */
export function decodePosition(list: List, cursor: string): Position {
  const start = [z.literal(list.sort), z.strictObject({ key: keys[list.sort], productId: id })] as const
  const [filters] = filtersOf(list)
  const schema = filters === undefined ? z.tuple(start) : z.tuple([...start, z.literal(filters)])
  return decodeCursor<[List['sort'], Position, string?]>(schema, cursor)[1]
}

const keys = {
  newest: z.iso.datetime().transform((value) => new Date(value)),
  price: z.int(),
  '-price': z.int(),
  name: z.string(),
  best: z.number(),
} satisfies Record<SortOrder | 'best', z.ZodType<Position['key']>>

/** The filters as one text. There is none without filters, because older versions make and read such cursors too. */
function filtersOf({ q, minPrice, maxPrice, inStock }: ProductFilters): [text?: string] {
  const text = JSON.stringify({ q, minPrice, maxPrice, inStock })
  return text === '{}' ? [] : [text]
}
