import { readFile } from 'node:fs/promises'
import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addedRoutes } from '#test/support/added-routes.ts'
import type { Json } from '#test/support/client.ts'
import { componentOf, type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import { problems } from '#test/support/problems.ts'
import { type Shop, startComposition, startShop } from '#test/support/shop.ts'
import { registry } from '../registry.ts'
import { joinOperations } from './join-operations.ts'

let shop: Shop
let document: Json
beforeAll(async () => {
  shop = await startShop()
  document = (await shop.get('/openapi.json')).body
})
afterAll(() => shop.close())

const operations = (): Operation[] => operationsOf(document)

/** The codes of the error answers of an operation. Each must be under the status of its problem. */
const codesOf = ({ responses }: Operation): string[] =>
  Object.entries(responses).flatMap(([status, response]) => {
    const examples = response.content?.['application/problem+json']?.examples ?? {}
    for (const code of Object.keys(examples)) {
      if (status === 'default') continue
      expect(problems[code]?.status).toBe(Number(status))
    }
    return Object.keys(examples)
  })

it('the document is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  expect(errors).toBeUndefined()
  expect(valid).toBe(true)
  expect(document.openapi).toMatch(/^3\.1\./)
})

it('the document has every public route', () => {
  expect(
    operations()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(
    [
      'POST /register',
      'POST /login',
      'POST /token/refresh',
      'POST /logout',
      'GET /profile',
      'PUT /profile/password',
      'GET /.well-known/jwks.json',
      'POST /products',
      'POST /products/create_product',
      'GET /products',
      'GET /products/{id}',
      'PUT /products/{id}',
      'PATCH /products/{id}',
      'DELETE /products/{id}',
      'POST /products/{id}/stock',
      'GET /products/{id}/stock',
      'POST /orders',
      'POST /orders/create_order',
      'GET /orders',
      'GET /orders/{id}',
      'GET /orders/{id}/history',
      'PUT /orders/{id}',
      'PATCH /orders/{id}',
      'DELETE /orders/{id}',
      'GET /healthz',
      'GET /readyz',
      'GET /openapi.json',
      'GET /docs',
      'GET /',
      'GET /problems',
      'GET /problems/{code}',
      ...Object.keys(addedRoutes.requests),
    ].sort(),
  )
})

it('the operation ids are verbs with a noun, which name the functions of generated clients', () => {
  const ids = operations().map(({ operationId }) => operationId)
  expect(ids.length).toBeGreaterThan(20)
  for (const id of ids) expect(id).toMatch(/^[a-z]+([A-Z][A-Za-z]+)+$/)
  expect(new Set(ids).size).toBe(ids.length)
})

it('the boot refuses an operation id that two modules have, and names both', () => {
  const getCup = { method: 'get', path: '/cups', responses: {} } as const
  const modules = ['cups', 'plates'].map((name) => ({ name, api: { getCup } }))
  expect(() => joinOperations(modules)).toThrow(
    'the operation getCup of plates must have another id, because cups has this one',
  )
  expect(() => joinOperations([{ name: 'cups', api: { checkLiveness: getCup } }])).toThrow(
    'the operation checkLiveness of the operator routes must have another id, because cups has this one',
  )
})

it('the document describes only existing routes, and 401 for each route that needs a token', async () => {
  for (const operation of operations()) {
    const [method = '', path = ''] = operation.name.split(' ')
    const filled = path.replace('{id}', '0123456789abcdef01234567').replace('{code}', 'forbidden')
    const answer = await shop.request(method, filled)
    expect(String(answer.body.code), operation.name).not.toMatch(/^(route_not_found|method_not_allowed)$/)
    expect(answer.status === 401, operation.name).toBe(operation.security.length > 0)
    expect(Object.keys(operation.responses), operation.name).toContain(String(answer.status))
  }
})

it('the document omits only the internal routes, the metrics and the files of the reference', async () => {
  const { composition, close } = await startComposition({
    environment: { INTERNAL_SECRET: 'thirty-two bytes that are secret' },
  })
  const routed = composition.app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
  // Paths are served with and without a trailing slash.
  const documented = new Set(operations().map(({ name }) => name.replace(/\/$/, '')))
  const others = [...new Set(routed)].filter((route) => !documented.has(route.replace(/\/$/, '')))
  expect(others.length).toBeGreaterThan(0)
  const known = /^(POST \/internal\/(auth|product)\/\w+|GET \/metrics|GET \/docs\/assets\/\S+)$/
  for (const route of others) expect(route).toMatch(known)
  await close()
})

describe('the described answers', () => {
  it('the answers of guarded routes include the codes of a refused token', () => {
    const guarded = operations().filter(({ security }) => security.length > 0)
    expect(guarded.length).toBeGreaterThan(8)
    for (const operation of guarded) {
      expect(operation.security.flatMap(Object.keys), operation.name).toEqual(['accessToken'])
      expect(codesOf(operation), operation.name).toEqual(
        expect.arrayContaining(['unauthenticated', 'invalid_token', 'token_expired']),
      )
    }
    expect(document.components.securitySchemes.accessToken).toMatchObject({ type: 'http', scheme: 'bearer' })
  })

  it('the answers of routes with a body include the codes of an unreadable body', () => {
    for (const operation of operations().filter(({ requestBody }) => requestBody !== undefined)) {
      expect(operation.requestBody.required, operation.name).toBe(true)
      expect(codesOf(operation), operation.name).toEqual(
        expect.arrayContaining([
          'validation_failed',
          'malformed_json',
          'body_too_large',
          'unsupported_media_type',
        ]),
      )
    }
  })

  it('the answers of all routes together include every code', () => {
    const shown = new Set(operations().flatMap(codesOf))
    const missing = Object.keys(problems).filter((code) => !shown.has(code))
    expect(missing, "name each in errors('...') of a route, in the *.api.ts of its module").toEqual([])
  })

  it('the answers of every route include the problems of any request and a default', () => {
    for (const { name, responses } of operations()) {
      expect(Object.keys(responses), name).toEqual(
        expect.arrayContaining(['400', '408', '431', '500', '503', 'default']),
      )
    }
  })

  it('the answers with 429 and 503 have Retry-After in the header and in the problem', () => {
    const retryable = operations().flatMap(({ name, responses }) =>
      ['429', '503'].flatMap((status) => (responses[status] ? [{ name, ...responses[status] }] : [])),
    )
    expect(retryable.length).toBeGreaterThan(20)
    for (const { name, headers, content } of retryable) {
      expect(headers, name).toHaveProperty('Retry-After')
      const { schema, examples } = content['application/problem+json']
      for (const { value } of Object.values<Json>(examples)) expect(value.retryAfter, name).toBeGreaterThan(0)
      const union = componentOf(document, schema.$ref)
      for (const { $ref } of union.oneOf ?? [schema]) {
        expect(componentOf(document, $ref).required, name).toContain('retryAfter')
      }
    }
  })

  it('each problem has a schema with a constant code, and the union of all problems finds the schema by the code', () => {
    const { Problem, ProblemCode, ...schemas } = document.components.schemas
    expect(ProblemCode.enum.toSorted()).toEqual(Object.keys(problems).sort())
    for (const [code, { status, retryable = false }] of Object.entries(problems)) {
      const $ref: string = Problem.discriminator.mapping[code]
      expect(Problem.oneOf, code).toContainEqual({ $ref })
      expect(componentOf(document, $ref).properties, code).toMatchObject({
        type: { const: `/problems/${code}` },
        status: { const: status },
        code: { const: code },
        retryable: { const: retryable },
      })
    }
    const unions = Object.entries<Json>(schemas).filter(
      ([name, { oneOf }]) => name.endsWith('Problem') && oneOf,
    )
    expect(unions.length).toBeGreaterThan(4)
    for (const [name, { oneOf, discriminator }] of unions) {
      expect(Object.values(discriminator.mapping), name).toEqual(oneOf.map(({ $ref }: Json) => $ref))
    }
  })

  it('no schema of an answer with a problem is inline, so that each has a name in generated clients', () => {
    for (const { name, responses } of operations()) {
      for (const [status, { content }] of Object.entries(responses)) {
        const schema = content?.['application/problem+json']?.schema
        if (schema) expect(Object.keys(schema), `${name} ${status}`).toEqual(['$ref'])
      }
    }
  })

  it('the members of a problem have the types of the resource that they describe', () => {
    const { properties: conflict } = document.components.schemas.ProductVersionConflictProblem
    expect(conflict.current).toEqual({ $ref: '#/components/schemas/Product' })
    const { properties: shortage } = document.components.schemas.InsufficientStockProblem
    expect(shortage.items.items).toEqual({ $ref: '#/components/schemas/StockShortage' })
    const { properties: transition } = document.components.schemas.InvalidTransitionProblem
    expect(transition.allowed.items).toEqual({ $ref: '#/components/schemas/RequestableOrderStatus' })
  })

  it('the example of validation_failed is the answer of this operation to an empty body or a wrong parameter', async () => {
    const inputs = operations().map((operation) => {
      const { path, requestBody, parameters = [], tags } = operation
      if (tags.includes('Operations')) return undefined
      const id = requestBody ? '0'.repeat(24) : '7'
      const query = !requestBody && !path.includes('{id}') && parameters.some(({ name }) => name === 'limit')
      return {
        operation,
        path: `${path.replace('{id}', id)}${query ? '?limit=0' : ''}`,
        // The sign-in has alternatives. An empty body could be each of them.
        ...(requestBody && { body: path === '/login' ? { email: 'x' } : {} }),
      }
    })
    for (const input of inputs) {
      if (!input || (!input.body && !/7|limit/.test(input.path))) continue
      const { name, method, responses } = input.operation
      const answer = await shop.request(method, input.path, { token: shop.adminToken, body: input.body })
      const examples = responses[400]?.content['application/problem+json'].examples
      expect({ ...examples.validation_failed.value, requestId: '' }, name).toEqual({
        ...answer.body,
        requestId: '',
      })
    }
  })

  it('every answer has X-Request-Id and Cache-Control, and required headers are sent', async () => {
    for (const { name, responses } of operations()) {
      for (const [status, { headers }] of Object.entries(responses)) {
        for (const header of ['X-Request-Id', 'Cache-Control']) {
          expect(headers[header], `${name} ${status}`).toEqual({ $ref: `#/components/headers/${header}` })
          expect(document.components.headers[header].required).toBe(true)
        }
      }
      for (const [status, header] of [
        ['401', 'WWW-Authenticate'],
        ['429', 'Retry-After'],
        ['503', 'Retry-After'],
        ['304', 'ETag'],
      ] as const) {
        if (responses[status]) expect(responses[status].headers, `${name} ${status}`).toHaveProperty(header)
      }
    }
  })

  it('the answers that create a resource link to the operations on it', () => {
    const links = Object.fromEntries(
      operations().map(({ operationId, responses }) => [
        operationId,
        responses[201]?.links ?? responses[200]?.links,
      ]),
    )
    const ids = operations().map(({ operationId }) => operationId)
    for (const link of Object.values(links).flatMap((each) => Object.values<Json>(each ?? {}))) {
      expect(ids).toContain(link.operationId)
    }
    expect(links.createProduct).toMatchObject({
      getProduct: { parameters: { 'path.id': '$response.body#/productId' } },
      updateProduct: { parameters: { 'header.If-Match': '$response.header.ETag' } },
    })
    for (const { operationId, path } of operations()) {
      if (path.startsWith('/products/{id}')) expect(links.createProduct).toHaveProperty(operationId)
      if (path.startsWith('/orders/{id}')) expect(links.placeOrder).toHaveProperty(operationId)
    }
    expect(links.placeOrderAlias).toEqual(links.placeOrder)
  })

  it('the links have no body, because openapi-generator refuses a document with an object there', () => {
    for (const { responses } of operations()) {
      for (const link of Object.values(responses).flatMap(({ links }) => Object.values<Json>(links ?? {}))) {
        expect(link).not.toHaveProperty('requestBody')
        expect(link).toHaveProperty('description')
      }
    }
  })

  it('two enums never have a constant of the same name, because those of a Go client share one scope', () => {
    const enums = Object.values<Json>(document.components.schemas).filter((schema) => schema.enum)
    expect(enums.length).toBeGreaterThan(4)
    const names = enums.flatMap((schema) => schema['x-enum-varnames'] ?? schema.enum)
    expect(names).toEqual([...new Set(names)])
    for (const schema of enums) {
      if (schema['x-enum-varnames']) expect(schema['x-enum-varnames']).toHaveLength(schema.enum.length)
    }
  })

  it('each answer is described once, so that the document has less than 6,400 characters for each operation', () => {
    expect(JSON.stringify(document).length).toBeLessThan(6_400 * operations().length)
  })

  it('the examples have every required field', () => {
    for (const [name, schema] of Object.entries<Json>(document.components.schemas)) {
      if (!schema.example) continue
      for (const field of schema.required ?? []) expect(schema.example, name).toHaveProperty(field)
    }
  })
})

it('a service returns the document in the repository', async () => {
  const file = await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8')
  expect(document).toEqual(JSON.parse(file))
})

it('each service returns the same whole document', async () => {
  for (const { name } of registry) {
    const environment = {
      SERVICE: name,
      AUTH_URL: 'http://127.0.0.1:9',
      PRODUCT_URL: 'http://127.0.0.1:9',
    }
    const { composition, close } = await startComposition({ environment })
    const response = await composition.app.request('/openapi.json')
    expect(await response.json(), name).toEqual(document)
    await close()
  }
})
