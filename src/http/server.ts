import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Node, Yallist } from 'yallist'
import { ConfigError } from '#kernel/config/config-error.ts'
import { type DomainError, validationFailed } from '#kernel/errors.ts'
import { createProxyCheck } from '#kernel/http/client-address.ts'
import { isSystemError } from '#kernel/system-error.ts'
import { type AdmissionOptions, createAdmission } from './admission/admission.ts'
import { limitConnections, readConnectionLimit } from './connection-limit.ts'
import { createHeldMemory, type HeldMemory, maxHeldBytes } from './held-memory.ts'
import { type ListenAddress, listenFault } from './listen-address.ts'
import { createPipelines, type Pipelines } from './pipelined-requests.ts'
import {
  clientErrorRefusal,
  connectRefused,
  createRefusals,
  malformedRequest,
  maxHeadBytes,
  type Refusals,
  type TimeLimits,
} from './raw-answers.ts'
import { faultOfHost, originForm } from './request-target.ts'
import { closeServer } from './server-close.ts'

export interface Listener {
  port: number
  /** Resolves with the error that has ended the listener. It never resolves because of `close`. */
  failed: Promise<Error>
  /** From now on each answer has `Connection: close`, so that its client connects to another replica. */
  drain(): void
  /**
   * Accepts no new connections, and resolves when the requests in flight have been answered. After `timeoutMs` the remaining
   * connections are closed.
   */
  close(timeoutMs: number): Promise<void>
}

const defaultLimits = (requestTimeoutMs: number): TimeLimits => ({
  headMs: 10_000,
  requestMs: 30_000,
  idleMs: requestTimeoutMs + 60_000,
  unreadMs: 30_000,
  lingerMs: 1_000,
})

// The time that a connection stays open without a request. It is longer than the 60 s of NGINX and most other load balancers, so
// that they close the connection first. Otherwise they could send a request while the server closes the connection.
const keepAliveMs = 75_000

// The host of the URL that the application sees. Hono's adapter would use the Host header, and refuse some valid ones.
const fixedHost = 'localhost'

// The default of Node.js is 511. Linux applies the lower limit of `net.core.somaxconn`, which is 4,096 by default. A connection that
// does not fit must knock again after a second.
const backlog = 4_096

export interface ListenOptions extends ListenAddress, AdmissionOptions {
  /** The time after which the application has answered each request. */
  requestTimeoutMs: number
  /** The folder with the PID file of a process that may already use the port. */
  dataDir?: string
  /** Addresses whose idle connections are not closed where there is no room for another connection. */
  trustedProxies?: readonly string[]
  /** The default is as many as the operating system allows, and 8,192 at most. */
  maxConnections?: number
}

/**
 * Listens for HTTP requests.
 * @throws ConfigError if the process cannot listen on this host and port
 */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  options: ListenOptions,
  limits = defaultLimits(options.requestTimeoutMs),
): Promise<Listener> {
  const { logger, metrics, trustedProxies = [] } = options
  const refusals = createRefusals(logger, metrics)
  const held = createHeldMemory({ maxBytes: maxHeldBytes, logger })
  const { listener, inFlight, pipelines, drain } = createRequestListener(
    fetch,
    { refusals, held, limits },
    options,
  )
  const server = createHttpServer(listener, limits)
  pipelines.watch(server)
  server.on('timeout', held.closeIdle)
  refuseWithoutRequest(server, { inFlight, pipelines, limits, refusals })
  const arrivals = new Map<Socket, number>()
  server.on('connection', (socket) => {
    arrivals.set(socket, performance.now())
    socket.once('close', () => arrivals.delete(socket))
  })
  limitConnections(server, {
    limit: readConnectionLimit(options.maxConnections),
    arrivals,
    busy: () => new Set([...inFlight].map(({ req }) => req.socket)),
    isProxy: createProxyCheck(trustedProxies),
    logger,
  })
  await startListening(server, options)
  return {
    port: (server.address() as AddressInfo).port,
    failed: new Promise((fail) => server.on('error', fail)),
    drain,
    close(timeoutMs) {
      drain()
      return closeServer(server, arrivals, timeoutMs)
    },
  }
}

/** Makes the listener that passes valid requests on to the application, and refuses the others. */
function createRequestListener(
  fetch: (request: Request) => Response | Promise<Response>,
  { refusals, held, limits }: { refusals: Refusals; held: HeldMemory; limits: TimeLimits },
  options: AdmissionOptions,
) {
  const answer = getRequestListener(fetch, { errorHandler: refusals.answerUnhandled })
  const admit = createAdmission(answer, options)
  const inFlight = new Yallist<ServerResponse>()
  let isDraining = false
  const pipelines = createPipelines((request, response) => {
    const fault = faultOfHost(request)
    const target = originForm(request)
    if (fault || target === undefined) {
      const error = fault ? validationFailed({ parameter: 'Host', ...fault }) : malformedRequest()
      refusals.send(response, error)
      return undefined
    }
    request.url = target
    request.headers.host = fixedHost
    return admit(request, response).then(() => held.countAnswer(response, limits.unreadMs))
  }, held)
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    if (isDraining) response.shouldKeepAlive = false
    const node = new Node(response)
    inFlight.pushNode(node)
    response.once('close', () => {
      inFlight.removeNode(node)
      held.release(request.socket)
      pipelines.next(request.socket)
    })
    if (request.method !== 'GET' && request.method !== 'HEAD') held.countBody(request)
    pipelines.take(response)
  }
  const drain = () => {
    isDraining = true
    for (const response of inFlight) response.shouldKeepAlive = false
  }
  return { listener, inFlight, pipelines, drain }
}

function createHttpServer(
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  limits: TimeLimits,
): Server {
  const server = createServer(
    {
      // The listener checks the Host header itself: Node.js would refuse an empty one, and accept two.
      requireHostHeader: false,
      maxHeaderSize: maxHeadBytes,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: Math.min(limits.headMs, 1_000),
    },
    listener,
  )
  // A client may close its side after its request and still wait for the answer (RFC 9112, 9.6). Node.js does not document
  // this property. Without it, an answer that is not immediate is discarded.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.setTimeout(limits.idleMs)
  // Removes the limit of 2,000 header fields, because Node.js silently drops the others. `maxHeadBytes` limits them
  // instead.
  server.maxHeadersCount = 0
  // An expectation other than 100-continue is ignored, as RFC 9110 (10.1.1) permits.
  server.on('checkExpectation', listener)
  return server
}

/** Answers CONNECT and malformed requests, for which Node.js emits no request. */
function refuseWithoutRequest(
  server: Server,
  options: {
    inFlight: Iterable<ServerResponse>
    pipelines: Pipelines
    limits: TimeLimits
    refusals: Refusals
  },
): void {
  const { inFlight, pipelines, limits, refusals } = options
  const unansweredOn = (socket: Socket) => [...inFlight].filter(({ req }) => req.socket === socket)
  // Node.js does not handle the errors of such a socket any more. An error without a listener would end the process.
  const handleErrors = (socket: Socket) => socket.on('error', () => socket.destroy())
  const refuse = (socket: Socket, error: DomainError, request?: IncomingMessage) => {
    socket.end(refusals.textOf(error, request))
    // The socket stays open for a while, because closing it while bytes arrive would reset the connection before the
    // client has read the answer.
    setTimeout(() => socket.destroy(), limits.lingerMs).unref()
  }
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (pipelines.keepRest(error, socket)) return
    if (!socket.writable) return socket.destroy()
    handleErrors(socket)
    const unanswered = unansweredOn(socket)
    // An earlier request is complete and is still being answered. The client would take a refusal for the answer to that
    // request.
    const answered = unanswered.findLast(({ req }) => req.complete)
    if (answered) answered.shouldKeepAlive = false
    else refuse(socket, clientErrorRefusal(error, limits), unanswered.at(-1)?.req)
  })
  server.on('connect', (request, socket: Socket) => {
    handleErrors(socket)
    const earlier = unansweredOn(socket).at(-1)
    const refuseConnect = () => refuse(socket, connectRefused(), request)
    if (earlier) earlier.once('close', refuseConnect)
    else refuseConnect()
  })
}

function startListening(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = async (error: Error) => {
      reject(
        isSystemError(error) ? new ConfigError([await listenFault(error, options, options.dataDir)]) : error,
      )
    }
    server.once('error', fail)
    server.listen({ port: options.port, host: options.host, backlog }, () => {
      server.off('error', fail)
      resolve()
    })
  })
}
