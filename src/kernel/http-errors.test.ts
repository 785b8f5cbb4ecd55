import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { DomainError } from './errors.ts'
import { errorOf, problemOf, problems } from './http-errors.ts'

describe('the table of errors', () => {
  it('is the one that is documented', async () => {
    const page = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8')
    const rows = [...page.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map(([, code, status]) => [
      code,
      Number(status),
    ])
    expect(rows).toEqual(Object.entries(problems).map(([code, { status }]) => [code, status]))
  })
})

describe('an error between services', () => {
  it('is the same on the other side', () => {
    const error = new DomainError('insufficient_stock', 'two are left', { items: [{ available: 2 }] })
    const received = errorOf(JSON.parse(JSON.stringify(problemOf(error))))
    expect(received).toMatchObject({ code: error.code, message: error.message, members: error.members })
  })

  it.each([null, 'text', {}, { code: 'unheard_of' }, { code: 'toString' }, []])(
    'is none of ours: %j',
    (problem) => {
      expect(errorOf(problem)).toBeUndefined()
    },
  )
})
