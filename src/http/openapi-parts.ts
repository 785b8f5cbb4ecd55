/** The parts of an OpenAPI document that are completed after the routes were described. */
export interface OpenApiDocument {
  paths: Record<string, Record<string, DescribedOperation>>
  components: {
    schemas: Record<string, DescribedSchema>
    responses?: Record<string, DescribedResponse>
    headers?: Record<string, object>
    parameters?: Record<string, object>
  }
}

export interface DescribedOperation {
  operationId: string
  summary?: string
  parameters?: (DescribedParameter | { $ref: string })[]
  responses: Record<string, DescribedResponse>
}

export interface DescribedParameter {
  name: string
  in: string
  schema?: object
}

export interface DescribedResponse {
  description: string
  headers?: Record<string, object>
  content?: Record<string, { schema: DescribedSchema; examples?: Record<string, { value: object }> }>
  links?: Record<string, object>
}

export interface DescribedSchema {
  $ref?: string
  oneOf?: { $ref: string }[]
  discriminator?: { propertyName: string; mapping: Record<string, string> }
  properties?: Record<string, { const?: unknown }>
  [keyword: string]: unknown
}

export const schemaRef = (name: string) => `#/components/schemas/${name}`

/** All operations with their paths. */
export const operationsOf = ({ paths }: OpenApiDocument): [path: string, operation: DescribedOperation][] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation): [string, DescribedOperation] => [path, operation]),
  )

/** The schema of a component, if this is a reference to one. */
export const resolve = ({ components }: OpenApiDocument, schema: DescribedSchema): DescribedSchema =>
  components.schemas[schema.$ref?.replace(schemaRef(''), '') ?? ''] ?? schema
