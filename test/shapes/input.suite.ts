import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Answer, Json } from '#test/support/client.ts'
import {
  type BodyPointers,
  type Operation,
  operationsOf,
  pointersInBody,
  withValue,
} from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import { requestText, sendRaw } from '#test/support/raw-http.ts'
import { storedDocuments } from '#test/support/stored-documents.ts'
import {
  createPeople,
  type OperationName,
  type People,
  type ValidRequest,
  validRequests,
} from '#test/support/valid-requests.ts'

/** What a document database would take for more than a value. */
const operators: unknown[] = [
  { $gt: '' },
  { $ne: null },
  { $where: '1' },
  { $regex: '.*' },
  { 'a.b': 1 },
  JSON.parse('{"__proto__":{"role":"admin"}}'),
  ['x'],
  [{ $gt: '' }],
]

/** Names of fields that no request has. */
const strangers = [
  'unknown',
  'role',
  '_id',
  '$where',
  '$set',
  'a.b',
  '',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
]

/** What clients send that is not what the document describes: refused, and without any effect. */
export function inputSuite(deployment: () => Deployment) {
  describe('input', () => {
    let shop: Deployment
    let people: People
    let document: Json
    let operations: Operation[]
    beforeAll(async () => {
      shop = deployment()
      people = await createPeople(shop)
      document = (await shop.get('/openapi.json')).body
      operations = operationsOf(document)
    })

    const make = async ({ name }: Operation): Promise<ValidRequest> =>
      validRequests[name as OperationName](shop, people, people.boss)

    const ask = ({ method }: Operation, { path, body }: ValidRequest, headers: Record<string, string> = {}) =>
      shop.request(method, path, { token: people.boss.token, body, headers })

    /** The request is refused, and for what is named, not for something else that is wrong with it. */
    function expectRefused({ status, body }: Answer, what: RegExp, label: string) {
      expect({ status, code: body.code }, label).toEqual({ status: 400, code: 'validation_failed' })
      const named = body.errors.map((fault: Record<string, string>) => fault.pointer ?? fault.parameter)
      expect(named, label).toContainEqual(expect.stringMatching(what))
      for (const { message } of body.errors) {
        expect(message, label).toMatch(/^(must |is required, and must |is not a (field|parameter) of )/)
      }
    }

    /** Of every operation with one of these; nothing of the databases may change while it is asked. */
    async function ofEach(
      which: (operation: Operation) => boolean,
      work: (operation: Operation) => Promise<void>,
    ) {
      const some = operations.filter(which)
      expect(some.length).toBeGreaterThan(0)
      for (const operation of some) await work(operation)
    }
    const changingNothing = async (label: string, work: () => Promise<void>) => {
      const before = await storedDocuments(shop)
      await work()
      expect(await storedDocuments(shop), label).toEqual(before)
    }

    const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    const hasBody = ({ requestBody }: Operation) => requestBody !== undefined
    const isForOperators = ({ tags }: Operation) => tags.includes('Operations')

    describe('in bodies', () => {
      const places = (operation: Operation): BodyPointers => pointersInBody(document, operation)

      it('is described down to every field', () => {
        const all = operations
          .filter(hasBody)
          .map((operation): [string, string[]] => [operation.name, places(operation).values])
        expect(Object.fromEntries(all)).toMatchObject({
          'POST /login': ['/email', '/username', '/password'],
          'POST /orders/create_order': [
            '/productList',
            '/productList/0',
            '/productList/0/productId',
            '/productList/0/quantity',
          ],
        })
        for (const [name, values] of all) expect(values.length, name).toBeGreaterThan(0)
      })

      it('is refused where an operator stands for a value, whatever field it is', async () => {
        await ofEach(hasBody, async (operation) => {
          const valid = await make(operation)
          await changingNothing(operation.name, async () => {
            for (const pointer of places(operation).values) {
              for (const operator of operators) {
                const body = withValue(valid.body, pointer, operator)
                const label = `${operation.name} ${pointer} ${JSON.stringify(operator)}`
                expectRefused(await ask(operation, { ...valid, body }), new RegExp(`^${pointer}(/|$)`), label)
              }
            }
          })
        })
      })

      it('is refused with a field that is not described, in whatever object it is', async () => {
        await ofEach(hasBody, async (operation) => {
          const valid = await make(operation)
          await changingNothing(operation.name, async () => {
            for (const pointer of places(operation).objects) {
              // Whose it is is the token's to say.
              const names =
                pointer === '' ? [...strangers, 'userId', 'orderId', 'status', 'totalAmount'] : strangers
              for (const name of names.filter(
                (name) => !places(operation).values.includes(`${pointer}/${name}`),
              )) {
                for (const value of ['admin', { $gt: '' }]) {
                  const body = withValue(valid.body, `${pointer}/${name}`, value)
                  const label = `${operation.name} ${pointer}/${name}`
                  expectRefused(
                    await ask(operation, { ...valid, body }),
                    new RegExp(`^${escaped(`${pointer}/${name}`)}$`),
                    label,
                  )
                }
              }
            }
          })
        })
      })

      it('is refused in an orderly way when it is nested as deep as a body can be', async () => {
        const deep = '['.repeat(100_000) + ']'.repeat(100_000)
        const deeper = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
        await ofEach(hasBody, async (operation) => {
          const { path, body = {} } = await make(operation)
          await changingNothing(operation.name, async () => {
            const token = people.boss.token
            const orderly = { status: 400, body: { code: 'validation_failed' } }
            for (const raw of [deep, deeper]) {
              expect(
                await shop.request(operation.method, path, { token, raw }),
                operation.name,
              ).toMatchObject(orderly)
            }
            for (const field of Object.keys(body)) {
              const raw = JSON.stringify({ ...body, [field]: 'DEEP' }).replace('"DEEP"', deep)
              const answer = await shop.request(operation.method, path, { token, raw })
              expect(answer, `${operation.name} ${field}`).toMatchObject(orderly)
            }
            const open = await shop.request(operation.method, path, { token, raw: '['.repeat(500_000) })
            expect(open, operation.name).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
          })
        })
      })

      it('is refused where its bytes are not UTF-8, in a name, in a value, or as a whole', async () => {
        const bytes = (text: string, encoding: BufferEncoding) => new Uint8Array(Buffer.from(text, encoding))
        await ofEach(hasBody, async (operation) => {
          const { path, body = {} } = await make(operation)
          const raws = Object.keys(body).flatMap((field) => [
            bytes(JSON.stringify({ ...body, [field]: 'caf\u00e9' }), 'latin1'),
            bytes(JSON.stringify({ ...body, [`caf\u00e9${field}`]: 1 }), 'latin1'),
            bytes(JSON.stringify(body), 'utf16le'),
          ])
          await changingNothing(operation.name, async () => {
            for (const raw of raws) {
              const answer = await shop.request(operation.method, path, { token: people.boss.token, raw })
              expect(answer, operation.name).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
            }
          })
        })
      })

      it('never lets one password do for another: halves of characters, NUL, bytes that are no character', async () => {
        const username = `u-${randomUUID().slice(0, 8)}`
        const account = { username, email: `${username}@example.com` }
        const password = 'staple h\ufffdrse battery 9'
        for (const other of ['staple h\ud83drse battery 9', 'staple h\0rse battery 9']) {
          expectRefused(
            await shop.post('/register', { body: { ...account, password: other } }),
            /^\/password$/,
            JSON.stringify(other),
          )
        }
        expect((await shop.post('/register', { body: { ...account, password } })).status).toBe(201)
        const signIn = (raw: string | Buffer<ArrayBuffer>) =>
          shop.post('/login', { raw: new Uint8Array(Buffer.from(raw)) })
        const attempt = JSON.stringify({ username, password })
        expect((await signIn(attempt)).status).toBe(200)
        for (const written of ['\\ud83d', '\\ude00', '\\u0000', '\\ufffd\\u0000']) {
          const answer = await signIn(attempt.replace('\ufffd', written))
          expect(answer, written).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
        }
        const latin1 = Buffer.from(attempt.replace('\ufffd', '\u00ff'), 'latin1')
        expect(await signIn(latin1)).toMatchObject({ status: 400, body: { code: 'malformed_json' } })
      })

      it('is what its media type says, and not compressed', async () => {
        await ofEach(hasBody, async (operation) => {
          const valid = await make(operation)
          await changingNothing(operation.name, async () => {
            const wrong: Record<string, string>[] = [
              { 'Content-Type': 'text/plain' },
              { 'Content-Type': 'application/problem+json' },
              { 'Content-Type': 'application/json, text/plain' },
              { 'Content-Type': 'application/json; charset=iso-8859-1' },
              { 'Content-Encoding': 'gzip' },
              { 'Content-Encoding': 'identity, br' },
            ]
            for (const headers of wrong) {
              const answer = await ask(operation, valid, headers)
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
          expect((await ask(operation, valid, forms)).status, operation.name).toBeLessThan(300)
        })
      })

      it('is not what two Content-Type lines say, nor none at all', async () => {
        const body = JSON.stringify({ username: 'nobody', password: 'x' })
        const length = `Content-Length: ${body.length}`
        for (const types of [
          ['Content-Type: application/json', 'Content-Type: application/json'],
          ['Content-Type: application/json', 'Content-Type: text/plain'],
          ['Content-Type:'],
          [],
        ]) {
          const head = ['POST /login HTTP/1.1', 'Host: shop.example', 'Connection: close', length, ...types]
          const answer = await sendRaw(shop.url, `${head.join('\r\n')}\r\n\r\n${body}`)
          expect(answer, types.join()).toMatchObject({
            status: 415,
            body: expect.stringContaining('unsupported_media_type'),
          })
        }
      })

      it('is told all that is wrong with it, at once', async () => {
        const named = async (method: string, path: string, body: object) => {
          const answer = await shop.request(method, path, { token: people.boss.token, body })
          expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
          return answer.body.errors.map(
            (fault: Record<string, string>) => `${fault.pointer ?? fault.parameter}: ${fault.message}`,
          )
        }
        const eitherName = ': must name either email or username'
        const noPassword = '/password: is required, and must be a string'
        expect(await named('POST', '/login', {})).toEqual([noPassword, eitherName])
        expect(await named('POST', '/login', { pasword: 'x' })).toEqual([
          noPassword,
          '/pasword: is not a field of this request; did you mean password?',
          eitherName,
        ])
        expect(await named('POST', '/register', {})).toHaveLength(3)
        const { productId } = await shop.product(people.boss.token)
        expect(await named('POST', `/products/${productId}/stock`, { quantity: 5 })).toEqual([
          '/change: is required, and must be an integer',
          '/quantity: is not a field of this request; did you mean change?',
        ])
        expect(await named('PUT', `/products/${productId}`, { prise: 3 })).toEqual([
          '/prise: is not a field of this request; did you mean price?',
          ': must name at least one of name, description, price, stock',
        ])
        expect(await named('PUT', '/products/nothing?force=1', { price: -1, stock: 0.5 })).toEqual([
          'id: must be an id: 24 lower-case hex digits',
          'force: is not a parameter of this request; the parameters are: none',
          '/price: must be at least 0',
          '/stock: must be an integer',
        ])
      })

      it('has at most 20 of its faults listed, and is refused with what many values hide', async () => {
        const fields = Array.from({ length: 100_000 }, (_, at) => `"${at.toString(36)}":0`).join()
        const token = people.ada.token
        const many = await shop.post('/login', { raw: `{${fields}}` })
        expect(many).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
        expect(many.body.errors).toHaveLength(20)
        expect(many.body.errorCount).toBeGreaterThan(20)
        const line = { productId: '0'.repeat(24), quantity: 1 }
        expectRefused(await shop.order(token, Array(2_000).fill(line)), /^\/productList$/, '2,000 lines')
        const again = '"productList":[],'.repeat(10_000)
        const order = JSON.stringify({ productList: [line] }).slice(1)
        expectRefused(
          await shop.post('/orders/create_order', { token, raw: `{${again}${order}` }),
          /^(\/productList)?$/,
          'a field 10,000 times',
        )
      })

      it('counts as it was checked where a key comes twice: the last one, and no other', async () => {
        const token = people.ada.token
        const { productId } = await shop.product(people.boss.token)
        const order = (quantities: string) =>
          shop.post('/orders/create_order', {
            token,
            raw: `{"productList":[{"productId":"${productId}",${quantities}}]}`,
          })
        const before = await storedDocuments(shop)
        expectRefused(
          await order('"quantity":1,"quantity":{"$gt":0}'),
          /quantity$/,
          'the last is an operator',
        )
        expectRefused(await order('"quantity":1,"quantity":-1'), /quantity$/, 'the last is negative')
        expect(await storedDocuments(shop)).toEqual(before)
        const placed = await order('"quantity":{"$gt":0},"quantity":2')
        expect(placed).toMatchObject({ status: 201, body: { productList: [{ productId, quantity: 2 }] } })
        expect((await shop.get(`/products/${productId}`)).body.stock).toBe(8)
      })

      it('has a bound: of bytes, announced or not, and of lines', async () => {
        const { productId } = await shop.product(people.boss.token, { stock: 1_000 })
        const token = people.ada.token
        await changingNothing('too much', async () => {
          const lines = (count: number) => Array.from({ length: count }, () => ({ productId, quantity: 1 }))
          const order = await shop.order(token, lines(101))
          expectRefused(order, /^\/productList$/, '101 lines')
          const long = JSON.stringify({ productList: lines(20_000) })
          expect(long.length).toBeGreaterThan(1024 * 1024)
          const authorization = { Authorization: `Bearer ${token}` }
          const announced = await sendRaw(
            shop.url,
            requestText('POST', '/orders/create_order', authorization, long),
          )
          expect(announced).toMatchObject({ status: 413, body: expect.stringContaining('body_too_large') })
          const chunks = [long.slice(0, 600_000), long.slice(600_000)]
          const chunked = await sendRaw(
            shop.url,
            requestText('POST', '/orders/create_order', {
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
            await shop.order(
              token,
              Array.from({ length: 100 }, () => ({ productId, quantity: 1 })),
            )
          ).status,
        ).toBe(201)
      })
    })

    describe('in queries', () => {
      const parametersOf = ({ parameters = [] }: Operation, where: string) =>
        parameters.filter((each) => each.in === where)
      const withQuery = ({ path, ...valid }: ValidRequest, query: string): ValidRequest => ({
        ...valid,
        path: `${path}?${query}`,
      })

      it('is refused with a parameter that is not described, and named', async () => {
        await ofEach(
          (operation) => !isForOperators(operation),
          async (operation) => {
            const known = parametersOf(operation, 'query').map(({ name }) => name)
            const valid = await make(operation)
            const names = [...strangers, 'userId', 'staus', 'fields', '$or'].filter(
              (name) => name !== '' && !known.includes(name),
            )
            await changingNothing(operation.name, async () => {
              for (const name of [
                ...names,
                ...known.flatMap((each) => [`${each}[$ne]`, `${each}[]`, `${each}.$gt`]),
              ]) {
                const answer = await ask(operation, withQuery(valid, `${encodeURIComponent(name)}=1`))
                expectRefused(answer, new RegExp(`^${escaped(name)}$`), `${operation.name} ?${name}`)
              }
            })
          },
        )
      })

      it('is refused where an operator stands for a value, or a parameter comes twice', async () => {
        await ofEach(
          (operation) => parametersOf(operation, 'query').length > 0,
          async (operation) => {
            const valid = await make(operation)
            for (const { name } of parametersOf(operation, 'query')) {
              for (const value of [
                '{"$gt":""}',
                '[$ne]',
                '{"$where":"1"}',
                '__proto__',
                'constructor',
                '%00',
              ]) {
                const sent = value === '%00' ? value : encodeURIComponent(value)
                const answer = await ask(operation, withQuery(valid, `${name}=${sent}`))
                expectRefused(answer, new RegExp(`^${name}$`), `${operation.name} ?${name}=${value}`)
              }
              const twice = await ask(operation, withQuery(valid, `${name}=1&${name}=1`))
              expectRefused(twice, new RegExp(`^${name}$`), `${operation.name} ?${name} twice`)
            }
          },
        )
      })

      it('is refused with a cursor that was not made here, in whatever place it was changed', async () => {
        await make(operations.find(({ name }) => name === 'GET /orders/{id}') as Operation)
        await make(operations.find(({ name }) => name === 'GET /orders/{id}') as Operation)
        const pages = operations.filter((each) =>
          parametersOf(each, 'query').some(({ name }) => name === 'cursor'),
        )
        expect(pages.length).toBeGreaterThanOrEqual(2)
        for (const operation of pages) {
          const { path } = await make(operation)
          const page = await ask(operation, { path: `${path}?limit=1` })
          const position = JSON.parse(Buffer.from(page.body.nextCursor, 'base64url').toString())
          const forge = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
          const goOn = (value: unknown) => ask(operation, { path: `${path}?limit=1&cursor=${forge(value)}` })
          expect((await goOn(position)).status, operation.name).toBe(200)

          const forged: unknown[] = [null, {}, [], ...operators]
          for (const { pointer, value } of partsOf(position)) {
            if (typeof value !== 'object')
              forged.push(...operators.map((each) => withValue(position, pointer, each)))
            else if (!Array.isArray(value))
              forged.push(...strangers.map((name) => withValue(position, `${pointer}/${name}`, { $gt: '' })))
          }
          expect(forged.length).toBeGreaterThan(30)
          for (const value of forged)
            expectRefused(await goOn(value), /^cursor$/, `${operation.name} ${JSON.stringify(value)}`)
        }
      })
    })

    it.each([
      ['/products/%FF', 'path'],
      ['/products/%', 'path'],
      ['/products/%zz', 'path'],
      ['/products/%C0%AF', 'path'],
      ['/products/%ED%A0%80', 'path'],
      ['/problems/%E9', 'path'],
      ['/nowhere/%FF', 'path'],
      ['/products/%E9?limit=%E9', 'path'],
      ['/products?sort=%FF', 'sort'],
      ['/products?limit=1&cursor=%E2%82', 'cursor'],
      ['/products?limit=1%', 'limit'],
      ['/products?%FF=1', '%FF'],
      ['/healthz?probe=%FF', 'probe'],
    ])('is refused in %s, whose escapes are not UTF-8', async (path, parameter) => {
      const answer = await shop.get(path, { token: people.boss.token })
      expectRefused(answer, new RegExp(`^${parameter}$`), path)
    })

    it('in paths is refused where an operator stands for an id', async () => {
      const ids = [
        '{"$gt":""}',
        '[$ne]',
        '$where',
        'a.b',
        '__proto__',
        'constructor',
        '\0',
        'nothing',
        '*',
        '0'.repeat(23),
        '0'.repeat(25),
      ]
      ids.push(
        '0123456789ABCDEF01234567',
        '0123456789abcdef0123456g',
        '0123456789abcdef01234567\n',
        ' 123456789abcdef01234567',
      )
      await ofEach(
        ({ path }) => path.includes('{id}'),
        async (operation) => {
          const valid = await make(operation)
          await changingNothing(operation.name, async () => {
            for (const id of ids) {
              const path = operation.path.replace('{id}', encodeURIComponent(id))
              expectRefused(await ask(operation, { ...valid, path }), /^id$/, `${operation.name} ${id}`)
            }
          })
        },
      )
      for (const code of ['__proto__', 'constructor', 'toString', '{"$gt":""}']) {
        const answer = await shop.get(`/problems/${encodeURIComponent(code)}`)
        expect(answer, code).toMatchObject({ status: 404, body: { code: 'route_not_found' } })
      }
    })

    describe('in headers', () => {
      it('is a list of quoted entity tags in a precondition of a write, or is refused', async () => {
        const conditional = operations.filter(({ parameters = [] }) =>
          parameters.some(({ name }) => name === 'If-Match'),
        )
        expect(conditional.length).toBeGreaterThanOrEqual(4)
        for (const operation of conditional) {
          for (const name of ['If-Match', 'If-None-Match']) {
            for (const value of [
              '2',
              '"2',
              "'2'",
              'W/2',
              'w/"2"',
              '*, "2"',
              '"2" "3"',
              '',
              ',',
              'caf\u00e9',
            ]) {
              const answer = await ask(operation, await make(operation), { [name]: value })
              const label = `${operation.name} ${name}: ${value}`
              expectRefused(answer, new RegExp(`^${name}$`), label)
              expect(answer.body.errors[0].message, label).toContain('quoted, such as "3"')
            }
          }
        }
      })

      it('keeps a write from happening where a precondition does not hold', async () => {
        const conditional = operations.filter(({ parameters = [] }) =>
          parameters.some(({ name }) => name === 'If-Match'),
        )
        for (const operation of conditional) {
          const valid = await make(operation)
          const { body } = await shop.get(valid.path, { token: people.boss.token })
          const current = `"${body.version}"`
          await changingNothing(operation.name, async () => {
            const failing: Record<string, string>[] = [
              { 'If-None-Match': '*' },
              { 'If-None-Match': current },
              { 'If-None-Match': `W/${current}` },
              { 'If-None-Match': `, "99",,${current} ,` },
              { 'If-Match': '"99"' },
              { 'If-Match': `W/${current}` },
              { 'If-Match': '"99", , "caf\u00e9"' },
              { 'If-Match': current, 'If-None-Match': '*' },
              { 'If-Match': '"99"', 'If-None-Match': '"98"' },
            ]
            for (const headers of failing) {
              const answer = await ask(operation, valid, headers)
              const label = `${operation.name} ${JSON.stringify(headers)}`
              expect(answer, label).toMatchObject({ status: 412, body: { code: 'precondition_failed' } })
            }
          })
          const holding = { 'If-Match': `, ,"99" ,${current},`, 'If-None-Match': '"98",, W/"99"' }
          const answer = await ask(operation, valid, holding)
          expect(answer.status, `${operation.name} ${JSON.stringify(answer.body)}`).toBeLessThan(300)
        }
      })

      it('is one list, in however many lines it comes', async () => {
        const product = await shop.product(people.boss.token)
        const remove = (...lines: string[]) =>
          sendRaw(
            shop.url,
            [
              `DELETE /products/${product.productId} HTTP/1.1`,
              'Host: shop.example',
              'Connection: close',
              `Authorization: Bearer ${people.boss.token}`,
              ...lines,
              '\r\n',
            ].join('\r\n'),
          )
        expect((await remove('If-Match: "7"', 'If-Match: "8"')).status).toBe(412)
        expect((await remove('If-Match: *', 'If-Match: "1"')).status).toBe(400)
        expect((await remove('If-None-Match: "7"', 'If-None-Match: "1"')).status).toBe(412)
        expect((await remove('If-Match: "7"', 'If-Match: "1"')).status).toBe(204)
      })

      it('is refused if it is a key that is not visible ASCII', async () => {
        const keyed = operations.filter(({ parameters = [] }) =>
          parameters.some(({ name }) => name === 'Idempotency-Key'),
        )
        expect(keyed.length).toBeGreaterThanOrEqual(2)
        for (const operation of keyed) {
          const valid = await make(operation)
          await changingNothing(operation.name, async () => {
            for (const key of ['caf\u00e9', '\u00ff', 'a b', 'a, b', 'k'.repeat(256)]) {
              const answer = await ask(operation, valid, { 'Idempotency-Key': key })
              expectRefused(answer, /^Idempotency-Key$/, `${operation.name} ${key}`)
            }
          })
        }
        expect(
          await shop.get('/profile', { headers: { Authorization: 'Bearer \u00ff\u00fe' } }),
        ).toMatchObject({
          status: 401,
          body: { code: 'invalid_token' },
        })
        const { headers } = await shop.get('/healthz', { headers: { 'X-Request-Id': 'caf\u00e9' } })
        expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
      })

      it('is text and nothing else where an operator stands', async () => {
        const described = operations.flatMap((operation) =>
          (operation.parameters ?? [])
            .filter((each) => each.in === 'header')
            .map(({ name }) => ({ operation, name })),
        )
        expect(described.length).toBeGreaterThanOrEqual(12)
        for (const { operation, name } of described) {
          for (const operator of ['{"$gt":""}', '{"$ne":null}', '__proto__', 'constructor']) {
            const label = `${operation.name} ${name}: ${operator}`
            const { status, headers, body } = await ask(operation, await make(operation), {
              [name]: operator,
            })
            // No key is like another. A precondition that cannot be read lets a read pass and refuses a write.
            const isWrite = operation.method !== 'GET'
            const isRefused = isWrite && /^If-(None-)?Match$/.test(name)
            const refused = { status: 400, code: 'validation_failed' }
            if (isRefused) expect({ status, code: body.code }, label).toEqual(refused)
            else expect([200, 201], label).toContain(status)
            expect(headers.get('idempotent-replayed'), label).toBeNull()
          }
        }
      })
    })

    const register = (changes: Record<string, string>) => {
      const own = randomUUID().slice(0, 12)
      const body = { username: `u-${own}`, email: `${own}@example.com`, password: 'staple horse battery 9' }
      return shop.post('/register', { body: { ...body, ...changes } })
    }

    it('of an e-mail address is what browsers accept, at registration and at sign-in', async () => {
      const addresses = [
        ...['xn--p1ai', 'xn--e1afmkfd.xn--p1ai', 'localhost', 'example.museum', '1.example'].map(
          (host) => `a@${host}`,
        ),
        ..."&/!=#%'*+?^_`{|}~.$-".split('').map((character) => `a${character}b@example.com`),
        '.a..b.@example.com',
        `a@${'b'.repeat(63)}.example`,
        `${'a'.repeat(242)}@example.com`,
      ]
      for (const address of addresses) {
        // Every one of them another address than in the other shape and in other tests.
        const email = `${randomUUID().slice(0, 8)}${address}`.slice(-254)
        expect((await register({ email })).status, email).toBe(201)
        const body = { email: email.toUpperCase(), password: 'staple horse battery 9' }
        expect((await shop.post('/login', { body })).status, email).toBe(200)
      }
    })

    it.each([
      'nobody',
      '@example.com',
      'a@',
      'a@b@example.com',
      'a b@example.com',
      'a@example..com',
      'a@-example.com',
      'a@example-.com',
      'a@example.com.',
      'a@exam_ple.com',
      '"a b"@example.com',
      'a@[127.0.0.1]',
      'a(b)@example.com',
      'a,b@example.com',
      'a@пример.рф',
      'ä@example.com',
      ' a@example.com',
      'a@example.com\n',
      `a@${'b'.repeat(64)}.com`,
    ])('of an e-mail address is refused where browsers refuse it: %j', async (email) => {
      const message = expect.stringMatching(/^must be an e-mail address such as ada@example.com, .*xn--/)
      const { status, body } = await register({ email })
      expect({ status, errors: body.errors }).toEqual({
        status: 400,
        errors: [{ pointer: '/email', message }],
      })
    })

    it('of an e-mail address is measured before it is searched', async () => {
      const message = 'must have at most 254 characters'
      for (const email of [
        `${'a'.repeat(243)}@example.com`,
        'a@'.repeat(400_000),
        `a@${'b.'.repeat(400_000)}`,
      ]) {
        const { status, body } = await register({ email })
        expect({ status, errors: body.errors }).toEqual({
          status: 400,
          errors: [{ pointer: '/email', message }],
        })
      }
    })

    it.each([
      'aaaaaaaa',
      '00000000',
      '12341234',
      'abcdefgh',
      'password123456',
      'Password123!',
      'Passw0rd!',
      'Summer2024!',
      'admin1234',
    ])('of a password is refused where it is easily guessed: %s', async (password) => {
      const message = expect.stringMatching(/^must not be (easily guessed|one of the most common)/)
      const { status, body } = await register({ password })
      expect({ status, errors: body.errors }).toEqual({
        status: 400,
        errors: [{ pointer: '/password', message }],
      })
    })

    it.each([
      ['zero width', '\u200b\u2060'],
      ['Hangul fillers', '\u3164'],
      ['blank Braille', '\u2800\u2800'],
      ['tags', '\u{e0041}'],
    ])('of a name is refused where nothing of it is visible: %s', async (_what, name) => {
      const { status, body } = await shop.post('/products/create_product', {
        token: shop.adminToken,
        body: { name, price: 1, stock: 1 },
      })
      const message = 'must have 1 to 200 characters, at least one of them visible'
      expect({ status, errors: body.errors }).toEqual({
        status: 400,
        errors: [{ pointer: '/name', message }],
      })
    })

    it('of one e-mail address that many register at once opens one account', async () => {
      const email = `${randomUUID()}@example.com`
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, n) => {
          const written = n % 2 === 0 ? email : email.toUpperCase()
          const body = {
            username: `u-${randomUUID().slice(0, 8)}`,
            email: written,
            password: 'correct horse battery',
          }
          return shop.post('/register', { body })
        }),
      )
      expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(409)])
      expect(answers.filter(({ body }) => body.code === 'email_taken')).toHaveLength(19)
      const users = (await shop.collections('auth')).collection('users')
      expect(await users.countDocuments({ emailKey: email })).toBe(1)
    })
  })
}

/** Everything in a JSON value, with a pointer to it. */
function partsOf(value: Json, pointer = ''): { pointer: string; value: unknown }[] {
  const inside = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return [{ pointer, value }, ...inside.flatMap(([key, each]) => partsOf(each, `${pointer}/${key}`))]
}
