import { describe, expect, it } from 'vitest'
import { quiet } from '../../test/shop.ts'
import { etag, matches, notModified, parseIfMatch } from './preconditions.ts'
import { requestContext } from './request-context.ts'
import { createRouter } from './router.ts'

it('a version is a strong entity tag', () => {
  expect(etag(3)).toBe('"3"')
})

describe('If-Match', () => {
  const holds = (header: string, version: number) => matches(parseIfMatch(header) ?? [], version)

  it('that is absent is no precondition, which is not one that fails', () => {
    expect(parseIfMatch(undefined)).toBeUndefined()
    expect(parseIfMatch('')).toEqual([])
  })

  it.each(['"3"', ' "3" ', '"1", "3"', '"1","3","5"', 'W/"1", "3"', '*', ' * ', '"a,b", "3"'])(
    '%s holds for version 3',
    (header) => {
      expect(holds(header, 3)).toBe(true)
    },
  )

  it.each(['"2"', '"33"', '"3 "', '"03"', '"1", "2"', '""', '3', "'3'", '', '"3', '3"', '"*"', 'W/"3"'])(
    '%s does not hold for version 3',
    (header) => {
      expect(holds(header, 3)).toBe(false)
    },
  )

  it('compares strongly: a weak tag never matches, beside a strong one neither', () => {
    expect(holds('W/"3"', 3)).toBe(false)
    expect(holds('W/"3", "4"', 3)).toBe(false)
  })
})

describe('If-None-Match', async () => {
  const app = createRouter().use(requestContext({ timeout: 5_000, logger: await quiet }))
  app.get('/thing', (c) => (notModified(c, 3) ? c.body(null, 304) : c.json('thing')))
  const ask = async (header?: string) =>
    app.request('/thing', { headers: header === undefined ? {} : { 'if-none-match': header } })

  it.each(['"3"', '"1", "3"', '*', 'W/"3"', 'W/"1",W/"3"'])('%s: 304 for version 3', async (header) => {
    const answer = await ask(header)
    expect(answer.status).toBe(304)
    expect(answer.headers.get('etag')).toBe('"3"')
    expect(await answer.text()).toBe('')
  })

  it.each([undefined, '"2"', 'W/"2"', '3', '', '"33"'])('%s: 200 with the ETag', async (header) => {
    const answer = await ask(header)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('etag')).toBe('"3"')
  })
})

it.each(['w/"3"', 'x"3"', '3"3"', '"3', '"3" "4"', '"3",'])(
  'the malformed If-Match %s matches nothing',
  (header) => {
    expect(matches(parseIfMatch(header) ?? [], 3)).toBe(false)
  },
)
