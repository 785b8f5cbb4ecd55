import { describe, expect, it } from 'vitest'
import { id, idempotencyKey, limit, money, text, timestamp, visiblePattern } from './schemas.ts'

const messages = (result: { error?: { issues: { message: string }[] } | undefined }) =>
  result.error?.issues.map((issue) => issue.message) ?? []

describe('the schema of an amount', () => {
  const price = money(100_000_000)

  it.each([
    [0, 0],
    [0.01, 1],
    [0.1, 10],
    [19.99, 1999],
    [4.35, 435],
    [99_999_999.99, 9_999_999_999],
    [100_000_000, 10_000_000_000],
  ])('the amount %d is parsed to %d minor units', (amount, minorUnits) => {
    expect(price.parse(amount)).toBe(minorUnits)
  })

  it.each([19.999, 0.001, 1e-7, 0.1 + 0.2, 1.005])(
    'the amount %d is refused and not rounded, because it has more than two decimal places',
    (amount) => {
      expect(messages(price.safeParse(amount))).toEqual(['must have at most two decimal places'])
    },
  )

  it.each([-0.01, -1, 100_000_000.01, 1e21, Number.MAX_SAFE_INTEGER])(
    'the amount %d is refused, because it is out of bounds',
    (amount) => {
      expect(price.safeParse(amount).success).toBe(false)
    },
  )

  it.each([Number.NaN, Number.POSITIVE_INFINITY, '19.99', '', null, undefined, true, [1], 1n])(
    'the amount %s is refused, because it is not a number',
    (value) => {
      expect(price.safeParse(value).success).toBe(false)
    },
  )
})

describe('the schema of a text', () => {
  const name = text(1, 5)
  const wellFormed = 'must be well-formed Unicode without NUL'
  const bounds = 'must have 1 to 5 characters, at least one of them visible'

  it.each(['a', 'abcde', ' a ', 'Ünïcö', '日本語', 'a\nb'])(
    'the text "%s" is accepted unchanged',
    (value) => {
      expect(name.parse(value)).toBe(value)
    },
  )

  it('the length of a text is counted in code points, not in UTF-16 units', () => {
    expect(name.parse('😀😀😀😀😀')).toBe('😀😀😀😀😀')
    expect(messages(name.safeParse('😀😀😀😀😀😀'))).toEqual([bounds])
  })

  it.each(['', ' ', '\t\n ', '\u00a0\u2003', 'abcdef'])(
    'the text "%s" is refused, because it is empty, blank or too long',
    (value) => {
      expect(messages(name.safeParse(value))).toEqual([bounds])
    },
  )

  it.each([
    ['zero-width characters', '\u200b\u200c\u200d'],
    ['word joiners', '\u2060\ufeff'],
    ['soft hyphens', '\u00ad'],
    ['a Mongolian vowel separator', '\u180e'],
    ['Hangul fillers', '\u115f\u1160\u3164\uffa0'],
    ['blank Braille', '\u2800'],
    ['variation selectors', '\ufe0f\u{e0100}'],
    ['tags', '\u{e0041}\u{e007f}'],
    ['direction marks', '\u202e\u2066\u200f\u061c'],
    ['a grapheme joiner', '\u034f'],
    ['control characters', '\u0001\u001b\u007f\u0085'],
    ['invisible operators', '\u2061\u2064'],
    ['musical format characters', '\u{1d173}'],
    ['annotation marks', '\ufff9\ufffb'],
    ['white space between invisible characters', '\u200b \u3000\u2060'],
  ])('a text of %s alone is refused as blank', (_what, value) => {
    expect(messages(name.safeParse(value))).toEqual([bounds])
    expect(text(1, 9).parse(`${value}é`)).toBe(`${value}é`)
    expect(text(0, 5).parse(value)).toBe(value)
  })

  it.each(['👩\u200d🔬', 'א\u200fב', 'می\u200cخو', '\u202eabc', '\u0301', '-', '\u{1f9ff}'])(
    'the text %j is accepted unchanged, because it has a visible character',
    (value) => {
      expect(name.parse(value)).toBe(value)
    },
  )

  it('the pattern of a text in the OpenAPI document agrees with the check up to U+FFFF', () => {
    const described = new RegExp(visiblePattern, 'u')
    const differs = Array.from({ length: 0x10000 }, (_, code) => code)
      .filter((code) => code > 0 && (code < 0xd800 || code > 0xdfff))
      .map((code) => String.fromCharCode(code))
      .filter((character) => described.test(character) !== name.safeParse(character).success)
    expect(differs.map((character) => character.charCodeAt(0).toString(16))).toEqual([])
  })

  it.each(['\ud83d', 'a\ude00', '\ude00\ud83d', 'a\0', '\0'])(
    'the text %j is refused, because it is not well-formed Unicode without NUL',
    (value) => {
      expect(messages(name.safeParse(value))).toContain(wellFormed)
    },
  )

  it('a blank text is accepted where an empty one is', () => {
    expect(text(0, 5).parse('')).toBe('')
    expect(text(0, 5).parse('  ')).toBe('  ')
    expect(messages(text(0, 5).safeParse('abcdef'))).toEqual(['must have 0 to 5 characters'])
    expect(text(0, 5).safeParse('\0').success).toBe(false)
  })
})

describe('the schema of an id', () => {
  it('an id of 24 lower-case hex digits is accepted', () => {
    expect(id.parse('0123456789abcdef01234567')).toBe('0123456789abcdef01234567')
  })

  it.each([
    '',
    '0123456789abcdef0123456',
    '0123456789abcdef012345678',
    '0123456789ABCDEF01234567',
    '0123456789abcdef0123456g',
    '0123456789abcdef01234567\n',
    ' 0123456789abcdef01234567',
  ])('the id %j is refused', (value) => {
    expect(id.safeParse(value).success).toBe(false)
  })
})

describe('the schema of a limit', () => {
  it.each([
    ['1', 1],
    ['20', 20],
    ['100', 100],
  ])('the limit %s is parsed to %d', (value, expected) => {
    expect(limit.parse(value)).toBe(expected)
  })

  it.each(['0', '101', '-1', '1.5', '01', '', 'all', '1e2', ' 1', '1000'])(
    'the limit "%s" is refused',
    (value) => {
      expect(messages(limit.safeParse(value))).toEqual(['must be an integer from 1 to 100'])
    },
  )
})

describe('the schema of an idempotency key', () => {
  it.each(['a', 'basket-4711', '!~', 'x'.repeat(255)])('the idempotency key %s is accepted', (value) => {
    expect(idempotencyKey.parse(value)).toBe(value)
  })

  it.each(['', 'a b', 'a\t', 'ä', '\u007f', 'x'.repeat(256), 'a\n'])(
    'the idempotency key %j is refused',
    (value) => {
      expect(idempotencyKey.safeParse(value).success).toBe(false)
    },
  )
})

it('a time is accepted only in ISO 8601, in UTC and with milliseconds', () => {
  expect(timestamp.safeParse(new Date(0).toISOString()).success).toBe(true)
  for (const value of [
    '1970-01-01T00:00:00Z',
    '1970-01-01T00:00:00.000',
    '1970-01-01T00:00:00.000+01:00',
    '0',
  ]) {
    expect(timestamp.safeParse(value).success, value).toBe(false)
  }
})

it('the amount minus zero is parsed to zero minor units', () => {
  expect(Object.is(money(100).parse(-0), 0)).toBe(true)
})
