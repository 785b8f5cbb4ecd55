import { STATUS_CODES } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import { z } from '@hono/zod-openapi'
import { requestIdFormat } from '#kernel/call.ts'
import { signedIn } from './openapi.ts'
import { kernelProblems, type Problem, type ProblemTable } from './problems.ts'

/** The descriptions of the error answers in the OpenAPI document. */

/** The problems of every route. The first three refuse a malformed request. */
const ofEveryRoute = [
  'validation_failed',
  'request_timeout',
  'headers_too_large',
  'internal_error',
  'dependency_unavailable',
  'overloaded',
] as const
/** The problems of a path or a method without a described operation. */
const undescribed = ['route_not_found', 'method_not_allowed'] as const

/** The codes that many routes have together, one entry for each status. */
const generalUnions = [
  ['validation_failed', 'malformed_json'],
  [...signedIn],
  ['dependency_unavailable', 'overloaded'],
]

/** What a module adds to a problem of the kernel. */
interface Addition {
  members: z.ZodRawShape
  example?: Readonly<Record<string, unknown>>
  /** The header fields of its answer. */
  headers?: Readonly<Record<string, object>>
}

/**
 * Makes the function that describes the error answers of a module's routes. Each code has a schema of its own, in which `code` is
 * a constant, so that a generated client knows the members of a problem from its code.
 * @param own the module's own problems. Their codes can be used in addition to those of the kernel
 * @param prefix starts the names of the schemas that have additions
 * @param additions the members that the module adds to problems of the kernel, by code
 * @returns a function that takes the codes of a route and returns its answers by status, each code with its example
 */
export function errorsOf<Own extends ProblemTable>(
  own: Own,
  prefix = '',
  additions: Readonly<Record<string, Addition>> = {},
) {
  const table: ProblemTable = { ...kernelProblems, ...own }
  const problemFor = (code: string) => table[code] as Problem
  const prefixOf = (codes: readonly string[]) => (codes.some((code) => additions[code]) ? prefix : '')

  const schemaOf = (code: string) =>
    once(`${prefixOf([code])}${pascalCase(code)}Problem`, () =>
      problemSchema(code, problemFor(code), additions[code]?.members),
    )

  /** The unions that many routes have are named after their status. The OpenAPI document names the others after their operations. */
  const unionOf = (codes: readonly string[], status: number) => {
    const make = () =>
      z.discriminatedUnion(
        'code',
        codes.map(schemaOf) as unknown as Parameters<typeof z.discriminatedUnion>[1],
      )
    const isGeneral = generalUnions.some((union) => isDeepStrictEqual(union, codes))
    return isGeneral ? once(`${prefixOf(codes)}${phraseOf(status)}Problem`, make) : make()
  }

  const describe = (codes: readonly string[], schema: z.ZodType) => ({
    description: codes
      .map((code) => `\`${code}\`: ${problemFor(code).meaning} ${problemFor(code).advice}`)
      .join('\n\n'),
    content: {
      'application/problem+json': {
        schema,
        examples: Object.fromEntries(
          codes.map((code) => [code, exampleOf(code, problemFor(code), additions[code]?.example)]),
        ),
      },
    },
  })

  return (...codes: (keyof Own | keyof typeof kernelProblems)[]) => {
    const responses: Record<string, object> = {}
    const named = new Set([...codes.map(String), ...ofEveryRoute])
    const all = Object.keys(table).filter((code) => named.has(code))
    for (const status of new Set(all.map((code) => problemFor(code).status))) {
      const here = all.filter((code) => problemFor(code).status === status)
      const waiting = here.filter((code) => problemFor(code).retryAfter !== undefined)
      const headers = {
        ...(status === 401 && challenge),
        ...(waiting.length > 0 && retryAfterHeader(waiting.length === here.length)),
        ...(status === 429 && rateLimitPolicy),
        ...Object.assign({}, ...here.map((code) => additions[code]?.headers)),
      }
      const schema = here.length === 1 ? schemaOf(String(here[0])) : unionOf(here, status)
      responses[status] = { ...describe(here, schema), headers }
    }
    responses.default = { ...describe(undescribed, z.union(undescribed.map(schemaOf))), headers: allow }
    return responses as unknown as Record<never, never>
  }
}

// The schemas by name. Modules share those of the kernel's problems.
const schemas = new Map<string, z.ZodType>()

function once(name: string, make: () => z.ZodType): z.ZodType {
  const schema = schemas.get(name) ?? make().openapi(name)
  schemas.set(name, schema)
  return schema
}

export const pascalCase = (code: string): string =>
  code.replace(/(^|_)(\w)/g, (_, __, letter: string) => letter.toUpperCase())

/** The phrase of a status in one word: 409 → `Conflict`. */
export const phraseOf = (status: number): string => (STATUS_CODES[status] ?? '').replace(/\W/g, '')

/** `z.literal` would be described as an enum with one value. Tools compare constants, and generate code from them. */
const constant = (value: string | number | boolean) =>
  z
    .literal(value)
    .openapi({ type: typeof value === 'number' ? 'integer' : typeof value, const: value } as object)

const problemSchema = (
  code: string,
  { status, meaning, retryAfter, retryable = false, members }: Problem,
  added: z.ZodRawShape = {},
) =>
  z
    .object({
      type: constant(`/problems/${code}`),
      title: z.string(),
      status: constant(status),
      code: constant(code),
      detail: z.string().openapi({ description: 'What was wrong in this request, and what would be right.' }),
      retryable: constant(retryable),
      requestId: z.string().regex(requestIdFormat),
      ...(retryAfter !== undefined && {
        retryAfter: z.int().openapi({ description: 'The time in seconds, as in the header Retry-After.' }),
      }),
      ...members,
      ...added,
    })
    .openapi({ description: meaning })

/** An example of a problem document. */
export const exampleOf = (
  code: string,
  { title, status, retryAfter, retryable = false, example }: Problem,
  added: Readonly<Record<string, unknown>> = {},
) => ({
  summary: title,
  value: {
    type: `/problems/${code}`,
    title,
    status,
    code,
    detail: title,
    retryable,
    retryAfter,
    requestId: 'b1f2c3d4-0000-4000-8000-000000000000',
    ...example,
    ...added,
  },
})

const retryAfterHeader = (required: boolean) => ({
  'Retry-After': {
    description: 'The time in seconds after which the client may repeat the request.',
    ...(required && { required }),
    schema: { type: 'integer', minimum: 0 },
  },
})
const challenge = {
  'WWW-Authenticate': {
    description: 'The scheme `Bearer` and the error (RFC 6750).',
    required: true,
    schema: { type: 'string' },
  },
}
const rateLimitPolicy = {
  'RateLimit-Policy': {
    description:
      'The limits of the request, each with its quota and its window in seconds, such as `"account";q=10;w=900, "address";q=100;w=900` (draft-ietf-httpapi-ratelimit-headers). They are the same whichever limit was reached.',
    required: true,
    schema: { type: 'string' },
  },
}
const allow = {
  Allow: { description: 'The methods of the path. Only in an answer 405.', schema: { type: 'string' } },
}
