import { z } from '@hono/zod-openapi'
import { faultCodes, listedFaults } from '#kernel/errors.ts'

/** The texts and members that a client gets with an error code. */
export interface Problem {
  status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 412 | 413 | 415 | 422 | 428 | 429 | 431 | 500 | 503
  title: string
  /** What has happened, in one to three sentences of Markdown. */
  meaning: string
  /** One or two sentences in Markdown that say what the client should do. */
  advice: string
  /** Seconds, for the member of this name and for the header `Retry-After`. An error may have its own number. */
  retryAfter?: number
  /** Whether a program should send the same request again by itself. False if absent. */
  retryable?: boolean
  /** The members that a problem of this code has in addition to those of every problem. */
  members?: z.ZodRawShape
  /** Example values of the members, for the OpenAPI document. */
  example?: Readonly<Record<string, unknown>>
}

export type ProblemTable = Readonly<Record<string, Problem>>

const faultCode = z.enum(faultCodes).openapi('FaultCode', {
  description:
    'What is wrong with a part of the input. The codes are stable. `required`: it is missing. `type`: it has another type. `min`, `max`: a number, a length or a count is too small or too large. `format`: a text does not have the required form, or is none of the listed values. `unknown`: there is no such field or parameter. `repeated`: it occurs again. `rule`: a rule about several fields, or about the resource, does not hold.',
})
const message = z.string().openapi({ description: 'What would be right. The text may change.' })
const bodyFault = z
  .object({
    pointer: z.string().openapi({ description: 'A JSON pointer (RFC 6901) into the body.' }),
    code: faultCode,
    message,
  })
  .openapi('BodyFault')
const parameterFault = z
  .object({
    parameter: z.string().openapi({ description: 'The name of a path, query or header parameter.' }),
    code: faultCode,
    message,
  })
  .openapi('ParameterFault')
const fault = z.union([bodyFault, parameterFault]).openapi('Fault')

/** The problems that any module can have. The problems of one module are in its problems.ts. */
export const kernelProblems = {
  validation_failed: {
    status: 400,
    title: 'The request is not valid',
    meaning:
      'A field or parameter has a wrong value, is missing, or does not belong to the request. `errors` names up to 20 of them, by `pointer` (RFC 6901) into the body or by `parameter`. `errorCount` is present if there are more.',
    members: {
      errors: z.array(fault).max(listedFaults),
      errorCount: z
        .int()
        .optional()
        .openapi({ description: 'The number of faults. Present if there are more than the listed ones.' }),
    },
    example: { errors: [{ pointer: '/lines/0/quantity', code: 'min', message: 'must be at least 1' }] },
    advice: 'Correct the fields and parameters that `errors` names.',
  },
  malformed_json: {
    status: 400,
    title: 'The body is not JSON',
    meaning: 'The body is not JSON, or not UTF-8.',
    advice: 'Send a JSON body in UTF-8.',
  },
  unauthenticated: {
    status: 401,
    title: 'The request has no access token',
    meaning: 'The request has no access token.',
    advice: 'Sign in, and send `Authorization: Bearer <token>`.',
  },
  invalid_token: {
    status: 401,
    title: 'The token is not valid',
    meaning:
      'The access token is damaged, is not for this API, or its account no longer exists; or the refresh token is unknown, spent or expired.',
    advice: 'Sign in again.',
  },
  token_expired: {
    status: 401,
    title: 'The access token has expired',
    meaning: 'The access token has expired.',
    advice: 'Refresh the access token, or sign in again.',
  },
  forbidden: {
    status: 403,
    title: 'Your role does not allow this',
    meaning: 'The role of the user does not allow this.',
    advice: 'Ask an admin to do this.',
  },
  route_not_found: {
    status: 404,
    title: 'The route does not exist',
    meaning: 'The path does not exist.',
    advice: 'Check the path. `/docs` lists the routes.',
  },
  method_not_allowed: {
    status: 405,
    title: 'The route does not have this method',
    meaning: 'The path does not have this method. `Allow` and `allowed` list its methods.',
    members: { allowed: z.array(z.string()) },
    example: { allowed: ['GET', 'HEAD'] },
    advice: 'Use one of the methods in `allowed`.',
  },
  request_timeout: {
    status: 408,
    title: 'The request took too long to arrive',
    meaning: 'The request, or its body, took too long to arrive. The connection is closed.',
    retryable: true,
    advice: 'Repeat the request over a faster connection.',
  },
  version_conflict: {
    status: 409,
    title: 'The resource has changed since it was read',
    meaning:
      'The resource has changed since the `version` that the update names. `current` is its current state.',
    members: { currentVersion: z.int(), current: z.record(z.string(), z.unknown()) },
    example: { currentVersion: 4, current: { version: 4 } },
    advice: 'Compare the change with `current`. Repeat the request with `currentVersion` as its `version`.',
  },
  request_in_progress: {
    status: 409,
    title: 'An earlier request with this key is not settled yet',
    meaning:
      'An earlier request with this `Idempotency-Key` is still running, or the order that it left behind is being cancelled.',
    retryAfter: 1,
    retryable: true,
    advice: 'Repeat the request unchanged after `Retry-After` seconds.',
  },
  precondition_failed: {
    status: 412,
    title: 'A precondition does not hold',
    meaning:
      '`If-Match` names another version than the current one, or `If-None-Match` names the current one.',
    advice:
      'Read the resource again. Repeat the request with its current `ETag` if the change is still right.',
  },
  body_too_large: {
    status: 413,
    title: 'The body is too large',
    meaning: 'The body has more than 1 MiB.',
    advice: 'Send a smaller body.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body is not uncompressed JSON in UTF-8',
    meaning: 'The body is not declared as JSON in UTF-8, or it is compressed.',
    advice: 'Send `Content-Type: application/json`, and no `Content-Encoding`.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'The key was used for another request',
    meaning: 'The `Idempotency-Key` was used for another request.',
    advice: 'Use a new key for a new request.',
  },
  precondition_required: {
    status: 428,
    title: 'The request does not name a version',
    meaning: 'The update does not say which version it is based on.',
    advice: 'Send `version` or `If-Match`.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many attempts',
    meaning:
      'There were too many failed sign-ins for an account or from an address, or too many registrations. `RateLimit-Policy` has the limits.',
    retryAfter: 1,
    retryable: true,
    advice: 'Wait for `Retry-After` seconds. The time is longer each time that the limit is reached.',
  },
  headers_too_large: {
    status: 431,
    title: 'The header fields are too large',
    meaning: 'The request line and the header fields have more than 16 KiB together.',
    advice: 'Send fewer or shorter header fields.',
  },
  internal_error: {
    status: 500,
    title: 'Internal error',
    meaning: 'The program has a defect. The log has the error under the `requestId`.',
    advice: 'Report the error with its `requestId`.',
  },
  dependency_unavailable: {
    status: 503,
    title: 'Temporarily unavailable',
    meaning: 'The database or another service did not answer in time. A write may have taken effect.',
    retryAfter: 1,
    retryable: true,
    advice: 'Repeat the request after `Retry-After` seconds, with the same `Idempotency-Key` if it has one.',
  },
  overloaded: {
    status: 503,
    title: 'Too many requests are waiting',
    meaning: 'Too many requests are waiting.',
    retryAfter: 1,
    retryable: true,
    advice: 'Repeat the request after `Retry-After` seconds.',
  },
} satisfies ProblemTable
