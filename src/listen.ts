import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ConfigError } from './kernel/config.ts'
import { DomainError, validationFailed } from './kernel/errors.ts'
import { problemOf } from './kernel/http-errors.ts'

export interface Listener {
  port: number
  /** From now on every answer asks its client to close the connection, and to go elsewhere. */
  drain(): void
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
  const answer = getRequestListener(fetch, { errorHandler: () => malformedResponse() })
  const inFlight = new Set<ServerResponse>()
  let draining = false
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (draining) response.shouldKeepAlive = false
    inFlight.add(response)
    response.once('close', () => inFlight.delete(response))
    return answer(request, response)
  }
  const drain = () => {
    draining = true
    for (const response of inFlight) response.shouldKeepAlive = false
  }
  // Left to the listener, which has an answer for a request without a host; Node.js would send an empty one.
  const server = createServer({ requireHostHeader: false }, listener)
  // What a client expects beyond 100-continue is answered like any request (RFC 9110, 10.1.1 lets a server ignore it).
  server.on('checkExpectation', listener)
  server.on('clientError', refuseMalformed)
  server.on('connect', (_request, socket: Socket) => {
    // Node.js has left the socket to us: an error of it that nobody hears would end the process.
    socket.on('error', () => socket.destroy())
    refuse(socket, noTunnels())
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(taken ? new ConfigError([`PORT ${port} is in use by another program: set another one`]) : error)
    })
    server.listen(port, host, () => {
      const close = (patience: number) => {
        drain()
        return closed(server, patience)
      }
      resolve({ port: (server.address() as AddressInfo).port, drain, close })
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

function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const status = ownStatuses[error.code ?? '']
  if (status !== undefined) {
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`)
    return
  }
  refuse(socket, malformed())
}

const noTunnels = (): DomainError =>
  new DomainError('method_not_allowed', 'CONNECT: this is no proxy', {
    allowed: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
  })

/** The problem document, where there is no response to write it to. */
function refuse(socket: Socket, error: DomainError): void {
  const headers = {
    ...problemHeaders(),
    ...(error.members.allowed ? { allow: [error.members.allowed].join(', ') } : {}),
  }
  const problem = problemOf(error)
  const body = JSON.stringify({ ...problem, requestId: headers['x-request-id'] })
  const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' })
  const head = lines.map(([name, value]) => `${name}: ${value}`).join('\r\n')
  const status = Number(problem.status)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n\r\n${body}`)
}
