import { z } from '@hono/zod-openapi'
import { kernelProblems, type Problem, type ProblemTable } from './problems.ts'

/** The parts that the route descriptions have in common. */

const problem = z
  .object({
    type: z.string().openapi({ example: '/problems/validation_failed' }),
    title: z.string(),
    status: z.int(),
    code: z.string().openapi({ description: 'A stable code. Clients should branch on it.' }),
    detail: z.string(),
    retryable: z.boolean().openapi({
      description:
        'Whether a program should send the same request again by itself, after `retryAfter` if there is one.',
    }),
    requestId: z.string(),
  })
  .openapi('Problem', { description: 'A problem document (RFC 9457). Some codes have additional members.' })

const seconds = z.int().openapi({ description: 'The time in seconds, as in the header Retry-After.' })

const pascalCase = (code: string) =>
  code.replace(/(^|_)(\w)/g, (_, __, letter: string) => letter.toUpperCase())

const retryAfter = {
  'Retry-After': {
    description: 'The time in seconds after which the client may repeat the request.',
    schema: { type: 'integer' as const },
  },
}
const challenge = {
  'WWW-Authenticate': {
    description: 'The scheme `Bearer` and the error (RFC 6750).',
    schema: { type: 'string' as const },
  },
}

/** The problems of every route. The first three refuse a malformed request. */
const ofEveryRoute = [
  'validation_failed',
  'request_timeout',
  'headers_too_large',
  'internal_error',
  'dependency_unavailable',
] as const
/** The problems of a path or a method without a described operation. */
const undescribed = ['route_not_found', 'method_not_allowed'] as const
/** The problems of a missing, wrong or expired access token. */
export const signedIn = ['unauthenticated', 'invalid_token', 'token_expired'] as const
/** The problems of an unreadable body. */
export const withBody = [
  'validation_failed',
  'malformed_json',
  'body_too_large',
  'unsupported_media_type',
] as const

/**
 * Makes the function that describes the error answers of a module's routes.
 * @param own the module's own problems. Their codes can be used in addition to those of the kernel
 * @param added members that the module adds to problems of the kernel, and the prefix of the names of their schemas
 * @returns a function that takes the codes of a route and returns its answers by status, each code with its example
 */
export function errorsOf<Own extends ProblemTable>(
  own: Own,
  added: { prefix: string; members: Readonly<Record<string, z.ZodRawShape>> } = { prefix: '', members: {} },
) {
  const table: ProblemTable = { ...kernelProblems, ...own }
  const problemFor = (code: string) => table[code] as Problem

  /** A code with members has a schema of its own. All other codes share the schema of the plain problem. */
  const schemaOf = (code: string): z.ZodType => {
    const { retryAfter, members } = problemFor(code)
    const all = {
      ...(retryAfter !== undefined && { retryAfter: seconds }),
      ...members,
      ...added.members[code],
    }
    if (Object.keys(all).length === 0) return problem
    const name = `${added.members[code] ? added.prefix : ''}${pascalCase(code)}Problem`
    const schema = schemas.get(name) ?? problem.extend(all).openapi(name)
    schemas.set(name, schema)
    return schema
  }

  const describe = (codes: readonly string[]) => {
    const distinct = [...new Set(codes.map(schemaOf))] as [z.ZodType, ...z.ZodType[]]
    return {
      description: codes
        .map((code) => `\`${code}\`: ${problemFor(code).title}. ${problemFor(code).advice}`)
        .join('\n\n'),
      content: {
        'application/problem+json': {
          schema: distinct.length === 1 ? distinct[0] : z.union(distinct),
          examples: Object.fromEntries(codes.map((code) => [code, exampleOf(code, problemFor(code))])),
        },
      },
    }
  }

  return (...codes: (keyof Own | keyof typeof kernelProblems)[]) => {
    const responses: Record<string, object> = {}
    const all = [...new Set([...codes.map(String), ...ofEveryRoute])]
    for (const status of new Set(all.map((code) => problemFor(code).status))) {
      const here = all.filter((code) => problemFor(code).status === status)
      responses[status] = {
        ...describe(here),
        ...(status === 401 && { headers: challenge }),
        ...(here.some((code) => problemFor(code).retryAfter !== undefined) && { headers: retryAfter }),
      }
    }
    responses.default = describe(undescribed)
    return responses as unknown as Record<never, never>
  }
}

// The schemas by name. Modules share those of the kernel's problems.
const schemas = new Map<string, z.ZodType>()

export const exampleOf = (
  code: string,
  { title, status, retryAfter, retryable = false, example }: Problem,
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
  },
})

export const json = <Schema extends z.ZodType>(schema: Schema, example?: NoInfer<z.input<Schema>>) => ({
  'application/json': { schema, ...(example !== undefined && { example }) },
})

export const body = <Schema extends z.ZodType>(schema: Schema, example?: NoInfer<z.input<Schema>>) => ({
  required: true,
  content: json(schema, example),
})

/** The body of a PATCH, which may also be a merge patch (RFC 7396). */
export const patchBody: typeof body = (schema, example) => {
  const { 'application/json': media } = json(schema, example)
  const content = { 'application/json': media, 'application/merge-patch+json': media }
  return { required: true, content }
}

const header = (description: string) => ({ description, schema: { type: 'string' as const } })

export const etagHeader = { ETag: header('The version as a strong entity tag, such as `"3"`.') }
export const locationHeader = { Location: header('The path of the created resource.') }
export const replayedHeader = {
  'Idempotent-Replayed': header(
    '`true` if the answer repeats the one to an earlier request with the same `Idempotency-Key`',
  ),
}

export const notModifiedResponse = {
  description: 'The version that `If-None-Match` names is the current one',
  headers: etagHeader,
}

/** `security` of a route that needs an access token. */
export const bearer = [{ accessToken: [] }]

export const page = <Schema extends z.ZodType>(name: string, item: Schema) =>
  z
    .object({
      data: z.array(item),
      nextCursor: z.string().nullable().openapi({
        description:
          'The cursor of the next page. Null on the last page. A page may have fewer entries than `limit` although it is not the last one.',
      }),
    })
    .openapi(name)
