/** Every code that a client may meet. `http-errors.ts` maps each to its status; docs/errors.md describes each. */
export type ErrorCode =
  | 'validation_failed'
  | 'malformed_json'
  | 'unauthenticated'
  | 'invalid_token'
  | 'token_expired'
  | 'invalid_credentials'
  | 'forbidden'
  | 'route_not_found'
  | 'product_not_found'
  | 'order_not_found'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'email_taken'
  | 'username_taken'
  | 'version_conflict'
  | 'insufficient_stock'
  | 'invalid_transition'
  | 'request_in_progress'
  | 'precondition_failed'
  | 'body_too_large'
  | 'unsupported_media_type'
  | 'unknown_product'
  | 'idempotency_key_reused'
  | 'precondition_required'
  | 'rate_limited'
  | 'headers_too_large'
  | 'internal_error'
  | 'dependency_unavailable'
  | 'overloaded'

/**
 * A refusal or failure that the caller can be told of. `message` names what was wrong and what would be right;
 * `members` are the code's own members of the problem document (JSON-safe).
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

/** Something this process depends on failed or was too slow: the same request may succeed a moment later. */
export const dependencyUnavailable = (message: string, cause?: unknown): DomainError =>
  new DomainError('dependency_unavailable', message, {}, { cause })

/** One faulty input: `pointer` (RFC 6901) into the body, or the name of a path, query or header parameter. */
export type Fault = { pointer: string; message: string } | { parameter: string; message: string }

/** Faults that a refusal lists at most: an answer never grows with what was sent. */
export const listedFaults = 20

export const validationFailed = (...errors: Fault[]): DomainError => refusedInput(errors, errors.length)

/**
 * The refusal of a request with faults.
 * @param count how many faults were found, if more than are listed; what is found in the part that was looked at
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

/** A text without its end, if it is longer than so many UTF-16 units. */
export const excerpt = (text: string, most: number): string =>
  (text.length > most ? `${text.slice(0, most)}…` : text).toWellFormed()
