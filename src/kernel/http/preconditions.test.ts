import { describe, expect, it } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { quiet } from '#test/support/quiet-log.ts'
import {
  checkPreconditions,
  dependOnVersion,
  etag,
  notModified,
  type Preconditions,
  parseEntityTags,
} from './preconditions.ts'
import { requestContext } from './request-context.ts'
import { createRouter } from './router.ts'

it('the entity tag of a version is strong', () => {
  expect(etag(3)).toBe('"3"')
})

const holds = (conditions: Preconditions, version: number): boolean => {
  try {
    checkPreconditions(conditions, version)
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError)
    expect(error).toMatchObject({ code: 'precondition_failed' })
    return false
  }
}

describe('If-Match', () => {
  it('If-Match holds if it is absent', () => {
    expect(holds({}, 3)).toBe(true)
  })

  it.each([
    '"3"',
    ' "3" ',
    '"1", "3"',
    '"1","3","5"',
    'W/"1", "3"',
    '*',
    ' * ',
    '"a,b", "3"',
    '"3",',
    ',"3"',
    ' , ,"2",,\t, "3" , ',
    '"\xff", "3"',
  ])('If-Match %s holds for version 3', (header) => {
    expect(holds({ ifMatch: parseEntityTags(header) ?? [] }, 3)).toBe(true)
  })

  it.each(['"2"', '"33"', '"03"', '"1", "2"', '""', '"*"', 'W/"3"', 'W/"3", "4"', '"3,4"'])(
    'If-Match %s is well-formed and does not hold for version 3',
    (header) => {
      const ifMatch = parseEntityTags(header)
      expect(ifMatch).toBeDefined()
      expect(holds({ ifMatch: ifMatch ?? '*' }, 3)).toBe(false)
    },
  )
})

it('the refusal of a weak entity tag in If-Match says how to send it', () => {
  const check = (header: string) => () => checkPreconditions({ ifMatch: parseEntityTags(header) ?? [] }, 3)
  const hint =
    /^If-Match: the current entity tag is "3"; a weak entity tag never matches, so send it without W\/, or send `version` /
  expect(check('W/"3"')).toThrow(hint)
  expect(check('"1", W/"2"')).toThrow(hint)
  expect(check('"2"')).toThrow(/^If-Match: the current entity tag is "3"$/)
})

it.each([
  '3',
  "'3'",
  '',
  ' ',
  ',',
  ', ,',
  '"3',
  '3"',
  '"3 "',
  'W/3',
  'w/"3"',
  'W/ "3"',
  'x"3"',
  '3"3"',
  '"3" "4"',
  '"3""4"',
  '"3";"4"',
  '*, "3"',
  '"3", *',
  '*,',
  '**',
  '"3", 4',
])('the header %j is not a list of entity tags', (header) => {
  expect(parseEntityTags(header)).toBeUndefined()
})

describe('If-None-Match', async () => {
  const app = createRouter().use(requestContext({ timeoutMs: 5_000, logger: await quiet }))
  app.get('/thing', (c) => (notModified(c, etag(3)) ? c.body(null, 304) : c.json('thing')))
  const get = async (header?: string) =>
    app.request('/thing', { headers: header === undefined ? {} : { 'if-none-match': header } })

  it.each(['"3"', '"1", "3"', '"3",', ', "1",,W/"3" ,', '*', 'W/"3"', 'W/"1",W/"3"'])(
    'If-None-Match %s gets 304 for version 3',
    async (header) => {
      const answer = await get(header)
      expect(answer.status).toBe(304)
      expect(answer.headers.get('etag')).toBe('"3"')
      expect(await answer.text()).toBe('')
    },
  )

  it.each([undefined, '"2"', 'W/"2"', '3', '', '"33"', '*, "3"', '"3'])(
    'If-None-Match %s gets 200 with the ETag for version 3',
    async (header) => {
      const answer = await get(header)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('etag')).toBe('"3"')
    },
  )
})

describe('If-None-Match of a write', () => {
  it.each(['*', '"3"', 'W/"3"', '"1", "3"', ',"3",'])(
    'If-None-Match %s of a write does not hold for version 3',
    (header) => {
      expect(holds({ ifNoneMatch: parseEntityTags(header) ?? [] }, 3)).toBe(false)
    },
  )

  it.each(['"2"', 'W/"2"', '"33"', '""'])('If-None-Match %s of a write holds for version 3', (header) => {
    expect(holds({ ifNoneMatch: parseEntityTags(header) ?? '*' }, 3)).toBe(true)
  })

  it('If-None-Match of a write is checked after If-Match', () => {
    const conditions = { ifMatch: ['"2"'], ifNoneMatch: '*' } as const
    expect(() => checkPreconditions(conditions, 3)).toThrow(/^If-Match: /)
    expect(() => checkPreconditions({ ...conditions, ifMatch: ['"3"'] }, 3)).toThrow(/^If-None-Match: /)
  })
})

it.each<[Preconditions, boolean]>([
  [{}, false],
  [{ ifMatch: '*' }, false],
  [{ ifNoneMatch: '*' }, false],
  [{ ifMatch: ['"3"'] }, true],
  [{ ifNoneMatch: ['"3"'] }, true],
  [{ ifMatch: '*', ifNoneMatch: ['"3"'] }, true],
])('the conditions %j name a version: %s', (conditions, expected) => {
  expect(dependOnVersion(conditions)).toBe(expected)
})
