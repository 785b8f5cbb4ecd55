import type { ServerResponse } from 'node:http'
import { requestIdFrom } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import { renderProblem } from '#kernel/http/problem-documents.ts'
import type { Logger } from '#kernel/logger.ts'
import { crossOriginHeaders } from '../cross-origin.ts'
import { securityHeaders } from '../security-headers.ts'

const error = new DomainError('overloaded', 'too many requests are waiting; try again shortly')
// It has the form of a request id, and occurs once in the document.
const placeholder = 'request-id-placeholder'

/**
 * Makes the answer to requests that are not admitted. It is prepared as far as possible, because there may be many of them.
 * Their number is logged.
 */
export function createOverloadedAnswer(options: {
  corsOrigins: readonly string[]
  logger: Logger | undefined
}): (response: ServerResponse) => void {
  const { corsOrigins, logger } = options
  const { status, headers, body } = renderProblem(error, placeholder)
  const [before = '', after = ''] = body.split(placeholder)
  const line = { status, code: error.code }
  const fixed = Object.entries({ ...securityHeaders, ...headers }).flat()

  return (response) => {
    logger?.repeatable('overloaded', 'warn', line, 'refused a request, because too many are waiting')
    const { headers } = response.req
    const requestId = requestIdFrom(headers['x-request-id']?.toString())
    const text = before + requestId + after
    const own = ['x-request-id', requestId, 'content-length', String(Buffer.byteLength(text))]
    const crossOrigin =
      corsOrigins.length > 0 ? Object.entries(crossOriginHeaders(corsOrigins, headers.origin)).flat() : []
    response.writeHead(status, [...fixed, ...own, ...crossOrigin]).end(text)
  }
}
