import type { Context } from 'hono'
import { DomainError, type ErrorCode, excerpt, isDomainError } from '#kernel/errors.ts'
import { kernelProblems, type Problem, type ProblemTable } from './problems.ts'
import { respond } from './respond.ts'

/** Makes problem documents (RFC 9457) of errors, and errors of problem documents. */

/** The problem of a code. A code that the table lacks is a defect of the program, and is answered as `internal_error`. */
const problemFor = (code: string, table: ProblemTable): Problem =>
  Object.hasOwn(table, code) ? (table[code] as Problem) : kernelProblems.internal_error

// In UTF-16 units. Only the detail is shortened. The other members are complete.
const maxDetailLength = 500

/** The status of the answer to an error. */
export const statusOf = (error: unknown, table: ProblemTable = kernelProblems): Problem['status'] =>
  problemFor(isDomainError(error) ? error.code : 'internal_error', table).status

/** The problem document (RFC 9457) of an error, without the members that belong to one response. */
export function problemOf(error: DomainError, table: ProblemTable = kernelProblems): Record<string, unknown> {
  const { status, title, retryable = false } = problemFor(error.code, table)
  return {
    type: `/problems/${error.code}`,
    title,
    status,
    code: error.code,
    detail: excerpt(error.message, maxDetailLength),
    retryable,
    ...error.members,
  }
}

/**
 * Converts a problem document back to its error.
 * @param table has the codes that this process knows
 * @returns undefined for any other document
 */
export function errorOf(problem: unknown, table: ProblemTable = kernelProblems): DomainError | undefined {
  if (typeof problem !== 'object' || problem === null || !('code' in problem)) return undefined
  if (typeof problem.code !== 'string' || !Object.hasOwn(table, problem.code)) return undefined
  const {
    type: _type,
    title: _title,
    status: _status,
    code,
    detail,
    requestId: _id,
    retryable: _retryable,
    ...members
  } = problem as Record<string, unknown> & { code: ErrorCode }
  return new DomainError(code, typeof detail === 'string' ? detail : '', members)
}

// RFC 6750, section 3.1: the challenge has the reason for which the token was refused.
const challenges: Partial<Record<ErrorCode, string>> = {
  invalid_token: 'Bearer error="invalid_token"',
  token_expired: 'Bearer error="invalid_token", error_description="expired"',
}

const retryAfterOf = ({ members }: DomainError) =>
  typeof members.retryAfter === 'number' ? { retryAfter: members.retryAfter } : {}

/** The status, header fields and body of the answer to an error. */
export function renderProblem(
  error: DomainError,
  requestId: string | undefined,
  table: ProblemTable = kernelProblems,
) {
  const { status, retryAfter } = { ...problemFor(error.code, table), ...retryAfterOf(error) }
  const { allowed } = error.members
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    ...(status === 401 && { 'www-authenticate': challenges[error.code] ?? 'Bearer' }),
    ...(status === 405 && Array.isArray(allowed) && { allow: allowed.join(', ') }),
    ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
  }
  // JSON.stringify omits undefined members.
  return { status, headers, body: JSON.stringify({ ...problemOf(error, table), retryAfter, requestId }) }
}

export function problemResponse(
  c: Context,
  error: DomainError,
  table: ProblemTable = kernelProblems,
): Response {
  const { status, headers, body } = renderProblem(error, c.get('call')?.requestId, table)
  return respond(c, body, status, headers)
}

/**
 * Answers whatever was thrown. An error that the table does not have, and each `internal_error`, is answered without its message: the
 * log line of the request has it.
 */
export function failureResponse(c: Context, error: Error, table: ProblemTable = kernelProblems): Response {
  if (isDomainError(error) && error.code !== 'internal_error') {
    if (Object.hasOwn(table, error.code)) return problemResponse(c, error, table)
    // The log line of the request has this error instead.
    c.error = new Error(`no problems.ts has the code ${error.code}`, { cause: error })
  }
  const detail = 'the server failed; its log has the error under this request id'
  return problemResponse(c, new DomainError('internal_error', detail), table)
}

// The number of characters of a path that a message repeats, so that the size of an answer is bounded.
const maxPathLength = 100

/** @param advice what the answer says about the routes that exist */
export const routeNotFound = (path: string, advice = 'GET /docs lists all routes'): DomainError =>
  new DomainError('route_not_found', `${excerpt(path, maxPathLength)}: this route does not exist; ${advice}`)

/**
 * @param allowed the methods that the path has
 * @param advice what the answer says about the routes that exist
 */
export const methodNotAllowed = (
  method: string,
  path: string,
  allowed: readonly string[],
  advice = 'GET /docs describes them',
): DomainError =>
  new DomainError(
    'method_not_allowed',
    `${method}: ${excerpt(path, maxPathLength)} has the methods ${allowed.join(', ')}; ${advice}`,
    { allowed },
  )
