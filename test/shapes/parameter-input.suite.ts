import { beforeAll, expect, it } from 'vitest'
import type { Json } from '#test/support/client.ts'
import { type Operation, withValue } from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import type { ValidRequest } from '#test/support/valid-requests.ts'
import {
  type DescribedApi,
  describeApi,
  escapeRegExp,
  expectRefused,
  operators,
  unknownFields,
} from './described-api.ts'

const isForOperators = ({ tags }: Operation) => tags.includes('Operations')
/** Returns every value inside a JSON value with its JSON pointer. */
function partsOf(value: Json, pointer = ''): { pointer: string; value: unknown }[] {
  const inside = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return [{ pointer, value }, ...inside.flatMap(([key, each]) => partsOf(each, `${pointer}/${key}`))]
}

/** Queries and paths that do not match the API description are refused and have no effect. */
export function parameterInputSuite(deployment: () => Deployment, extent: { oneOfEachModule: boolean }) {
  let api: DescribedApi
  beforeAll(async () => {
    api = await describeApi(deployment(), extent)
  })

  const parametersOf = ({ parameters = [] }: Operation, where: string) =>
    parameters.filter((each) => each.in === where)
  const withQuery = ({ path, ...valid }: ValidRequest, query: string): ValidRequest => ({
    ...valid,
    path: `${path}?${query}`,
  })

  it('a query is refused if it has an undescribed parameter, which the error names', async () => {
    await api.forEachOperation(
      (operation) => !isForOperators(operation),
      async (operation) => {
        const known = parametersOf(operation, 'query').map(({ name }) => name)
        const valid = await api.make(operation)
        const names = [...unknownFields, 'userId', 'staus', 'fields', '$or'].filter(
          (name) => name !== '' && !known.includes(name),
        )
        await api.expectNoChange(operation.name, async () => {
          for (const name of [
            ...names,
            ...known.flatMap((each) => [`${each}[$ne]`, `${each}[]`, `${each}.$gt`]),
          ]) {
            const answer = await api.ask(operation, withQuery(valid, `${encodeURIComponent(name)}=1`))
            expectRefused(answer, new RegExp(`^${escapeRegExp(name)}$`), `${operation.name} ?${name}`)
          }
        })
      },
    )
  })

  it('a query is refused if a parameter is a query operator or occurs twice', async () => {
    await api.forEachOperation(
      (operation) => parametersOf(operation, 'query').length > 0,
      async (operation) => {
        const valid = await api.make(operation)
        for (const { name } of parametersOf(operation, 'query')) {
          for (const value of ['{"$gt":""}', '[$ne]', '{"$where":"1"}', '__proto__', 'constructor', '%00']) {
            const sent = value === '%00' ? value : encodeURIComponent(value)
            const answer = await api.ask(operation, withQuery(valid, `${name}=${sent}`))
            // The text of a search may be any words. No product has these.
            if (name === 'q' && value !== '%00') expect(answer.body, value).toMatchObject({ data: [] })
            else expectRefused(answer, new RegExp(`^${name}$`), `${operation.name} ?${name}=${value}`)
          }
          const twice = await api.ask(operation, withQuery(valid, `${name}=1&${name}=1`))
          expectRefused(twice, new RegExp(`^${name}$`), `${operation.name} ?${name} twice`)
        }
      },
    )
  })

  it('a cursor is refused if any part of it was changed', async () => {
    await api.make(api.operations.find(({ name }) => name === 'GET /orders/{id}') as Operation)
    await api.make(api.operations.find(({ name }) => name === 'GET /orders/{id}') as Operation)
    const pages = api.operations.filter((each) =>
      parametersOf(each, 'query').some(({ name }) => name === 'cursor'),
    )
    expect(pages.length).toBeGreaterThanOrEqual(2)
    for (const operation of pages) {
      const { path } = await api.make(operation)
      const page = await api.ask(operation, { path: `${path}?limit=1` })
      const position = JSON.parse(Buffer.from(page.body.nextCursor, 'base64url').toString())
      const forge = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
      const nextPage = (value: unknown) =>
        api.ask(operation, { path: `${path}?limit=1&cursor=${forge(value)}` })
      expect((await nextPage(position)).status, operation.name).toBe(200)

      const forged: unknown[] = [null, {}, [], ...operators]
      for (const { pointer, value } of partsOf(position)) {
        if (typeof value !== 'object')
          forged.push(...operators.map((each) => withValue(position, pointer, each)))
        else if (!Array.isArray(value))
          forged.push(...unknownFields.map((name) => withValue(position, `${pointer}/${name}`, { $gt: '' })))
      }
      expect(forged.length).toBeGreaterThan(20)
      for (const value of forged)
        expectRefused(await nextPage(value), /^cursor$/, `${operation.name} ${JSON.stringify(value)}`)
    }
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
  ])('%s is refused because its percent-encoding is not UTF-8', async (path, parameter) => {
    const answer = await api.shop.get(path, { token: api.people.boss.token })
    expectRefused(answer, new RegExp(`^${parameter}$`), path)
  })

  it('a path is refused if its id is a query operator or malformed', async () => {
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
    await api.forEachOperation(
      ({ path }) => path.includes('{id}'),
      async (operation) => {
        const valid = await api.make(operation)
        await api.expectNoChange(operation.name, async () => {
          for (const id of ids) {
            const path = operation.path.replace('{id}', encodeURIComponent(id))
            expectRefused(await api.ask(operation, { ...valid, path }), /^id$/, `${operation.name} ${id}`)
          }
        })
      },
    )
    for (const code of ['__proto__', 'constructor', 'toString', '{"$gt":""}']) {
      const answer = await api.shop.get(`/problems/${encodeURIComponent(code)}`)
      expect(answer, code).toMatchObject({ status: 404, body: { code: 'route_not_found' } })
    }
  })
}
