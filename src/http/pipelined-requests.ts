import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { HeldMemory } from './held-memory.ts'

/** The parts of a connection with which Node.js itself pauses a client that does not read. Node.js does not document them. */
interface ParsedSocket extends Socket {
  _paused: boolean
  parser: {
    /** Takes a request whose head is complete. The parser continues after 0. */
    onIncoming(request: IncomingMessage, keepAlive: boolean): number
    execute(bytes: Buffer): unknown
    resume(): void
  } | null
}

/** The error with which the parser reports that a callback has paused it. */
interface ParserPause extends Error {
  /** What arrived together. The parser has read the first `bytesParsed` bytes. */
  rawPacket: Buffer
  bytesParsed: number
}

// The result of a callback that pauses the parser (HPE_PAUSED of llhttp).
const pauseParser = 21

// A part of a buffer, because the parser would take an empty buffer for the end of the connection.
const noBytes = Buffer.alloc(1).subarray(1)

export type Pipelines = ReturnType<typeof createPipelines>

// The number of requests that may run at the same time of all those that had to wait for an earlier answer on their connection.
// Clients that pipeline thus leave most of the time to the others.
const maxRunning = 4

/**
 * Carries out the requests of a connection one after the other. While a request is being answered, at most one more is waiting,
 * and the bytes after that one stay unread. Node.js by itself emits every request of the 64 KiB that it reads at once: up to
 * 3,400 requests of one connection, each of which would start at the same time, and keep its answer in memory.
 * @param start carries out a request, and returns when the answer has been given to the socket
 * @param held counts the bytes that stay unread
 */
export function createPipelines(
  start: (request: IncomingMessage, response: ServerResponse) => Promise<void> | undefined,
  held: Pick<HeldMemory, 'add'>,
) {
  const waiting = new Map<Socket, ServerResponse[]>()
  const limit = pLimit(maxRunning)

  // After an answer with `Connection: close`, no request is carried out (RFC 9112, 9.6).
  const startIfOpen = (response: ServerResponse) =>
    response.req.socket.writable ? start(response.req, response) : undefined

  const startFirst = async (socket: Socket) => {
    // Requests that are answered at once would otherwise follow each other without a turn of the event loop for other connections.
    await nextTurn()
    const responses = waiting.get(socket) ?? []
    const response = responses.shift()
    const started = response && startIfOpen(response)
    if (responses.length === 0) {
      waiting.delete(socket)
      if (socket.writable) resume(socket as ParsedSocket)
    }
    await started
  }

  return {
    /** Lets the parser of each connection pause while a request waits. */
    watch(server: Server): void {
      server.on('connection', (socket: Socket) => {
        const { parser } = socket as ParsedSocket
        if (!parser) return
        const { onIncoming } = parser
        parser.onIncoming = (request, keepAlive) => {
          const result = onIncoming(request, keepAlive)
          return waiting.has(socket) ? pauseParser : result
        }
      })
    },

    /** Starts a request, or lets it wait until the earlier ones of its connection are answered. */
    take(response: ServerResponse): void {
      // A response gets its socket when those of all earlier requests have been sent.
      if (response.socket) {
        void startIfOpen(response)
        return
      }
      const { socket } = response.req
      const responses = waiting.get(socket)
      if (responses) responses.push(response)
      else waiting.set(socket, [response])
    },

    /** Keeps the bytes after the pause for later. To be called with each error of a parser, and returns whether it was a pause. */
    keepRest(error: NodeJS.ErrnoException, socket: Socket): boolean {
      if (error.code !== 'HPE_PAUSED') return false
      const { rawPacket, bytesParsed } = error as ParserPause
      ;(socket as ParsedSocket)._paused = true
      socket.pause()
      if (bytesParsed === rawPacket.length) return true
      socket.unshift(rawPacket.subarray(bytesParsed))
      held.add(socket, rawPacket.length)
      return true
    },

    /** Starts the next request of a connection. To be called when a response is complete. */
    next(socket: Socket): void {
      if (waiting.has(socket)) void limit(startFirst, socket)
    },
  }
}

function resume(socket: ParsedSocket): void {
  socket._paused = false
  socket.parser?.resume()
  // Ends the request at whose head the parser has paused, since no bytes may follow.
  socket.parser?.execute(noBytes)
  socket.resume()
}
