import { beforeAll, describe, expect, it } from 'vitest'
import type { Answer, Json } from '#test/support/client.ts'
import { type Operation, resolved } from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import { type DescribedApi, describeApi } from './described-api.ts'

// The other headers of an answer belong to the connection, to CORS, to the body, or to every answer of the server.
const ofTheApi = [
  'allow',
  'cache-control',
  'etag',
  'idempotent-replayed',
  'location',
  'ratelimit-policy',
  'retry-after',
  'www-authenticate',
  'x-request-id',
]

/** The headers and media types of the answers are the ones that the OpenAPI document describes. */
export function describedHeadersSuite(deployment: () => Deployment) {
  describe('described headers', () => {
    let api: DescribedApi
    beforeAll(async () => {
      api = await describeApi(deployment())
    })
    const isRead = ({ method }: Operation) => method === 'GET'

    const describedHeaders = ({ responses }: Operation, status: number): [name: string, header: Json][] =>
      Object.entries<Json>((responses[status] ?? responses.default)?.headers).map(([name, header]) => [
        name.toLowerCase(),
        resolved(api.document, header),
      ])

    function expectDescribed(operation: Operation, { status, headers }: Answer): void {
      const label = `${operation.name} ${status}`
      const described = describedHeaders(operation, status)
      for (const [name, { required, schema }] of described) {
        if (required) expect(headers.get(name), `${label} ${name}`).not.toBeNull()
        const value = headers.get(name)
        if (value !== null && schema.pattern)
          expect(value, `${label} ${name}`).toMatch(new RegExp(schema.pattern))
      }
      const names = described.map(([name]) => name)
      for (const name of ofTheApi) if (headers.has(name)) expect(names, label).toContain(name)
      const content = Object.keys((operation.responses[status] ?? operation.responses.default)?.content ?? {})
      const [mediaType] = headers.get('content-type')?.split(';') ?? []
      expect(content.length === 0 ? [undefined] : content, label).toContain(mediaType)
    }

    it('every answer has the headers that the document requires, no others of the API, and a described media type', async () => {
      await api.forEachOperation(
        () => true,
        async (operation) => {
          const { path, body } = await api.make(operation)
          const token = api.people.boss.token
          const answers = [
            await api.shop.request(operation.method, path, { token, body }),
            await api.shop.request(operation.method, path, { body }),
            await api.shop.request(operation.method, `${path}?unknown=1`, { token, body }),
          ]
          expect(answers[0]?.status, operation.name).toBeLessThan(300)
          for (const answer of answers) expectDescribed(operation, answer)
        },
      )
    })

    it('a read has an entity tag if and only if the document describes it, together with If-None-Match and 304', async () => {
      await api.forEachOperation(isRead, async (operation) => {
        const request = await api.make(operation)
        const { headers } = await api.ask(operation, request)
        const tag = headers.get('etag')
        const isConditional = tag !== null
        const names = describedHeaders(operation, 200).map(([name]) => name)
        expect(names.includes('etag'), operation.name).toBe(isConditional)
        expect('304' in operation.responses, operation.name).toBe(isConditional)
        const parameter = operation.parameters.find(({ name }) => name === 'If-None-Match')
        expect(parameter?.in, operation.name).toBe(isConditional ? 'header' : undefined)
        const again = await api.ask(operation, request, { 'If-None-Match': tag ?? '*' })
        expect(again.status, operation.name).toBe(isConditional ? 304 : 200)
        expectDescribed(operation, again)
      })
    })

    it('the document describes Vary for exactly the reads that vary by more than Origin', async () => {
      await api.forEachOperation(isRead, async (operation) => {
        const { headers } = await api.ask(operation, await api.make(operation))
        const varied = (headers.get('vary') ?? '').split(', ').filter((name) => name && name !== 'Origin')
        const names = describedHeaders(operation, 200).map(([name]) => name)
        expect(names.includes('vary'), operation.name).toBe(varied.length > 0)
        const types = Object.keys(operation.responses[200]?.content)
        expect(varied.includes('Accept'), operation.name).toBe(types.length > 1)
      })
    })

    it('a client that accepts one of the described media types of a read gets it', async () => {
      const typesOf = ({ responses }: Operation) => Object.keys(responses[200]?.content ?? {})
      await api.forEachOperation(
        (operation) => isRead(operation) && typesOf(operation).length > 1,
        async (operation) => {
          for (const type of typesOf(operation)) {
            const answer = await api.ask(operation, await api.make(operation), { Accept: type })
            expect(answer.headers.get('content-type')?.split(';')[0], operation.name).toBe(type)
          }
        },
      )
    })
  })
}
