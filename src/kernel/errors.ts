/**
 * The codes of the errors that a client can get, as keys. The kernel has the codes that any module can use. A module
 * declares its own codes in its problems.ts by declaration merging, so that a misspelt code is a compile error.
 */
export interface ErrorCodes {
  validation_failed: true
  malformed_json: true
  unauthenticated: true
  invalid_token: true
  token_expired: true
  forbidden: true
  route_not_found: true
  method_not_allowed: true
  request_timeout: true
  version_conflict: true
  request_in_progress: true
  precondition_failed: true
  body_too_large: true
  unsupported_media_type: true
  idempotency_key_reused: true
  precondition_required: true
  rate_limited: true
  headers_too_large: true
  internal_error: true
  dependency_unavailable: true
  overloaded: true
}

/** A code of the kernel or of a module. A table of problems (`problems.ts`) maps each to its status. */
export type ErrorCode = keyof ErrorCodes

/**
 * A refusal or a failure that the client gets as an answer. `message` names what was wrong and what would be right.
 * `members` are the members of the problem document that only this code has; they are JSON-safe.
 */
export class DomainError extends Error {
  override readonly name = 'DomainError'
  readonly code: ErrorCode
  readonly members: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    members: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.code = code
    this.members = members
  }
}

export const isDomainError = (error: unknown, ...codes: ErrorCode[]): error is DomainError =>
  error instanceof DomainError && (codes.length === 0 || codes.includes(error.code))

/** A dependency of this process failed or was too slow. The same request may succeed a moment later. */
export const dependencyUnavailable = (message: string, cause?: unknown): DomainError =>
  new DomainError('dependency_unavailable', message, {}, { cause })

/** The text of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Too many requests wait. @param name what they wait for */
export const overloaded = (waiting: number, name: string): DomainError =>
  new DomainError('overloaded', `${waiting} requests are waiting for ${name}; try again shortly`)

/**
 * What is wrong with a part of the input. The codes are stable, so that a client can show messages of its own.
 * - `required`: a field, parameter or header is missing
 * - `type`: a value has another type
 * - `min`, `max`: a number, a length or a count is out of bounds
 * - `format`: a text does not have the form that is asked for, or is none of the listed values
 * - `unknown`: the request has no such field or parameter
 * - `repeated`: something that may occur once occurs again
 * - `rule`: a rule about several fields, or about the resource, does not hold
 */
export const faultCodes = ['required', 'type', 'min', 'max', 'format', 'unknown', 'repeated', 'rule'] as const
export type FaultCode = (typeof faultCodes)[number]

/** One fault of the input: a `pointer` (RFC 6901) into the body, or the name of a path, query or header parameter. */
export type Fault = ({ pointer: string } | { parameter: string }) & { code: FaultCode; message: string }

/** The maximum number of faults that a refusal lists, so that the size of an answer is bounded. */
export const listedFaults = 20

export const validationFailed = (...errors: Fault[]): DomainError => refusedInput(errors, errors.length)

/**
 * The refusal of a request with faults.
 * @param count the number of faults that were found in the checked part of the request, listed or not
 */
export function refusedInput(faults: readonly Fault[], count: number): DomainError {
  const errors = faults.slice(0, listedFaults)
  const message = errors
    .map((fault) => `${'pointer' in fault ? fault.pointer || 'body' : fault.parameter}: ${fault.message}`)
    .join('; ')
  return new DomainError('validation_failed', message, {
    errors,
    ...(count > errors.length && { errorCount: count }),
  })
}

/** Shortens a text to `maxLength` UTF-16 units. */
export const excerpt = (text: string, maxLength: number): string =>
  (text.length > maxLength ? `${text.slice(0, maxLength)}…` : text).toWellFormed()
