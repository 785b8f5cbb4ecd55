import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import {
  type BodyPointers,
  type Operation,
  pointersInBody,
  withValue,
} from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import { requestText, sendRaw } from '#test/support/raw-http.ts'
import { storedHashes } from '#test/support/stored-documents.ts'
import {
  type DescribedApi,
  describeApi,
  escapeRegExp,
  expectRefused,
  operators,
  unknownFields,
} from './described-api.ts'

const hasBody = ({ requestBody }: Operation) => requestBody !== undefined

/** Bodies that do not match the API description are refused and have no effect. */
export function bodyInputSuite(deployment: () => Deployment, extent: { oneOfEachModule: boolean }) {
  let api: DescribedApi
  beforeAll(async () => {
    api = await describeApi(deployment(), extent)
  })

  const pointersOf = (operation: Operation): BodyPointers => pointersInBody(api.document, operation)

  it('the OpenAPI document describes every field of each request body', () => {
    const all = api.operations
      .filter(hasBody)
      .map((operation): [string, string[]] => [operation.name, pointersOf(operation).values])
    expect(Object.fromEntries(all)).toMatchObject({
      'POST /login': ['/email', '/password', '/username'],
      'POST /orders': [
        '/productList',
        '/productList/0',
        '/productList/0/productId',
        '/productList/0/quantity',
      ],
    })
    for (const [name, values] of all) expect(values.length, name).toBeGreaterThan(0)
  })

  it('a body is refused if a query operator replaces the value of any field', async () => {
    await api.forEachOperation(hasBody, async (operation) => {
      const valid = await api.make(operation)
      await api.expectNoChange(operation.name, async () => {
        for (const pointer of pointersOf(operation).values) {
          for (const operator of operators) {
            const body = withValue(valid.body, pointer, operator)
            const label = `${operation.name} ${pointer} ${JSON.stringify(operator)}`
            expectRefused(await api.ask(operation, { ...valid, body }), new RegExp(`^${pointer}(/|$)`), label)
          }
        }
      })
    })
  })

  it('a body is refused if any object in it has an undescribed field', async () => {
    await api.forEachOperation(hasBody, async (operation) => {
      const valid = await api.make(operation)
      await api.expectNoChange(operation.name, async () => {
        for (const pointer of pointersOf(operation).objects) {
          // The user of an order comes from the token, never from the body.
          const names =
            pointer === '' ? [...unknownFields, 'userId', 'orderId', 'status', 'totalAmount'] : unknownFields
          for (const name of names.filter(
            (name) => !pointersOf(operation).values.includes(`${pointer}/${name}`),
          )) {
            for (const value of ['admin', { $gt: '' }]) {
              const body = withValue(valid.body, `${pointer}/${name}`, value)
              const label = `${operation.name} ${pointer}/${name}`
              expectRefused(
                await api.ask(operation, { ...valid, body }),
                new RegExp(`^${escapeRegExp(`${pointer}/${name}`)}$`),
                label,
              )
            }
          }
        }
      })
    })
  })

  it('a body that is nested 100,000 levels deep is refused with a validation error', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    const deeper = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    await api.forEachOperation(hasBody, async (operation) => {
      const { path, body = {} } = await api.make(operation)
      await api.expectNoChange(operation.name, async () => {
        const token = api.people.boss.token
        const refusal = { status: 400, body: { code: 'validation_failed' } }
        for (const raw of [deep, deeper]) {
          expect(
            await api.shop.request(operation.method, path, { token, raw }),
            operation.name,
          ).toMatchObject(refusal)
        }
        for (const field of Object.keys(body)) {
          const raw = JSON.stringify({ ...body, [field]: 'DEEP' }).replace('"DEEP"', deep)
          const answer = await api.shop.request(operation.method, path, { token, raw })
          expect(answer, `${operation.name} ${field}`).toMatchObject(refusal)
        }
        const open = await api.shop.request(operation.method, path, { token, raw: '['.repeat(500_000) })
        expect(open, operation.name).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
      })
    })
  })

  it('a body is refused with malformed_json if a name, a value or all of it is not UTF-8', async () => {
    const bytes = (text: string, encoding: BufferEncoding) => new Uint8Array(Buffer.from(text, encoding))
    await api.forEachOperation(hasBody, async (operation) => {
      const { path, body = {} } = await api.make(operation)
      const raws = Object.keys(body).flatMap((field) => [
        bytes(JSON.stringify({ ...body, [field]: 'caf\u00e9' }), 'latin1'),
        bytes(JSON.stringify({ ...body, [`caf\u00e9${field}`]: 1 }), 'latin1'),
        bytes(JSON.stringify(body), 'utf16le'),
      ])
      await api.expectNoChange(operation.name, async () => {
        for (const raw of raws) {
          const answer = await api.shop.request(operation.method, path, { token: api.people.boss.token, raw })
          expect(answer, operation.name).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
        }
      })
    })
  })

  it('sign-in accepts no other password in place of one with U+FFFD: lone surrogates, NUL, invalid bytes', async () => {
    const username = `u-${randomUUID().slice(0, 8)}`
    const account = { username, email: `${username}@example.com` }
    const password = 'staple h\ufffdrse battery 9'
    for (const other of ['staple h\ud83drse battery 9', 'staple h\0rse battery 9']) {
      expectRefused(
        await api.shop.post('/register', { body: { ...account, password: other } }),
        /^\/password$/,
        JSON.stringify(other),
      )
    }
    expect((await api.shop.post('/register', { body: { ...account, password } })).status).toBe(201)
    const signIn = (raw: string | Buffer<ArrayBuffer>) =>
      api.shop.post('/login', { raw: new Uint8Array(Buffer.from(raw)) })
    const attempt = JSON.stringify({ username, password })
    expect((await signIn(attempt)).status).toBe(200)
    for (const written of ['\\ud83d', '\\ude00', '\\u0000', '\\ufffd\\u0000']) {
      const answer = await signIn(attempt.replace('\ufffd', written))
      expect(answer, written).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
    }
    const latin1 = Buffer.from(attempt.replace('\ufffd', '\u00ff'), 'latin1')
    expect(await signIn(latin1)).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
  })

  it('a body is refused with 415 unless it is uncompressed JSON in UTF-8', async () => {
    await api.forEachOperation(hasBody, async (operation) => {
      const valid = await api.make(operation)
      await api.expectNoChange(operation.name, async () => {
        const wrong: Record<string, string>[] = [
          { 'Content-Type': 'text/plain' },
          { 'Content-Type': 'application/problem+json' },
          { 'Content-Type': 'application/json, text/plain' },
          { 'Content-Type': 'application/json; charset=iso-8859-1' },
          { 'Content-Encoding': 'gzip' },
          { 'Content-Encoding': 'identity, br' },
        ]
        for (const headers of wrong) {
          const answer = await api.ask(operation, valid, headers)
          expect(answer, `${operation.name} ${JSON.stringify(headers)}`).toMatchObject({
            status: 415,
            body: {
              code: 'unsupported_media_type',
              detail: expect.stringContaining(`${Object.keys(headers)[0]}: `),
            },
          })
        }
      })
      const forms = {
        'Content-Type': 'Application/JSON ;charset="UTF-8"; profile="a;b";',
        'Content-Encoding': ', identity',
      }
      expect((await api.ask(operation, valid, forms)).status, operation.name).toBeLessThan(300)
    })
  })

  it('a body is refused with 415 if Content-Type is missing, empty or given twice', async () => {
    const body = JSON.stringify({ username: 'nobody', password: 'x' })
    const length = `Content-Length: ${body.length}`
    for (const types of [
      ['Content-Type: application/json', 'Content-Type: application/json'],
      ['Content-Type: application/json', 'Content-Type: text/plain'],
      ['Content-Type:'],
      [],
    ]) {
      const head = ['POST /login HTTP/1.1', 'Host: shop.example', 'Connection: close', length, ...types]
      const answer = await sendRaw(api.shop.url, `${head.join('\r\n')}\r\n\r\n${body}`)
      expect(answer, types.join()).toMatchObject({
        status: 415,
        body: expect.stringContaining('unsupported_media_type'),
      })
    }
  })

  it('a refusal lists all errors of the body, the path and the query at once', async () => {
    const named = async (method: string, path: string, body: object) => {
      const answer = await api.shop.request(method, path, { token: api.people.boss.token, body })
      expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
      return answer.body.errors.map(
        (fault: Record<string, string>) => `${fault.pointer ?? fault.parameter}: ${fault.message}`,
      )
    }
    const eitherName = ': must have either email or username, and not both'
    const noPassword = '/password: is required, and must be a string'
    expect(await named('POST', '/login', {})).toEqual([noPassword, eitherName])
    expect(await named('POST', '/login', { pasword: 'x' })).toEqual([
      noPassword,
      '/pasword: is not a field of this request; did you mean password?',
      eitherName,
    ])
    expect(await named('POST', '/register', {})).toHaveLength(3)
    const { productId } = await api.shop.product(api.people.boss.token)
    expect(await named('POST', `/products/${productId}/stock`, { quantity: 5 })).toEqual([
      '/change: is required, and must be an integer',
      '/quantity: is not a field of this request; did you mean change?',
    ])
    expect(await named('PUT', `/products/${productId}`, { prise: 3 })).toEqual([
      '/prise: is not a field of this request; did you mean price?',
      ': must have at least one of name, description, price, stock',
    ])
    expect(await named('PUT', '/products/nothing?force=1', { price: -1, stock: 0.5 })).toEqual([
      'id: must be an id: 24 lower-case hex digits',
      'force: must be left out: this request has no query parameters',
      '/price: must be at least 0',
      '/stock: must be an integer',
    ])
  })

  it('a refusal lists at most 20 errors, and an error among many values is found', async () => {
    const fields = Array.from({ length: 100_000 }, (_, at) => `"${at.toString(36)}":0`).join()
    const token = api.people.ada.token
    const many = await api.shop.post('/login', { raw: `{${fields}}` })
    expect(many).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
    expect(many.body.errors).toHaveLength(20)
    expect(many.body.errorCount).toBeGreaterThan(20)
    const line = { productId: '0'.repeat(24), quantity: 1 }
    expectRefused(await api.shop.order(token, Array(2_000).fill(line)), /^\/productList$/, '2,000 lines')
    const again = '"productList":[],'.repeat(10_000)
    const order = JSON.stringify({ productList: [line] }).slice(1)
    expectRefused(
      await api.shop.post('/orders', { token, raw: `{${again}${order}` }),
      /^(\/productList)?$/,
      'a field 10,000 times',
    )
  })

  it('the last value of a key that occurs twice in a body is validated and used', async () => {
    const token = api.people.ada.token
    const { productId } = await api.shop.product(api.people.boss.token)
    const order = (quantities: string) =>
      api.shop.post('/orders', {
        token,
        raw: `{"productList":[{"productId":"${productId}",${quantities}}]}`,
      })
    const before = await storedHashes(api.shop)
    expectRefused(await order('"quantity":1,"quantity":{"$gt":0}'), /quantity$/, 'the last is an operator')
    expectRefused(await order('"quantity":1,"quantity":-1'), /quantity$/, 'the last is negative')
    expect(await storedHashes(api.shop)).toEqual(before)
    const placed = await order('"quantity":{"$gt":0},"quantity":2')
    expect(placed).toMatchObject({ status: 201, body: { productList: [{ productId, quantity: 2 }] } })
    expect((await api.shop.get(`/products/${productId}`)).body.stock).toBe(8)
  })

  it('a body over 1 MiB is refused with 413, announced or chunked, and an order over 100 lines with 400', async () => {
    const { productId } = await api.shop.product(api.people.boss.token, { stock: 1_000 })
    const token = api.people.ada.token
    await api.expectNoChange('an oversized body', async () => {
      const lines = (count: number) => Array.from({ length: count }, () => ({ productId, quantity: 1 }))
      const order = await api.shop.order(token, lines(101))
      expectRefused(order, /^\/productList$/, '101 lines')
      const long = JSON.stringify({ productList: lines(20_000) })
      expect(long.length).toBeGreaterThan(1024 * 1024)
      const authorization = { Authorization: `Bearer ${token}` }
      const announced = await sendRaw(api.shop.url, requestText('POST', '/orders', authorization, long))
      expect(announced).toMatchObject({ status: 413, body: expect.stringContaining('body_too_large') })
      const chunks = [long.slice(0, 600_000), long.slice(600_000)]
      const chunked = await sendRaw(
        api.shop.url,
        requestText('POST', '/orders', {
          ...authorization,
          'Content-Type': 'application/json',
          'Transfer-Encoding': 'chunked',
        }),
        ...chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`),
        '0\r\n\r\n',
      )
      expect(chunked).toMatchObject({ status: 413, body: expect.stringContaining('body_too_large') })
    })
    expect(
      (
        await api.shop.order(
          token,
          Array.from({ length: 100 }, () => ({ productId, quantity: 1 })),
        )
      ).status,
    ).toBe(201)
  })
}
