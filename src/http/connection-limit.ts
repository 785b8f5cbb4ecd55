import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '#kernel/logger.ts'

/** The maximum number of connections to the API. An idle one takes some 6 KB of memory. */
const maxApiConnections = 8_192

// Descriptors that are kept for other purposes than connections of clients: the connections to MongoDB and to other services, and
// files.
const otherDescriptors = 256

// When there is no room for a connection, this share of all connections is closed at once, so that room is seldom made.
const closedShare = 1 / 64

const refusedMessage = 'refused a connection: there are as many as the limit allows, and none is idle'

export interface ConnectionLimit {
  connections: number
  /** The number of descriptors that the operating system allows the process. */
  descriptors: number
}

interface Report {
  /** Absent on Windows. */
  userLimits?: { open_files: { soft: number | 'unlimited' } }
}

/** Reads the limit of the operating system, and derives the number of connections from it. */
export function readConnectionLimit(maxConnections = maxApiConnections): ConnectionLimit {
  // Otherwise the report would look up names of addresses. The type of `report` lacks this property.
  Object.assign(process.report, { excludeNetwork: true })
  const { userLimits } = process.report.getReport() as Report
  const limit = userLimits?.open_files.soft
  const descriptors = typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY
  const free = Math.max(descriptors - otherDescriptors, Math.floor(descriptors / 2))
  return { connections: Math.min(maxConnections, free), descriptors }
}

/**
 * Limits the number of connections. Where there is no room for another one, idle connections are closed: the oldest ones of the
 * address that has the most. A connection is refused only if there is no idle one. No address has a fixed limit, because thousands
 * of customers may share one.
 * @param options.arrivals the open connections, the oldest first
 * @param options.busy returns the connections with a request in progress
 * @param options.isProxy whether an address is that of a trusted proxy, which closes its idle connections by itself
 */
export function limitConnections(
  server: Server,
  options: {
    limit: ConnectionLimit
    arrivals: ReadonlyMap<Socket, unknown>
    busy(): ReadonlySet<Socket>
    isProxy(address: string): boolean
    logger: Logger | undefined
  },
): void {
  const { limit, arrivals, busy, isProxy, logger } = options
  server.maxConnections = limit.connections
  const makeRoom = () => {
    const idle = idleOfLargestAddress(arrivals.keys(), busy(), isProxy)
    for (const socket of idle.slice(0, Math.ceil(limit.connections * closedShare))) socket.destroy()
  }
  server.on('connection', () => {
    if (arrivals.size >= limit.connections) makeRoom()
  })
  server.on('drop', () => {
    logger?.repeatable('refused connection', 'warn', { ...limit }, refusedMessage)
  })
}

function idleOfLargestAddress(
  sockets: Iterable<Socket>,
  busy: ReadonlySet<Socket>,
  isProxy: (address: string) => boolean,
): Socket[] {
  const addressOf = ({ remoteAddress = '' }: Socket) => remoteAddress
  const idle = [...sockets].filter((socket) => !busy.has(socket) && !isProxy(addressOf(socket)))
  const byAddress = Map.groupBy(idle, addressOf)
  return [...byAddress.values()].reduce<Socket[]>(
    (most, each) => (each.length > most.length ? each : most),
    [],
  )
}
