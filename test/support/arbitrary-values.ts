import fc, { type Arbitrary } from 'fast-check'
import type { Json } from './client.ts'
import { componentOf } from './openapi-operations.ts'

const maxItems = 4
const maxCharacters = 300

/**
 * Makes values that are valid by a schema of the document. Numbers that are no integers have two decimal places, because
 * the amounts of the API do.
 * @throws Error if the schema has a form that no schema of a request has yet
 */
export function arbitraryOf(document: Json, schema: Json): Arbitrary<Json> {
  const inner = (each: Json) => arbitraryOf(document, each)
  if (schema.$ref) return inner(componentOf(document, schema.$ref))
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.oneOf) return fc.oneof(...schema.oneOf.map(inner))
  switch (schema.type) {
    case 'object':
      return objectOf(schema, inner)
    case 'array':
      return fc.array(inner(schema.items), { minLength: schema.minItems ?? 0, maxLength: maxItems })
    case 'string':
      return stringOf(schema)
    case 'integer':
      return fc
        .integer({ min: schema.minimum ?? -(2 ** 31), max: Math.min(schema.maximum ?? 2 ** 31, 2 ** 31 - 1) })
        .filter((value) => value !== schema.not?.const)
    case 'number':
      return fc.integer({ min: schema.minimum * 100, max: schema.maximum * 100 }).map((cents) => cents / 100)
    default:
      throw new Error(`no values for ${JSON.stringify(schema)}`)
  }
}

function objectOf({ properties, required = [], not }: Json, inner: (schema: Json) => Arbitrary<Json>) {
  const fields = Object.fromEntries(
    Object.entries<Json>(properties).map(([name, schema]) => [name, inner(schema)]),
  )
  return fc
    .record(fields, { requiredKeys: required, noNullPrototype: true })
    .filter((value) => !not || !Object.keys(value).every((name) => not.propertyNames.enum.includes(name)))
}

function stringOf({ pattern, format, minLength = 0, maxLength = maxCharacters }: Json): Arbitrary<string> {
  if (format === 'date-time') {
    const years = { min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }
    return fc.date(years).map((date) => date.toISOString())
  }
  if (format === 'email') return fc.emailAddress()
  const text = pattern
    ? fc.stringMatching(new RegExp(pattern, 'u'), { maxLength: Math.min(maxLength, maxCharacters) })
    : fc.string({ minLength, maxLength: Math.min(maxLength, maxCharacters), unit: 'binary' })
  return text.filter((value) => [...value].length >= minLength && [...value].length <= maxLength)
}

/** Makes values of another JSON type than this one. */
export const otherTypeThan = (value: Json): Arbitrary<Json> =>
  fc.constantFrom<Json>(null, true, 0.5, 'text', [], {}).filter((other) => typeOf(other) !== typeOf(value))

const typeOf = (value: Json) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)
