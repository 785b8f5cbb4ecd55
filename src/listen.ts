import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ConfigError } from './kernel/config.ts'
import { type DomainError, validationFailed } from './kernel/errors.ts'
import { problemOf } from './kernel/http-errors.ts'

export interface Listener {
  port: number
  /**
   * No new connections; resolves when what is in flight has been answered. After `patience` milliseconds the
   * connections that are left are closed: by then they are clients that never finished asking.
   */
  close(patience: number): Promise<void>
}

/** @throws ConfigError if the port is in use */
export function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { port, host }: { port: number; host: string },
): Promise<Listener> {
  const listener = getRequestListener(fetch, { errorHandler: () => malformedResponse() })
  // Left to the listener, which has an answer for a request without a host; Node.js would send an empty one.
  const server = createServer({ requireHostHeader: false }, listener)
  // What a client expects beyond 100-continue is answered like any request (RFC 9110, 10.1.1 lets a server ignore it).
  server.on('checkExpectation', listener)
  server.on('clientError', refuseMalformed)
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(taken ? new ConfigError([`PORT ${port} is in use by another program: set another one`]) : error)
    })
    server.listen(port, host, () => {
      resolve({ port: (server.address() as AddressInfo).port, close: (patience) => closed(server, patience) })
    })
  })
}

/** `close` alone would wait for every idle keep-alive connection: they go as soon as they are idle. */
async function closed(server: Server, patience: number): Promise<void> {
  const closing = new Promise<void>((resolve) => server.close(() => resolve()))
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const end = setTimeout(() => server.closeAllConnections(), Math.max(0, patience))
  server.closeIdleConnections()
  await closing
  clearInterval(idle)
  clearTimeout(end)
}

const malformed = (): DomainError =>
  validationFailed({ parameter: 'request', message: 'must be a well-formed HTTP/1.1 request (RFC 9112)' })

const problemHeaders = () => ({
  'content-type': 'application/problem+json',
  'x-request-id': crypto.randomUUID(),
})

function malformedResponse(): Response {
  const headers = problemHeaders()
  const body = { ...problemOf(malformed()), requestId: headers['x-request-id'] }
  return new Response(JSON.stringify(body), { status: 400, headers })
}

// As Node.js answers them by itself.
const ownStatuses: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }

function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket | IncomingMessage['socket']): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const status = ownStatuses[error.code ?? '']
  if (status !== undefined) {
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`)
    return
  }
  const headers = problemHeaders()
  const body = JSON.stringify({ ...problemOf(malformed()), requestId: headers['x-request-id'] })
  const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' })
  const head = lines.map(([name, value]) => `${name}: ${value}`).join('\r\n')
  socket.end(`HTTP/1.1 400 Bad Request\r\n${head}\r\n\r\n${body}`)
}
