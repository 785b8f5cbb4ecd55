import type { ServerResponse } from 'node:http'
import { requestIdFrom } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import { renderProblem } from '#kernel/http/problem-documents.ts'
import { createOverloadedCount } from '#kernel/http/request-metrics.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { crossOriginHeaders } from '../cross-origin.ts'
import { securityHeaders } from '../security-headers.ts'

const error = new DomainError('overloaded', 'too many requests are waiting; try again shortly')
// It has the form of a request id, and occurs once in the document.
const placeholder = 'request-id-placeholder'

export type OverloadedAnswer = (response: ServerResponse, module: string) => void

/**
 * Makes the answer to requests that are not admitted. It is prepared as far as possible, because there may be many of them.
 * They are counted in the log, by module, and in the metrics.
 */
export function createOverloadedAnswer(options: {
  corsOrigins: readonly string[]
  logger: Logger | undefined
  metrics: Metrics | undefined
}): OverloadedAnswer {
  const { corsOrigins, logger, metrics } = options
  const count = metrics && createOverloadedCount(metrics)
  const { status, headers, body } = renderProblem(error, placeholder)
  const [before = '', after = ''] = body.split(placeholder)
  const fixed = Object.entries({ ...securityHeaders, ...headers }).flat()

  return (response, module) => {
    const { headers } = response.req
    const requestId = requestIdFrom(headers['x-request-id']?.toString())
    count?.()
    const line = { module, requestId, status, code: error.code }
    logger?.repeatable(
      `overloaded ${module}`,
      'warn',
      line,
      'refused a request, because too many are in progress',
    )
    const text = before + requestId + after
    const own = ['x-request-id', requestId, 'content-length', String(Buffer.byteLength(text))]
    const crossOrigin =
      corsOrigins.length > 0 ? Object.entries(crossOriginHeaders(corsOrigins, headers.origin)).flat() : []
    response.writeHead(status, [...fixed, ...own, ...crossOrigin]).end(text)
  }
}
