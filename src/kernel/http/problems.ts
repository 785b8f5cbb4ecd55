import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { DomainError, type ErrorCode, excerpt, listedFaults } from '#kernel/errors.ts'
import { respond } from './respond.ts'

interface Problem {
  status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 412 | 413 | 415 | 422 | 428 | 429 | 431 | 500 | 503
  title: string
  /** Seconds, for the member of this name and for `Retry-After`, where the error does not say how many. */
  retryAfter?: number
  /** The members that this code has beyond those of every problem. */
  members?: z.ZodRawShape
}

const fault = z.union([
  z.object({ pointer: z.string(), message: z.string() }),
  z.object({ parameter: z.string(), message: z.string() }),
])
const shortItem = z.object({ productId: z.string(), requested: z.int(), available: z.int() })

const unknownOrder = {
  orderId: z.string().optional().openapi({ description: 'of an order whose outcome is not known yet' }),
}

/** The one table from code to HTTP. */
export const problems: Record<ErrorCode, Problem> = {
  validation_failed: {
    status: 400,
    title: 'The request is not valid',
    members: {
      errors: z.array(fault).max(listedFaults),
      errorCount: z
        .int()
        .optional()
        .openapi({ description: 'how many faults were found, if more than are listed' }),
    },
  },
  malformed_json: { status: 400, title: 'The body is not JSON' },
  unauthenticated: { status: 401, title: 'Sign in first' },
  invalid_token: { status: 401, title: 'The token is not valid' },
  token_expired: { status: 401, title: 'The access token has expired' },
  invalid_credentials: { status: 401, title: 'Unknown account or wrong password' },
  forbidden: { status: 403, title: 'Your role does not allow this' },
  route_not_found: { status: 404, title: 'There is no such route' },
  product_not_found: { status: 404, title: 'There is no such product' },
  order_not_found: { status: 404, title: 'There is no such order' },
  method_not_allowed: {
    status: 405,
    title: 'The route does not have this method',
    members: { allowed: z.array(z.string()) },
  },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  email_taken: { status: 409, title: 'The e-mail address is taken' },
  username_taken: { status: 409, title: 'The username is taken' },
  version_conflict: {
    status: 409,
    title: 'It has changed since it was read',
    members: { currentVersion: z.int(), current: z.record(z.string(), z.unknown()) },
  },
  insufficient_stock: { status: 409, title: 'Not enough in stock', members: { items: z.array(shortItem) } },
  invalid_transition: {
    status: 409,
    title: 'The status does not allow this step',
    members: { from: z.string(), to: z.string(), allowed: z.array(z.string()) },
  },
  request_in_progress: {
    status: 409,
    title: 'The first request with this key is still running',
    retryAfter: 1,
  },
  precondition_failed: { status: 412, title: 'A precondition does not hold' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: {
    status: 415,
    title: 'The body has to be application/json in UTF-8, uncompressed',
  },
  unknown_product: {
    status: 422,
    title: 'A product does not exist',
    members: { productIds: z.array(z.string()) },
  },
  idempotency_key_reused: { status: 422, title: 'The key was used for another request' },
  precondition_required: { status: 428, title: 'Name the version that the change is based on' },
  rate_limited: { status: 429, title: 'Too many attempts', retryAfter: 1 },
  headers_too_large: { status: 431, title: 'The header fields are too large' },
  internal_error: { status: 500, title: 'Internal error' },
  dependency_unavailable: {
    status: 503,
    title: 'Temporarily unavailable',
    retryAfter: 1,
    members: unknownOrder,
  },
  overloaded: { status: 503, title: 'Too busy', retryAfter: 1, members: unknownOrder },
}

export const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(problems, code)

// UTF-16 units of a `detail`. The members have everything.
const detailBound = 500

/** The problem document (RFC 9457) of an error, without the members that belong to one response. */
export function problemOf(error: DomainError): Record<string, unknown> {
  const { status, title } = problems[error.code]
  return {
    type: `/problems/${error.code}`,
    title,
    status,
    code: error.code,
    detail: excerpt(error.message, detailBound),
    ...error.members,
  }
}

/** The error that a problem document stands for, or undefined if it is none of ours. */
export function errorOf(problem: unknown): DomainError | undefined {
  if (typeof problem !== 'object' || problem === null || !('code' in problem) || !isErrorCode(problem.code)) {
    return undefined
  }
  const {
    type: _type,
    title: _title,
    status: _status,
    code,
    detail,
    requestId: _id,
    ...members
  } = problem as Record<string, unknown> & { code: ErrorCode }
  return new DomainError(code, typeof detail === 'string' ? detail : '', members)
}

// RFC 6750, section 3.1: what the token was refused for goes into the challenge.
const challenges: Partial<Record<ErrorCode, string>> = {
  invalid_token: 'Bearer error="invalid_token"',
  token_expired: 'Bearer error="invalid_token", error_description="expired"',
}

const retryAfterOf = ({ members }: DomainError) =>
  typeof members.retryAfter === 'number' ? { retryAfter: members.retryAfter } : {}

/** The status, headers and body of the answer that tells a client of an error. */
export function answerOf(error: DomainError, requestId: string | undefined) {
  const { status, retryAfter } = { ...problems[error.code], ...retryAfterOf(error) }
  const { allowed } = error.members
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    ...(status === 401 && { 'www-authenticate': challenges[error.code] ?? 'Bearer' }),
    ...(status === 405 && Array.isArray(allowed) && { allow: allowed.join(', ') }),
    ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
  }
  // What is undefined is left out of the text.
  return { status, headers, body: JSON.stringify({ ...problemOf(error), retryAfter, requestId }) }
}

export function problemResponse(c: Context, error: DomainError): Response {
  const { status, headers, body } = answerOf(error, c.get('call')?.requestId)
  return respond(c, body, status, headers)
}

// The longest path that a message repeats, in characters: an answer does not grow with the request.
const shownPath = 100

const shown = (path: string): string => (path.length > shownPath ? `${path.slice(0, shownPath)}…` : path)

export const routeNotFound = (path: string): DomainError =>
  new DomainError(
    'route_not_found',
    `${shown(path)}: there is no such route; GET /docs lists those that there are`,
  )

/** @param allowed the methods that the path has */
export const methodNotAllowed = (method: string, path: string, allowed: readonly string[]): DomainError =>
  new DomainError(
    'method_not_allowed',
    `${method}: ${shown(path)} has ${allowed.join(', ')}; GET /docs describes them`,
    { allowed },
  )
