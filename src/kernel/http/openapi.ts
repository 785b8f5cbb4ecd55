import { z } from '@hono/zod-openapi'
import type { ErrorCode } from '#kernel/errors.ts'
import { problems } from './problems.ts'

/** The pieces that route descriptions are made of. */

const problem = z
  .object({
    type: z.string().openapi({ example: '/problems/validation_failed' }),
    title: z.string(),
    status: z.int(),
    code: z.string().openapi({ description: 'stable; what clients branch on' }),
    detail: z.string(),
    requestId: z.string(),
  })
  .openapi('Problem', { description: 'RFC 9457 problem document; some codes have members of their own' })

const seconds = z.int().openapi({ description: 'seconds, as in the header Retry-After' })

const schemas = new Map<ErrorCode, z.ZodType>()

/** One component per code that has members of its own; the plain problem for the others. */
function schemaOf(code: ErrorCode): z.ZodType {
  const { retryAfter, ...rest } = problems[code]
  const members = { ...(retryAfter !== undefined && { retryAfter: seconds }), ...rest.members }
  if (Object.keys(members).length === 0) return problem
  const known = schemas.get(code)
  if (known) return known
  const name = `${code.replace(/(^|_)(\w)/g, (_, __, letter: string) => letter.toUpperCase())}Problem`
  const schema = problem.extend(members).openapi(name)
  schemas.set(code, schema)
  return schema
}

const exampleOf = (code: ErrorCode) => ({
  summary: problems[code].title,
  value: {
    type: `/problems/${code}`,
    title: problems[code].title,
    status: problems[code].status,
    code,
    detail: problems[code].title,
    retryAfter: problems[code].retryAfter,
    requestId: 'b1f2c3d4-0000-4000-8000-000000000000',
    ...examples[code],
  },
})

const productId = '66f2a1b0c3d4e5f60718293a'
const examples: Partial<Record<ErrorCode, object>> = {
  validation_failed: {
    errors: [{ pointer: '/productList/0/quantity', message: 'expected number to be >=1' }],
  },
  method_not_allowed: { allowed: ['GET', 'HEAD'] },
  version_conflict: { currentVersion: 4, current: { productId, version: 4 } },
  insufficient_stock: { items: [{ productId, requested: 3, available: 1 }] },
  invalid_transition: { from: 'shipped', to: 'cancelled', allowed: [] },
  unknown_product: { productIds: [productId] },
}

const retryAfter = { 'Retry-After': { description: 'seconds', schema: { type: 'integer' as const } } }
const challenge = { 'WWW-Authenticate': { description: 'RFC 6750', schema: { type: 'string' as const } } }

/** What any route may answer, whatever it does: the first three of them to a request that is not fit to be carried out. */
const anywhere = [
  'validation_failed',
  'request_timeout',
  'headers_too_large',
  'internal_error',
  'dependency_unavailable',
] as const
/** What a path answers to a request that none of its operations describes. */
const undescribed = ['route_not_found', 'method_not_allowed'] as const
/** What a guarded route answers to a missing, wrong or expired token. */
export const signedIn = ['unauthenticated', 'invalid_token', 'token_expired'] as const
/** What a route that takes a body answers to one that it cannot read. */
export const withBody = [
  'validation_failed',
  'malformed_json',
  'body_too_large',
  'unsupported_media_type',
] as const

/** The error answers of a route, grouped by status, each code with its example. */
export function errors(...codes: ErrorCode[]) {
  const responses: Record<string, object> = {}
  const all = [...new Set([...codes, ...anywhere])]
  for (const status of new Set(all.map((code) => problems[code].status))) {
    const here = all.filter((code) => problems[code].status === status)
    responses[status] = {
      ...problemsOf(here),
      ...(status === 401 && { headers: challenge }),
      ...(here.some((code) => problems[code].retryAfter !== undefined) && { headers: retryAfter }),
    }
  }
  responses.default = problemsOf(undescribed)
  return responses as unknown as Record<never, never>
}

function problemsOf(codes: readonly ErrorCode[]) {
  const distinct = [...new Set(codes.map(schemaOf))] as [z.ZodType, ...z.ZodType[]]
  return {
    description: codes.map((code) => `\`${code}\`: ${problems[code].title}`).join('\n\n'),
    content: {
      'application/problem+json': {
        schema: distinct.length === 1 ? distinct[0] : z.union(distinct),
        examples: Object.fromEntries(codes.map((code) => [code, exampleOf(code)])),
      },
    },
  }
}

export const json = <Schema extends z.ZodType>(schema: Schema) => ({ 'application/json': { schema } })

export const body = <Schema extends z.ZodType>(schema: Schema) => ({ required: true, content: json(schema) })

const header = (description: string) => ({ description, schema: { type: 'string' as const } })

export const etagHeader = { ETag: header('the version, as a strong entity tag: `"3"`') }
export const locationHeader = { Location: header('where what was created is') }
export const replayedHeader = {
  'Idempotent-Replayed': header('`true` on an answer that was given before for the same key'),
}

export const notModifiedResponse = { description: 'What If-None-Match names is current', headers: etagHeader }

/** `security` of a route that needs an access token. */
export const bearer = [{ accessToken: [] }]

/** A page of a list. */
export const page = <Schema extends z.ZodType>(name: string, item: Schema) =>
  z
    .object({
      data: z.array(item),
      nextCursor: z.string().nullable().openapi({ description: 'null on the last page' }),
    })
    .openapi(name)
