import { z } from '@hono/zod-openapi'
import { describe, expect, it } from 'vitest'
import { decodeCursor, encodeCursor, pageOf } from './paging.ts'

const position = z.object({ name: z.string(), id: z.string().regex(/^[0-9a-f]{4}$/) })
const last = { name: 'Tasse ☕ 😀 "groß"', id: '00ff' }

describe('a cursor', () => {
  it('a cursor is decoded to the position that it was made of', () => {
    expect(decodeCursor(position, encodeCursor(last))).toEqual(last)
  })

  it('a cursor needs no escaping in a URL', () => {
    expect(encodeCursor(last)).toMatch(/^[A-Za-z0-9_-]+$/)
  })

  const whole = encodeCursor(last)
  it.each([
    ['empty', ''],
    ['truncated at the end', whole.slice(0, -2)],
    ['truncated at the beginning', whole.slice(2)],
    ['reversed', [...whole].reverse().join('')],
    ['not base64', '%%%'],
    ['not JSON', Buffer.from('hello').toString('base64url')],
    ['of another list', encodeCursor({ price: 5, id: '00ff' })],
    ['of the same list, with an invalid value', encodeCursor({ ...last, id: { $gt: '' } })],
    ['null', encodeCursor(null)],
  ])('a cursor that is %s gets validation_failed, which names the parameter', (_what, cursor) => {
    const decode = () => decodeCursor(position, cursor)
    expect(decode).toThrow(
      expect.objectContaining({
        code: 'validation_failed',
        members: {
          errors: [{ parameter: 'cursor', code: 'format', message: expect.stringContaining('nextCursor') }],
        },
      }),
    )
  })
})

describe('a page', () => {
  const rows = (count: number) => Array.from({ length: count }, (_, at) => ({ id: at }))
  const idOf = (row: { id: number }) => row.id

  it('a page has `limit` rows, and a cursor of the last row if there are more rows', () => {
    const page = pageOf(rows(4), 3, idOf)
    expect(page.data).toEqual(rows(3))
    expect(decodeCursor(z.int(), page.nextCursor ?? '')).toBe(2)
  })

  it('the last page has no cursor, even with `limit` rows', () => {
    expect(pageOf(rows(3), 3, idOf)).toEqual({ data: rows(3), nextCursor: null })
    expect(pageOf(rows(1), 3, idOf)).toEqual({ data: rows(1), nextCursor: null })
    expect(pageOf([], 3, idOf)).toEqual({ data: [], nextCursor: null })
  })
})

it.each(['!', ' ', '=', '%'])('a cursor with an additional %s is refused', (character) => {
  const cursor = encodeCursor(7)
  for (const damaged of [`${cursor}${character}`, `${character}${cursor}`]) {
    expect(() => decodeCursor(z.int(), damaged)).toThrow(/cursor/)
  }
})
