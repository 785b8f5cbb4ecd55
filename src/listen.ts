import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { type AddressInfo, type Socket, Server as TcpServer } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { securityHeaders } from './browser-policy.ts'
import { ConfigError } from './kernel/config-error.ts'
import { DomainError, validationFailed } from './kernel/errors.ts'
import { problemOf } from './kernel/http-errors.ts'
import { LinkedList } from './kernel/linked-list.ts'
import { isSystemError } from './kernel/system-error.ts'
import { listenFault } from './listen-address.ts'

export interface Listener {
  port: number
  /** Resolves with what has ended it, other than `close`. */
  failed: Promise<Error>
  /** From now on every answer asks its client to close the connection, and to go elsewhere. */
  drain(): void
  /**
   * No new connections; resolves when what is in flight has been answered. After `patience` milliseconds the
   * connections that are left are closed: by then they are clients that never finished asking.
   */
  close(patience: number): Promise<void>
}

/** Milliseconds that a client may take: who is slower holds a connection for its own sake. */
export interface TimeLimits {
  /** For the head of a request, from the connection's beginning or the request before. */
  head: number
  /** For a whole request, its body included. */
  request: number
  /** Without a byte going either way, such as for an answer that nobody reads. */
  idle: number
  /** To read why it was refused, before the connection is closed in any case. */
  linger: number
}

const timeLimits = (requestTimeout: number): TimeLimits => ({
  head: 10_000,
  request: 30_000,
  idle: requestTimeout + 60_000,
  linger: 1_000,
})

// Milliseconds between two requests of a connection. More than the 60 s of NGINX and most other balancers: who sends on a
// connection should also be who closes it, or a request now and then meets one that is just being closed.
const keepAlive = 75_000

// Bytes of a request's head. Node.js has the same by default, unless its command line says otherwise.
const headBound = 16 * 1024

/**
 * @param dataDir where a process that listens there already may have left a note of it
 * @throws ConfigError if the process cannot listen there
 */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  {
    port,
    host,
    requestTimeout = 0,
    dataDir,
  }: { port: number; host: string; requestTimeout?: number; dataDir?: string },
  limits = timeLimits(requestTimeout),
): Promise<Listener> {
  const refuse = (socket: Socket, answer: string) => {
    // Node.js has left the socket to us: an error of it that nobody hears would end the process.
    socket.on('error', () => socket.destroy())
    socket.end(answer)
    // Not at once, or what is still on its way here would take the answer from the client.
    setTimeout(() => socket.destroy(), limits.linger).unref()
  }
  const answer = getRequestListener(fetch, { errorHandler: malformedResponse })
  const inFlight = new LinkedList<ServerResponse>()
  let draining = false
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (draining) response.shouldKeepAlive = false
    const place = inFlight.add(response)
    response.once('close', () => inFlight.remove(place))
    return answer(request, response)
  }
  const drain = () => {
    draining = true
    for (const { value } of inFlight) value.shouldKeepAlive = false
  }
  // Left to the listener, which has an answer for a request without a host; Node.js would send an empty one.
  const server = createServer(
    {
      requireHostHeader: false,
      maxHeaderSize: headBound,
      headersTimeout: limits.head,
      requestTimeout: limits.request,
      keepAliveTimeout: keepAlive,
      connectionsCheckingInterval: Math.min(limits.head, 1_000),
    },
    listener,
  )
  const arrivals = new Map<Socket, number>()
  server.on('connection', (socket) => {
    arrivals.set(socket, performance.now())
    socket.once('close', () => arrivals.delete(socket))
  })
  server.setTimeout(limits.idle)
  // As many as the bound has room for: Node.js would drop those after the first 2,000 without a word.
  server.maxHeadersCount = 0
  // What a client expects beyond 100-continue is answered like any request (RFC 9110, 10.1.1 lets a server ignore it).
  server.on('checkExpectation', listener)
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const unanswered = [...inFlight].filter(({ value }) => value.req.socket === socket).at(-1)?.value
    // What came whole before it is carried out, and answered: nobody is to take a refusal for that answer.
    if (unanswered?.req.complete && socket.writable) {
      unanswered.shouldKeepAlive = false
      socket.on('error', () => socket.destroy())
    } else if (socket.writable) refuse(socket, refusalOf(error))
    else socket.destroy()
  })
  server.on('connect', (_request, socket: Socket) => refuse(socket, written(noTunnels())))
  return new Promise((resolve, reject) => {
    const refused = async (error: Error) => {
      reject(
        isSystemError(error) ? new ConfigError([await listenFault(error, { host, port }, dataDir)]) : error,
      )
    }
    server.once('error', refused)
    server.listen(port, host, () => {
      server.off('error', refused)
      const failed = new Promise<Error>((fail) => server.on('error', fail))
      const close = (patience: number) => {
        drain()
        return closed(server, arrivals, patience)
      }
      resolve({ port: (server.address() as AddressInfo).port, failed, drain, close })
    })
  })
}

// Milliseconds for who has just come to say something.
const silence = 1_000

/**
 * `close` alone would wait for every idle keep-alive connection: they go as soon as they are idle. To Node.js so is one
 * that was accepted this moment, and whose request is about to be read.
 */
async function closed(
  server: Server,
  arrivals: ReadonlyMap<Socket, number>,
  patience: number,
): Promise<void> {
  const end = setTimeout(() => server.closeAllConnections(), Math.max(0, patience))
  await nobodyAtTheDoor(server, Math.min(longestLook, patience / 2))
  // Of TCP: HTTP's own would first look through its connections, while more of them arrive.
  const closing = new Promise<void>((resolve) => TcpServer.prototype.close.call(server, () => resolve()))
  const closeIdle = () => {
    const now = performance.now()
    const isNew = ([socket, arrived]: [Socket, number]) => socket.bytesRead === 0 && now - arrived < silence
    if (![...arrivals].some(isNew)) server.closeIdleConnections()
  }
  // After the event loop has read what there is.
  const idle = setInterval(() => setImmediate(closeIdle), 50)
  closeIdle()
  await closing
  clearInterval(idle)
  clearTimeout(end)
}

// Milliseconds of one round of the event loop: it has looked for connections no longer ago than that.
const justLooked = 0.05
// A process that is busy all the time has no such moment, and must end all the same.
const longestLook = 500

/**
 * A moment at which no connection waits to be accepted, as the event loop has just seen. Those that wait when a socket
 * is closed are reset by the kernel, and with them requests that a balancer takes for sent and cannot pass on.
 */
async function nobodyAtTheDoor(server: Server, within: number): Promise<void> {
  let arrived = 0
  server.on('connection', () => {
    arrived += 1
  })
  const limit = performance.now() + within
  while (performance.now() < limit) {
    const before = arrived
    const started = performance.now()
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (arrived === before && performance.now() - started < justLooked) return
  }
}

const malformed = (): DomainError =>
  validationFailed({ parameter: 'request', message: 'must be a well-formed HTTP/1.1 request (RFC 9112)' })

const problemHeaders = () => ({
  ...securityHeaders,
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

function refusalOf({ code = '' }: NodeJS.ErrnoException): string {
  const status = ownStatuses[code]
  if (status === undefined) return written(malformed())
  return headOf(status, { ...securityHeaders, connection: 'close' })
}

const noTunnels = (): DomainError =>
  new DomainError('method_not_allowed', 'CONNECT: this is no proxy', {
    allowed: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
  })

/** The problem document, where there is no response to write it to. */
function written(error: DomainError): string {
  const headers = {
    ...problemHeaders(),
    ...(error.members.allowed ? { allow: [error.members.allowed].join(', ') } : {}),
  }
  const problem = problemOf(error)
  const body = JSON.stringify({ ...problem, requestId: headers['x-request-id'] })
  const framing = { 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
  return headOf(Number(problem.status), { ...headers, ...framing }) + body
}

function headOf(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`
}
