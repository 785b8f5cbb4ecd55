import type { Json } from './client.ts'

/** An operation of an OpenAPI document. */
export interface Operation {
  /** `METHOD /path` */
  name: string
  method: string
  path: string
  operationId: string
  tags: string[]
  /** Empty if the operation needs no access token. */
  security: object[]
  parameters?: { name: string; in: string; required?: boolean; schema: Json }[]
  requestBody?: Json
  responses: Record<string, Json>
}

/** Resolves a reference within the document. */
export const componentOf = (document: Json, $ref: string): Json =>
  $ref
    .split('/')
    .slice(1)
    .reduce((inside, key) => inside[key], document)

export const operationsOf = (document: Json): Operation[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods as Json).map(([method, operation]) => ({
      ...(operation as Operation),
      responses: Object.fromEntries(
        Object.entries((operation as Operation).responses).map(([status, response]) => [
          status,
          response.$ref ? componentOf(document, response.$ref) : response,
        ]),
      ),
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
    })),
  )

/** JSON pointers (RFC 6901) into the body of an operation: to objects, and to every field and the first item of lists. */
export interface BodyPointers {
  objects: string[]
  values: string[]
}

export function pointersInBody(document: Json, operation: Operation): BodyPointers {
  const objects = new Set<string>()
  const values = new Set<string>()
  const visit = (described: Json, pointer: string) => {
    const name = described.$ref?.replace('#/components/schemas/', '')
    const schema = name === undefined ? described : document.components.schemas[name]
    for (const alternative of schema.oneOf ?? []) visit(alternative, pointer)
    if (pointer !== '') values.add(pointer)
    if (schema.type === 'array') visit(schema.items, `${pointer}/0`)
    if (schema.type !== 'object') return
    objects.add(pointer)
    for (const [field, value] of Object.entries(schema.properties)) visit(value, `${pointer}/${field}`)
  }
  if (operation.requestBody) visit(operation.requestBody.content['application/json'].schema, '')
  return { objects: [...objects], values: [...values] }
}

/** Returns the body with another value at the pointer. */
export function withValue(body: Json, pointer: string, value: unknown): Json {
  const [, key, ...rest] = pointer.split('/')
  if (key === undefined) return value
  const next = withValue(body?.[key], ['', ...rest].join('/'), value)
  if (Array.isArray(body)) return body.map((item, at) => (at === Number(key) ? next : item))
  // A computed key makes `__proto__` an ordinary field.
  return { ...body, [key]: next }
}
