import { describe, expect, it } from 'vitest'
import { isDomainError } from '#kernel/errors.ts'
import type { Json } from '#test/support/client.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { maxBodyValues, readJson } from './json-body.ts'
import { problemResponse } from './problem-documents.ts'
import { requestContext } from './request-context.ts'
import { createRouter } from './router.ts'

const router = createRouter().use(requestContext({ timeoutMs: 5_000, logger: await quiet }))
router.post('/', async (c) => c.json(await readJson(c)))
router.onError((error, c) => {
  if (isDomainError(error)) return problemResponse(c, error)
  throw error
})

async function read(
  body: string | Uint8Array<ArrayBuffer> | undefined,
  headers: Record<string, string> = {},
) {
  const request = new Request('http://localhost/', { method: 'POST', ...(body !== undefined && { body }) })
  request.headers.delete('content-type')
  for (const [name, value] of Object.entries({ 'content-type': 'application/json', ...headers })) {
    if (value !== '-') request.headers.set(name, value)
  }
  const answer = await router.request(request)
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Json }
}

describe('a Content-Type', () => {
  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'application/json ; charset=utf-8',
    'application/json\t;charset=utf-8',
    'application/json;',
    'application/json; ;',
    'application/json;odata.metadata=minimal',
    'application/json; a_b=c',
    'application/json;profile="a;b"',
    'application/json;profile="a\\";b";charset=UTF-8',
    'application/json;charset="utf-8"',
    'application/json;charset=UTF8',
    'Application/JSON;CharSet=Utf-8',
  ])('the Content-Type %s is accepted', async (type) => {
    expect(await read('{"a":1}', { 'content-type': type })).toMatchObject({
      status: 200,
      body: { value: { a: 1 }, isComplete: true },
    })
  })

  it.each([
    '-',
    '',
    ';',
    'application/',
    'application',
    'json',
    '/json',
    'application/jsonx',
    'application/json x',
    'application/json/x',
    'application/json, text/plain',
    'application/json, application/json',
    'application/json;charset',
    'application/json;a="b',
    'application/problem+json',
    'application/ld+json',
    'application/merge-patch+json',
    'application/*',
    '*/*',
    'text/json',
    'text/plain',
    'text/plain; application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
  ])('the Content-Type %s gets 415', async (type) => {
    const answer = await read('{"a":1}', { 'content-type': type })
    expect(answer).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type', detail: 'Content-Type: must be application/json' },
    })
  })

  it.each(['iso-8859-1', 'us-ascii', 'utf-16', 'utf-7', '"latin1"', 'utf-8x', '""'])(
    'a Content-Type with the charset %s gets 415, which names utf-8',
    async (charset) => {
      const answer = await read('{"a":1}', { 'content-type': `application/json;charset=${charset}` })
      expect(answer).toMatchObject({ status: 415, body: { detail: expect.stringContaining('utf-8') } })
    },
  )

  it('the Content-Type may be missing if there is no body', async () => {
    for (const body of [undefined, '']) {
      expect(await read(body, { 'content-type': '-' })).toMatchObject({ status: 200, body: { value: {} } })
    }
  })
})

describe('a Content-Encoding', () => {
  it.each(['identity', 'Identity', 'identity, identity', '', ' , ,'])(
    'the Content-Encoding %j is accepted',
    async (coding) => {
      expect((await read('{}', { 'content-encoding': coding })).status).toBe(200)
    },
  )

  it.each(['gzip', 'br', 'deflate', 'zstd', 'identity, gzip', 'gzip, identity', 'unknown', 'GZIP', ',gzip,'])(
    'the Content-Encoding %s gets 415, and Accept-Encoding names identity',
    async (coding) => {
      const answer = await read('{}', { 'content-encoding': coding })
      expect(answer).toMatchObject({
        status: 415,
        body: { code: 'unsupported_media_type', detail: expect.stringMatching(/^Content-Encoding: /) },
      })
      expect(answer.headers.get('accept-encoding')).toBe('identity')
    },
  )
})

describe('the encoding of a body', () => {
  const inString = (...bytes: number[]) =>
    new Uint8Array([...Buffer.from('{"a":"'), ...bytes, ...Buffer.from('"}')])

  it.each([
    ['a byte of ISO-8859-1', [0xe9]],
    ['a byte that begins no character', [0xff]],
    ['an overlong form', [0xc0, 0x80]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a code point over the last one', [0xf4, 0x90, 0x80, 0x80]],
    ['an incomplete character', [0xe2, 0x82]],
    ['a continuation byte alone', [0x80]],
  ])('a body with %s gets 400', async (_, bytes) => {
    expect(await read(inString(...bytes))).toMatchObject({
      status: 400,
      body: { code: 'malformed_json', detail: expect.stringContaining('UTF-8') },
    })
  })

  it.each(['utf16le', 'latin1'] as const)('a body in the encoding %s gets 400', async (encoding) => {
    const body = new Uint8Array(Buffer.from('{"a":"é"}', encoding))
    expect((await read(body)).body).toMatchObject({ status: 400, code: 'malformed_json' })
  })

  it('a body may have any character, including the replacement character', async () => {
    const a = 'é€😀\ufffd'
    expect((await read(JSON.stringify({ a }))).body).toEqual({ value: { a }, isComplete: true })
  })

  it('a body may begin with a byte order mark, but not end with one', async () => {
    expect((await read('\ufeff{"a":1}')).body).toEqual({ value: { a: 1 }, isComplete: true })
    expect((await read('{"a":1}\ufeff')).status).toBe(400)
  })
})

describe('a body of many values', () => {
  const entries = (count: number, entry = '0') => Array(count).fill(entry).join(',')

  it('a body with fewer values than the maximum is read completely', async () => {
    const { body } = await read(`[${entries(maxBodyValues - 1)}]`)
    expect(body).toMatchObject({ isComplete: true })
    expect(body.value).toHaveLength(maxBodyValues - 1)
  })

  it.each([
    ['a list', `[${entries(100_000)}]`],
    ['fields', `{${Array.from({ length: 50_000 }, (_, at) => `"${at}":{}`).join(',')}}`],
    ['one repeated field', `{${entries(50_000, '"a":1')}}`],
    ['nested lists', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['nested objects', `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['strings with brackets', `[${entries(1_000, '"]}\\"]"')}]`],
    ['a list with white space around it', `  [${entries(1_000)} \n]\n\t `],
  ])('a body with more values than the maximum is read up to the maximum: %s', async (_, text) => {
    const { status, body } = await read(text)
    expect(status).toBe(200)
    expect(body.isComplete).toBe(false)
    expect(valuesIn(body.value)).toBeLessThanOrEqual(maxBodyValues)
    expect(valuesIn(body.value)).toBeGreaterThan(1)
  })

  it.each([
    ['is truncated', `[${entries(100_000)}`],
    ['is truncated in a string', `[${entries(100_000)},"]`.slice(0, -1)],
    ['closes none of its brackets', '['.repeat(500_000)],
    ['is malformed before the maximum', `[01,${entries(100_000)}]`],
    ['closes a bracket that it has not opened', `]${entries(100_000)}]`],
    ['closes another bracket than it has opened', `{${entries(100_000)}]`],
  ])('a body of many values gets 400 malformed_json if it %s', async (_, text) => {
    expect(await read(text)).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
  })

  it('commas and brackets in strings do not count as values', async () => {
    const a = ',[{'.repeat(100_000)
    expect((await read(JSON.stringify({ a, b: '"\\', c: a }))).body).toEqual({
      value: { a, b: '"\\', c: a },
      isComplete: true,
    })
  })
})

/** The number of all values in the value, including the value itself. */
const valuesIn = (value: unknown): number =>
  typeof value === 'object' && value !== null
    ? Object.values(value).reduce((sum: number, each) => sum + valuesIn(each), 1)
    : 1
