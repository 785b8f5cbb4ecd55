import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { RequestError } from '@hono/node-server'
import { requestIdFrom } from '#kernel/call.ts'
import { DomainError, validationFailed } from '#kernel/errors.ts'
import { methodNotAllowed, renderProblem } from '#kernel/http/problem-documents.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { securityHeaders } from './security-headers.ts'

/** Time limits for clients. A slow client must not occupy a connection for long. */
export interface TimeLimits {
  /** For the request line and the header fields, from the start of the connection or the end of the previous request. */
  headMs: number
  /** For a whole request with its body. */
  requestMs: number
  /** For a connection without a byte in either direction. */
  idleMs: number
  /** For a client that takes no byte of an answer. */
  unreadMs: number
  /** For the client to read a refusal, before the connection is closed. */
  lingerMs: number
}

/** The maximum size of the request line and the header fields together. It is also the default of Node.js. */
export const maxHeadBytes = 16 * 1024

export const malformedRequest = (): DomainError =>
  validationFailed({
    parameter: 'request',
    code: 'format',
    message: 'must be a well-formed HTTP/1.1 request (RFC 9112)',
  })

export type Refusals = ReturnType<typeof createRefusals>

const refused = {
  name: 'trivet_http_refused_requests_total',
  help: 'Requests that were refused before they reached the application, by the code of the problem',
}

/**
 * Makes the answers to requests that reach no route. Each one ends its connection, is logged under its request id, and counts in
 * the metrics.
 */
export function createRefusals(logger: Logger | undefined, metrics?: Metrics) {
  for (const code of ['validation_failed', 'headers_too_large', 'request_timeout'])
    metrics?.counter(refused, { code })
  const render = (error: DomainError, request?: IncomingMessage, cause: unknown = error) => {
    const requestId = requestIdFrom(request?.headers['x-request-id']?.toString())
    const { status, headers, body } = renderProblem(error, requestId)
    metrics?.counter(refused, { code: error.code }).add()
    const line = { requestId, status, code: error.code, err: cause }
    if (status === 500) logger?.repeatable(String(cause), 'error', line, error.message)
    else logger?.info(line, 'request refused')
    const closing = { 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
    return {
      status,
      headers: { ...securityHeaders, 'x-request-id': requestId, ...headers, ...closing },
      body,
    }
  }

  return {
    send(response: ServerResponse, error: DomainError): void {
      const { status, headers, body } = render(error, response.req)
      response.writeHead(status, headers).end(body)
    },

    /** Answers a request that Hono's adapter could not pass on, or that the application failed to answer. */
    answerUnhandled(error: unknown): Response {
      if (error instanceof RequestError) return responseOf(render(malformedRequest()))
      const failure = new DomainError('internal_error', 'the application did not answer')
      return responseOf(render(failure, undefined, error))
    },

    /**
     * Returns a refusal as the text of an HTTP answer, for a socket without a response object.
     * @param request the request whose header fields were read before the fault
     */
    textOf(error: DomainError, request?: IncomingMessage): string {
      const { status, headers, body } = render(error, request)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      const date = new Date().toUTCString()
      return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ndate: ${date}\r\n${lines.join('')}\r\n${body}`
    },
  }
}

const responseOf = ({ body, ...init }: { status: number; headers: Record<string, string>; body: string }) =>
  new Response(body, init)

const seconds = (milliseconds: number) => `${milliseconds / 1_000} s`

export function clientErrorRefusal(
  { code }: NodeJS.ErrnoException,
  { headMs, requestMs }: TimeLimits,
): DomainError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new DomainError(
        'headers_too_large',
        `the request line and the header fields must have ${maxHeadBytes} bytes or fewer together`,
      )
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new DomainError('body_too_large', 'the extensions of a chunk must have 16384 bytes or fewer')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new DomainError(
        'request_timeout',
        `the header fields must arrive within ${seconds(headMs)}, and the whole request within ${seconds(requestMs)}`,
      )
    default:
      return malformedRequest()
  }
}

/**
 * The refusal of CONNECT. It lists the methods of all routes, because the target of CONNECT is a server and not a path.
 */
export const connectRefused = (): DomainError =>
  methodNotAllowed('CONNECT', 'this server', ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
