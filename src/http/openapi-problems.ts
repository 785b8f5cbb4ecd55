import { type RouteConfig, z } from '@hono/zod-openapi'
import { type DomainError, refusedInput } from '#kernel/errors.ts'
import { faultsOf, type Part } from '#kernel/http/input-faults.ts'
import { problemOf } from '#kernel/http/problem-documents.ts'
import { pascalCase, phraseOf } from '#kernel/http/problem-responses.ts'
import { validationMessage } from '#kernel/validation-messages.ts'
import type { joinOperations } from './join-operations.ts'
import {
  type DescribedResponse,
  type DescribedSchema,
  type OpenApiDocument,
  operationsOf,
  schemaRef,
} from './openapi-parts.ts'
import { malformedRequest } from './raw-answers.ts'

const problemType = 'application/problem+json'

/**
 * Completes the descriptions of problems with what a module cannot know: the names of unions that belong to one operation, a
 * `validation_failed` as this operation would answer it, and the union of all problems.
 */
export function completeProblems(
  document: OpenApiDocument,
  operations: ReturnType<typeof joinOperations>,
): void {
  const { schemas } = document.components
  for (const [, { operationId, responses }] of operationsOf(document)) {
    for (const [status, response] of Object.entries(responses)) {
      const content = response.content?.[problemType]
      if (!content) continue
      if (status === 'default') {
        response.description = `Any other problem. A client that does not know its \`code\` goes by \`status\` and \`retryable\`.\n\n${response.description}`
        content.schema = { $ref: schemaRef('Problem') }
      } else if (content.schema.oneOf) {
        content.schema = nameUnion(
          schemas,
          content.schema,
          `${pascalCase(operationId)}${phraseOf(Number(status))}`,
        )
      }
      const refused = content.examples?.validation_failed
      const route = operations.get(operationId)
      if (refused && route) refused.value = { ...refused.value, ...problemOf(exampleRefusal(route)) }
    }
  }
  const byCode = problemsByCode(schemas)
  schemas.Problem = {
    description: 'A problem document (RFC 9457). More codes may be added.',
    oneOf: [...byCode.values()].map(($ref) => ({ $ref })),
    discriminator: { propertyName: 'code', mapping: Object.fromEntries(byCode) },
  }
}

/**
 * The example of each problem, by its code, as the first operation with it describes it. A module adds members to some problems
 * of the kernel, and so to their examples.
 */
export function problemExamples(operations: ReturnType<typeof joinOperations>): ReadonlyMap<string, object> {
  const byCode = new Map<string, object>()
  for (const { responses } of operations.values()) {
    for (const { content } of Object.values(responses) as DescribedResponse[]) {
      for (const [code, { value }] of Object.entries(content?.[problemType]?.examples ?? {})) {
        if (!byCode.has(code)) byCode.set(code, value)
      }
    }
  }
  return byCode
}

/** Moves a union to the components. Operations with equal answers share the union of the first one. */
function nameUnion(schemas: Record<string, DescribedSchema>, union: DescribedSchema, name: string) {
  const text = JSON.stringify(union)
  const [known] = Object.entries(schemas).find(([, schema]) => JSON.stringify(schema) === text) ?? []
  schemas[known ?? `${name}Problem`] = union
  return { $ref: schemaRef(known ?? `${name}Problem`) }
}

/** The schema of each code. If modules describe a code differently, it is the one without their additions. */
function problemsByCode(schemas: Record<string, DescribedSchema>): Map<string, string> {
  const byCode = new Map<string, string>()
  for (const [name, { properties }] of Object.entries(schemas)) {
    const code = properties?.code?.const
    if (typeof code !== 'string') continue
    if (!byCode.has(code) || name === `${pascalCase(code)}Problem`) byCode.set(code, schemaRef(name))
  }
  return byCode
}

/** The answer that the operation really gives to an empty body, a malformed id, or a limit that is too small. */
function exampleRefusal({ request: { body, params, query } = {} }: RouteConfig): DomainError {
  const { schema: bodySchema } = (body?.content['application/json'] ?? {}) as { schema?: z.ZodType }
  if (bodySchema instanceof z.ZodUnion) return refusal('body', ...withoutLastField(bodySchema))
  if (bodySchema) return refusal('body', bodySchema, {})
  if (hasField(params, 'id')) return refusal('path', params, { id: '7' })
  if (hasField(query, 'limit')) return refusal('query', query, { limit: '0' })
  return malformedRequest()
}

/** A body of the first alternative, in which only the last field is missing. With an empty body, all alternatives are possible. */
function withoutLastField({ options: [first] }: z.ZodUnion): [schema: z.ZodType, input: object] {
  const schema = first as z.ZodObject
  const fields = Object.keys(schema.shape).slice(0, -1)
  return [schema, Object.fromEntries(fields.map((field) => [field, 'x']))]
}

const hasField = (schema: unknown, name: string): schema is z.ZodObject =>
  Object.hasOwn((schema as z.ZodObject | undefined)?.shape ?? {}, name)

function refusal(part: Part, schema: z.ZodType, input: object): DomainError {
  const { error } = schema.safeParse(input, { error: validationMessage })
  if (!error) return malformedRequest()
  const { listed, count } = faultsOf(part, schema, input, error)
  return refusedInput(listed, count)
}
