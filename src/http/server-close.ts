import type { Server } from 'node:http'
import { type Socket, Server as TcpServer } from 'node:net'

// The time in which a new connection must start to send its first request. Afterwards it counts as idle.
const firstRequestWithinMs = 1_000
const closeIdleEveryMs = 50

/**
 * Closes a server once its requests in flight have been answered. Connections are closed as soon as they are idle.
 * Connections that have just been accepted are left open, because Node.js counts them as idle although their request
 * may be about to arrive.
 * @param arrivals when each open connection was accepted, as a value of `performance.now`
 * @param timeoutMs after this time the remaining connections are closed
 */
export async function closeServer(
  server: Server,
  arrivals: ReadonlyMap<Socket, number>,
  timeoutMs: number,
): Promise<void> {
  const end = setTimeout(() => server.closeAllConnections(), Math.max(0, timeoutMs))
  await untilAcceptQueueIsEmpty(server, Math.min(maxQueueCheckMs, timeoutMs / 2))
  // The `close` of an HTTP server visits all connections first, and more of them arrive in the meantime. The `close` of
  // its base class, the TCP server, stops accepting at once.
  const closing = new Promise<void>((resolve) => TcpServer.prototype.close.call(server, () => resolve()))
  const closeIdle = () => {
    const now = performance.now()
    const isNew = ([socket, arrived]: [Socket, number]) =>
      socket.bytesRead === 0 && now - arrived < firstRequestWithinMs
    if (![...arrivals].some(isNew)) server.closeIdleConnections()
  }
  // `setImmediate` lets the event loop first read the requests that have arrived.
  const idle = setInterval(() => setImmediate(closeIdle), closeIdleEveryMs)
  closeIdle()
  await closing
  clearInterval(idle)
  clearTimeout(end)
}

// An iteration of the event loop that is shorter than this time has accepted no connection.
const shortIterationMs = 0.05
// A busy process may have no such short iteration. After this time it closes its listener anyway.
const maxQueueCheckMs = 500

/**
 * Waits until the accept queue is probably empty. Closing the socket resets connections that are still in it. A load balancer
 * counts their requests as sent, and cannot repeat them.
 */
async function untilAcceptQueueIsEmpty(server: Server, withinMs: number): Promise<void> {
  let accepted = 0
  server.on('connection', () => {
    accepted += 1
  })
  const limit = performance.now() + withinMs
  while (performance.now() < limit) {
    const before = accepted
    const started = performance.now()
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (accepted === before && performance.now() - started < shortIterationMs) return
  }
}
