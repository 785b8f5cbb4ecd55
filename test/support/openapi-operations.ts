import type { Json } from './client.ts'

/** An operation of an OpenAPI document. */
export interface Operation {
  /** `METHOD /path` */
  name: string
  method: string
  path: string
  operationId: string
  summary?: string
  tags: string[]
  /** Empty if the operation needs no access token. */
  security: object[]
  parameters: { name: string; in: string; required?: boolean; schema: Json }[]
  requestBody?: Json
  responses: Record<string, Json>
}

/** Resolves a reference within the document. */
export const componentOf = (document: Json, $ref: string): Json =>
  $ref
    .split('/')
    .slice(1)
    .reduce((inside, key) => inside[key], document)

/** Returns what a reference leads to, or the value itself. */
export const resolved = (document: Json, value: Json): Json =>
  value.$ref ? componentOf(document, value.$ref) : value

export const operationsOf = (document: Json): Operation[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods as Json).map(([method, operation]) => ({
      ...(operation as Operation),
      parameters: ((operation as Operation).parameters ?? []).map((parameter: Json) =>
        resolved(document, parameter),
      ),
      responses: Object.fromEntries(
        Object.entries((operation as Operation).responses).map(([status, response]) => [
          status,
          resolved(document, response),
        ]),
      ),
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
    })),
  )

/**
 * The schemas of a body by JSON pointer (RFC 6901): of the body, and of every field and the first item of lists. If a body has
 * alternatives, each of their fields is included.
 */
export function schemasInBody(document: Json, { requestBody }: Operation): ReadonlyMap<string, Json> {
  const schemas = new Map<string, Json>()
  const visit = (described: Json, pointer: string) => {
    const schema = resolved(document, described)
    for (const alternative of schema.oneOf ?? []) visit(alternative, pointer)
    if (schema.oneOf) return
    schemas.set(pointer, schema)
    if (schema.type === 'array') visit(schema.items, `${pointer}/0`)
    for (const [field, value] of Object.entries(schema.properties ?? {})) visit(value, `${pointer}/${field}`)
  }
  if (requestBody) visit(requestBody.content['application/json'].schema, '')
  return schemas
}

/** JSON pointers into the body of an operation: to objects, and to every field and the first item of lists. */
export interface BodyPointers {
  objects: string[]
  values: string[]
}

export function pointersInBody(document: Json, operation: Operation): BodyPointers {
  const schemas = [...schemasInBody(document, operation)]
  return {
    objects: schemas.filter(([, { type }]) => type === 'object').map(([pointer]) => pointer),
    values: schemas.map(([pointer]) => pointer).filter((pointer) => pointer !== ''),
  }
}

/** Returns the value at a JSON pointer, or undefined if the pointer leads nowhere. */
export const valueAt = (body: Json, pointer: string): Json =>
  pointer
    .split('/')
    .slice(1)
    .reduce((inside, key) => inside?.[key], body)

/** Returns the body with another value at the pointer. */
export function withValue(body: Json, pointer: string, value: unknown): Json {
  const [, key, ...rest] = pointer.split('/')
  if (key === undefined) return value
  const next = withValue(body?.[key], ['', ...rest].join('/'), value)
  if (Array.isArray(body)) return body.map((item, at) => (at === Number(key) ? next : item))
  // A computed key makes `__proto__` an ordinary field.
  return { ...body, [key]: next }
}
