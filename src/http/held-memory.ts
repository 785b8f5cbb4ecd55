import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { maxBodyBytes } from '#kernel/http/body-limit.ts'
import type { Logger } from '#kernel/logger.ts'

/** The bytes that all connections together may make the process hold. */
export const maxHeldBytes = 16 * 1024 * 1024

// A body is counted from this size on. Almost every body is smaller, and complete as soon as it arrives.
const countedBodyBytes = 16 * 1024

interface Held {
  bytes: number
  /** A value of `performance.now`. */
  since: number
}

export type HeldMemory = ReturnType<typeof createHeldMemory>

/**
 * Counts the bytes that clients make the process hold: answers that they do not read, bodies of which the rest is missing, and
 * requests that they send before they have read the answers. If all connections together hold too much, those are closed that
 * hold the most for the longest time (bytes × time). Other clients hold little, and for a moment.
 */
export function createHeldMemory({ maxBytes, logger }: { maxBytes: number; logger: Logger | undefined }) {
  const connections = new Map<Socket, Held>()
  let total = 0

  const logClosed = (reason: string) =>
    logger?.repeatable(`closed connection: ${reason}`, 'warn', { reason }, 'closed a connection')

  const release = (socket: Socket) => {
    total -= connections.get(socket)?.bytes ?? 0
    connections.delete(socket)
  }

  const add = (socket: Socket, bytes: number) => {
    const held = connections.get(socket)
    if (held) held.bytes += bytes
    else connections.set(socket, { bytes, since: performance.now() })
    total += bytes
    while (total > maxBytes) {
      const worst = worstOf(connections)
      release(worst)
      worst.destroy()
      logClosed('its client made the process hold too much memory')
    }
  }

  return {
    add,

    /** Counts the body of a request while it arrives. */
    countBody(request: IncomingMessage): void {
      const { socket } = request
      const push = request.push
      let size = 0
      let counted = 0
      request.push = (chunk: Buffer | null) => {
        // A body over the limit is discarded while it arrives.
        if (chunk && counted < maxBodyBytes) {
          size += chunk.length
          if (size > countedBodyBytes) {
            add(socket, size - counted)
            counted = size
          }
        }
        return push.call(request, chunk)
      }
    },

    /** Counts an answer if the client has not taken all of it, and closes the connection if the client does not go on reading. */
    countAnswer({ req: { socket } }: ServerResponse, unreadMs: number): void {
      if (socket.writableLength === 0 || socket.destroyed) return
      add(socket, socket.writableLength)
      socket.setTimeout(unreadMs)
    },

    /** To be called when an answer is sent, or its connection is closed. */
    release(socket: Socket): void {
      if (connections.size > 0) release(socket)
    },

    /** Closes a connection that was without traffic for too long. */
    closeIdle(socket: Socket): void {
      if (connections.has(socket)) logClosed('its client did not read the answer')
      socket.destroy()
    },
  }
}

function worstOf(connections: ReadonlyMap<Socket, Held>): Socket {
  const now = performance.now()
  let worst: Socket | undefined
  let most = -1
  for (const [socket, { bytes, since }] of connections) {
    if (bytes * (now - since) <= most) continue
    most = bytes * (now - since)
    worst = socket
  }
  return worst as Socket
}
