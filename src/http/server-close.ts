import type { Server } from 'node:http'
import { type Socket, Server as TcpServer } from 'node:net'

// The time in which a new connection must send its first request.
const firstRequestWithinMs = 1_000
const closeIdleEveryMs = 50

/**
 * Closes a server once its requests in flight have been answered. Node.js' own `close` would wait for every idle keep-alive
 * connection. This function closes them as soon as they are idle, except those that have just been accepted: Node.js counts
 * them as idle although their request is about to be read.
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
  // The `close` of HTTP would first visit all connections while more of them arrive, so that the `close` of TCP is called.
  const closing = new Promise<void>((resolve) => TcpServer.prototype.close.call(server, () => resolve()))
  const closeIdle = () => {
    const now = performance.now()
    const isNew = ([socket, arrived]: [Socket, number]) =>
      socket.bytesRead === 0 && now - arrived < firstRequestWithinMs
    if (![...arrivals].some(isNew)) server.closeIdleConnections()
  }
  // After setImmediate the event loop has read the requests that have arrived.
  const idle = setInterval(() => setImmediate(closeIdle), closeIdleEveryMs)
  closeIdle()
  await closing
  clearInterval(idle)
  clearTimeout(end)
}

// A turn of the event loop that is shorter than this has accepted no connection.
const shortTurnMs = 0.05
// A busy process may have no such turn, and must close nevertheless.
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
    if (accepted === before && performance.now() - started < shortTurnMs) return
  }
}
