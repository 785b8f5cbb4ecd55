import { expect, it } from 'vitest'
import type { Answer, Json } from '#test/support/client.ts'
import { createDocumentValidator } from '#test/support/document-validator.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'

/** The examples of the OpenAPI document, sent as they are to a new demo store. */
export function examplesSuite(deployment: () => Deployment) {
  it('every example of a request succeeds in a new demo store, in the order of the document, and the sign-in also after all others', async () => {
    const shop = deployment()
    const document: Json = (await shop.get('/openapi.json')).body
    const faultsOf = createDocumentValidator(document)
    const session = createSession(shop)
    const operations = operationsOf(document)
    let sent = 0
    for (const operation of operations) {
      for (const body of bodiesOf(operation)) {
        const answer = await session.send(operation, body)
        const success = Object.keys(operation.responses).find((status) => status.startsWith('2'))
        const label = `${operation.name} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`
        expect(String(answer.status), label).toBe(success)
        const isJson = answer.headers.get('content-type')?.startsWith('application/json')
        if (isJson)
          expect(faultsOf(schemaOf(document, operation, success ?? ''), answer.body), label).toEqual([])
        sent += 1
      }
    }
    expect(sent).toBeGreaterThan(25)
    const signIn = operations.find(({ operationId }) => operationId === 'signIn') as Operation
    for (const body of bodiesOf(signIn)) expect((await session.send(signIn, body)).status).toBe(200)
  })
}

/** The examples of the body of an operation. An operation without a body has one request. */
function bodiesOf({ requestBody }: Operation): Json[] {
  const media = requestBody?.content['application/json']
  if (!media) return [undefined]
  return 'example' in media ? [media.example] : Object.values<Json>(media.examples).map(({ value }) => value)
}

/** The keys that lead to the schema of a successful answer. */
const schemaOf = (document: Json, { path, method, responses }: Operation, status: string): string[] => {
  const { $ref } = document.paths[path][method.toLowerCase()].responses[status]
  const response = $ref
    ? $ref.split('/').slice(1)
    : ['paths', path, method.toLowerCase(), 'responses', status]
  expect(responses[status]?.content).toHaveProperty('application/json')
  return [...response, 'content', 'application/json', 'schema']
}

/**
 * Sends examples as a reader of the reference does: signs in first, acts as an admin where only an admin may act, and takes over
 * the ids and tokens that only answers have.
 */
function createSession(shop: Deployment) {
  let customer: { accessToken: string; refreshToken: string } | undefined
  /** The id of the first resource that was created below each path, such as `orders`. */
  const createdIds = new Map<string, string>()

  const tokenFor = ({ security, tags }: Operation): string | undefined => {
    if (security.length === 0) return undefined
    return tags.includes('Products') ? shop.adminToken : customer?.accessToken
  }
  const collectionOf = (path: string) => path.split('/')[1] ?? ''
  const pathOf = ({ path, parameters = [] }: Operation): string =>
    parameters
      .filter((parameter) => parameter.in === 'path')
      .reduce((filled, { name, schema, ...parameter }: Json) => {
        const example =
          parameter.example ?? schema.example ?? schema.examples?.[0] ?? createdIds.get(collectionOf(path))
        return filled.replace(`{${name}}`, example)
      }, path)

  return {
    async send(operation: Operation, body: Json): Promise<Answer> {
      const token = tokenFor(operation)
      const sent = body && 'refreshToken' in body ? { refreshToken: customer?.refreshToken } : body
      const answer = await shop.request(operation.method, pathOf(operation), { token, body: sent })
      if (answer.body?.refreshToken !== undefined) customer = answer.body
      const [, collection, id] = answer.headers.get('location')?.split('/') ?? []
      if (collection && id && !createdIds.has(collection)) createdIds.set(collection, id)
      return answer
    },
  }
}
