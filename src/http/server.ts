import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { type AddressInfo, type Socket, Server as TcpServer } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import { ConfigError } from '#kernel/config/config-error.ts'
import { DomainError, validationFailed } from '#kernel/errors.ts'
import { answerOf, methodNotAllowed } from '#kernel/http/problems.ts'
import { LinkedList } from '#kernel/linked-list.ts'
import { isSystemError } from '#kernel/system-error.ts'
import { listenFault } from './listen-address.ts'
import { faultOfHost, originForm } from './request-target.ts'
import { securityHeaders } from './security-headers.ts'

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

// Of the URL that a request is handed on with: Node.js's adapter would take it from the Host, and refuse some that are valid.
const fixedHost = 'localhost'

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
    requestTimeout: requestTimeoutMs = 0,
    dataDir,
  }: { port: number; host: string; requestTimeout?: number; dataDir?: string },
  limits = timeLimits(requestTimeoutMs),
): Promise<Listener> {
  const refuse = (socket: Socket, error: DomainError) => {
    // Node.js has left the socket to us: an error of it that nobody hears would end the process.
    socket.on('error', () => socket.destroy())
    socket.end(written(error))
    // Not at once, or what is still on its way here would take the answer from the client.
    setTimeout(() => socket.destroy(), limits.linger).unref()
  }
  const answer = getRequestListener(fetch, { errorHandler: answerTo })
  const inFlight = new LinkedList<ServerResponse>()
  let draining = false
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (draining) response.shouldKeepAlive = false
    const place = inFlight.add(response)
    response.once('close', () => inFlight.remove(place))
    const fault = faultOfHost(request)
    if (fault) return send(response, validationFailed({ parameter: 'Host', message: fault }))
    const target = originForm(request)
    if (target === undefined) return send(response, malformed())
    request.url = target
    request.headers.host = fixedHost
    return answer(request, response)
  }
  const drain = () => {
    draining = true
    for (const { value } of inFlight) value.shouldKeepAlive = false
  }
  // The listener checks the Host itself: Node.js would refuse an empty one, and accept two.
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
  // A client may close its side once it has sent its request, and still waits for the answer (RFC 9112, 9.6). Node.js does
  // not document this property; without it an answer that takes more than a moment is thrown away.
  Object.assign(server, { httpAllowHalfOpen: true })
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
    } else if (socket.writable) refuse(socket, refusalOf(error, limits))
    else socket.destroy()
  })
  server.on('connect', (_request, socket: Socket) => refuse(socket, noTunnels()))
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

/** The status, headers and body of an answer that no route gives, and that ends the connection. */
function refusal(error: DomainError) {
  const requestId = crypto.randomUUID()
  const { status, headers, body } = answerOf(error, requestId)
  const closing = { 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
  return { status, headers: { ...securityHeaders, 'x-request-id': requestId, ...headers, ...closing }, body }
}

function send(response: ServerResponse, error: DomainError): void {
  const { status, headers, body } = refusal(error)
  response.writeHead(status, headers).end(body)
}

/** The answer to a request that the adapter could not hand on, or to one that it was handed back without an answer. */
function answerTo(error: unknown): Response {
  const isMalformed = error instanceof RequestError
  const { body, ...init } = refusal(
    isMalformed ? malformed() : new DomainError('internal_error', 'no answer'),
  )
  return new Response(body, init)
}

const seconds = (milliseconds: number) => `${milliseconds / 1_000} s`

function refusalOf({ code }: NodeJS.ErrnoException, { head, request }: TimeLimits): DomainError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new DomainError(
        'headers_too_large',
        `the request line and the header fields must have ${headBound} bytes or fewer together`,
      )
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new DomainError('body_too_large', 'the extensions of a chunk must have 16384 bytes or fewer')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new DomainError(
        'request_timeout',
        `the header fields must arrive within ${seconds(head)}, and the whole request within ${seconds(request)}`,
      )
    default:
      return malformed()
  }
}

// Those of all routes together: the target of CONNECT is another server, and no path.
const noTunnels = (): DomainError =>
  methodNotAllowed('CONNECT', 'this server', ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])

/** The refusal, where there is no response to write it to. */
function written(error: DomainError): string {
  const { status, headers, body } = refusal(error)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const date = new Date().toUTCString()
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ndate: ${date}\r\n${lines.join('')}\r\n${body}`
}
