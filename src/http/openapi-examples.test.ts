import { describe, expect, it } from 'vitest'
import { demoCatalogue } from '#src/modules/product/demo-catalogue.ts'
import type { Json } from '#test/support/client.ts'
import { createDocumentValidator } from '#test/support/document-validator.ts'
import { operationsOf } from '#test/support/openapi-operations.ts'
import { registry } from '../registry.ts'
import { joinOperations } from './join-operations.ts'
import { openApiDocument } from './openapi-document.ts'

const document: Json = JSON.parse(JSON.stringify(openApiDocument(joinOperations(registry))))
const faultsOf = createDocumentValidator(document)

interface Example {
  /** The keys that lead to the schema of the example. */
  schema: string[]
  value: unknown
}

/** The examples that stand beside a schema, in a media type, a parameter or a header. */
const beside = (path: string[], { example, examples = {} }: Json): Example[] =>
  [
    ...(example === undefined ? [] : [example]),
    ...Object.values<Json>(examples).map(({ value }) => value),
  ].map((value) => ({ schema: [...path, 'schema'], value }))

/** The examples inside a schema. */
const inside = (path: string[], { example, examples = [] }: Json): Example[] =>
  [...(example === undefined ? [] : [example]), ...examples].map((value) => ({ schema: path, value }))

/** Every example at or below a place of the document. */
function examplesAt(value: Json, path: string[]): Example[] {
  if (typeof value !== 'object' || value === null) return []
  const own = 'schema' in value ? beside(path, value) : []
  const isSchema = path.at(-1) === 'schema' || path.at(-2) === 'schemas' || path.at(-2) === 'properties'
  const below = Object.entries(value)
    .filter(([key]) => key !== 'example' && key !== 'examples')
    .flatMap(([key, each]) => examplesAt(each, [...path, key]))
  return [...own, ...(isSchema && !('$ref' in value) ? inside(path, value) : []), ...below]
}

const operations = operationsOf(document)
const exampleOf = (media: Json) => media.example ?? Object.values<Json>(media.examples ?? {})[0]?.value

it('every example is valid for its schema', () => {
  const examples = examplesAt(document, [])
  expect(examples.length).toBeGreaterThan(50)
  for (const { schema, value } of examples) {
    expect(faultsOf(schema, value), `${schema.join(' ')}: ${JSON.stringify(value)}`).toEqual([])
  }
})

it('a value that is not valid for its schema is found', () => {
  const price = ['components', 'schemas', 'ProductDraft', 'properties', 'price']
  expect(faultsOf(price, 19.99)).toEqual([])
  expect(faultsOf(price, -0.01)).toHaveLength(1)
  expect(faultsOf(price, '19.99')).toHaveLength(1)
})

it('every JSON body of a request and of an answer has an example', () => {
  const missing = operations.flatMap(({ name, requestBody, responses }) =>
    Object.entries<Json>({ request: requestBody, ...responses })
      .map(([where, part]) => ({ where, media: part?.content?.['application/json'] }))
      .filter(({ media }) => media !== undefined && exampleOf(media) === undefined)
      .map(({ where }) => `${name} ${where}`),
  )
  expect(missing).toEqual([])
})

describe('the parameters', () => {
  const parameters = operations.flatMap(({ name, parameters = [] }) =>
    parameters.map((parameter: Json) => ({ ...parameter, operation: name })),
  )
  const hasExample = (parameter: Json) =>
    [parameter, parameter.schema].some((each) => 'example' in each || 'examples' in each)

  it('no optional parameter or header has an example, because tools send it as it is', () => {
    expect(parameters.filter((each) => !each.required && hasExample(each))).toEqual([])
  })

  it('the id of a product has an example that exists in the demo', () => {
    const ids = parameters.filter(
      ({ in: where, operation }) => where === 'path' && / \/products\//.test(operation),
    )
    expect(ids.length).toBeGreaterThanOrEqual(4)
    for (const { operation, schema, example = schema.example } of ids) {
      expect(
        demoCatalogue.map(({ productId }) => productId),
        operation,
      ).toContain(example)
    }
  })
})

it('no object, page or enum of the document is without a name', () => {
  const unnamed: string[] = []
  const visit = (value: Json, path: string[]) => {
    if (typeof value !== 'object' || value === null) return
    const isNamed = path.length === 3 && path[0] === 'components' && path[1] === 'schemas'
    const isObject = value.type === 'object' && value.properties !== undefined
    const isChoice = Array.isArray(value.enum) && value.enum.length > 1 && path.at(-1) !== 'propertyNames'
    if ((isObject || isChoice) && !isNamed) unnamed.push(path.join('/'))
    for (const [key, each] of Object.entries(value)) visit(each, [...path, key])
  }
  visit(document, [])
  expect(unnamed).toEqual([])
})

it('no schema has a name that generated constructors would have', () => {
  expect(Object.keys(document.components.schemas).filter((name) => /^New[A-Z]/.test(name))).toEqual([])
})

it('the status of an order is a text in answers, so that clients can read a status that was added later', () => {
  const status = ['components', 'schemas', 'Order', 'properties', 'status']
  expect(faultsOf(status, 'awaiting_payment')).toEqual([])
  expect(faultsOf(['components', 'schemas', 'OrderUpdate'], { status: 'awaiting_payment' })).toHaveLength(1)
})
