import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { Json } from './client.ts'

// The keywords that OpenAPI 3.1 adds to JSON Schema, and one for generators of clients. None of them validates anything.
const openApiKeywords = ['discriminator', 'example', 'externalDocs', 'xml', 'x-enum-varnames']

/**
 * Validates values against the schemas of an OpenAPI document, with ajv's default options. Each component is a schema of its own,
 * because the document around the components is no JSON Schema.
 */
export function createDocumentValidator(document: Json) {
  const ajv = new Ajv2020()
  addFormats.default(ajv)
  ajv.addVocabulary(openApiKeywords)
  const schemas: Json = JSON.parse(
    JSON.stringify(document).replaceAll('"#/components/schemas/', '"component:'),
  )
  for (const [name, schema] of Object.entries<Json>(schemas.components.schemas)) {
    ajv.addSchema(schema, `component:${name}`)
  }

  /**
   * @param path the keys that lead to a schema in the document
   * @returns the faults of the value; empty if it is valid
   */
  return (path: readonly string[], value: unknown): ErrorObject[] => {
    const validate = ajv.compile(path.reduce((place, key) => place[key], schemas))
    return validate(value) ? [] : (validate.errors ?? [])
  }
}
