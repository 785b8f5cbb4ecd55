import { createServer, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the network does to one request. */
export interface Delivery {
  /** How long the request travels. */
  delay?: number
  /** How often the request arrives: 0 loses it, 2 delivers it twice at the same time. */
  times?: number
  /** The request is carried out, and its answer is lost. */
  replyLost?: boolean
}

/** The network in front of a service: an address that stays the same while the processes behind it die and restart. */
export interface Link {
  url: string
  /** Sets the port that requests are delivered to. With undefined, each connection is cut. */
  leadTo(port: number | undefined): void
  /** `decide` is asked for each request from now on. Without it, each request arrives once and at once. */
  disturb(decide?: (path: string) => Delivery): void
  counts: { requestsLost: number; repliesLost: number; doubled: number; delayed: number }
  /** The number of requests without an outcome, including those that their callers have given up. */
  underWay(): number
  close(): Promise<void>
}

interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

export async function startLink(): Promise<Link> {
  let port: number | undefined
  let decide: (path: string) => Delivery = () => ({})
  const counts = { requestsLost: 0, repliesLost: 0, doubled: 0, delayed: 0 }

  const carry = async (incoming: IncomingMessage): Promise<Reply | undefined> => {
    const body = await buffer(incoming)
    const { delay = 0, times = 1, replyLost = false } = decide(incoming.url ?? '')
    if (delay > 0) counts.delayed++
    if (times > 1) counts.doubled++
    if (times === 0) counts.requestsLost++
    await sleep(delay)
    const deliveries = Array.from({ length: times }, () => exchange(port, incoming, body))
    const reply = (await Promise.all(deliveries)).at(-1)
    if (!replyLost) return reply
    counts.repliesLost++
    return undefined
  }

  let underWay = 0
  const server = createServer(async (incoming, outgoing) => {
    underWay++
    // If the caller gives up, its request still arrives, however late.
    const reply = await carry(incoming).catch(() => undefined)
    underWay--
    if (reply) outgoing.writeHead(reply.status, reply.headers).end(reply.body)
    else incoming.socket.destroy()
  })
  // Without this, the server could close an idle connection at the moment of its next use, which would look like a fault.
  server.keepAliveTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leadTo(target) {
      port = target
    },
    disturb(decision = () => ({})) {
      decide = decision
    },
    counts,
    underWay: () => underWay,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}

const exchange = (port: number | undefined, incoming: IncomingMessage, body: Buffer): Promise<Reply> =>
  new Promise((resolve, reject) => {
    if (port === undefined) {
      reject(new Error('no process listens here'))
      return
    }
    const headers = { ...incoming.headers, connection: 'close' }
    const { method, url: path } = incoming
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      const { connection, 'keep-alive': _, 'transfer-encoding': __, ...endToEnd } = response.headers
      buffer(response).then(
        (content) => resolve({ status: response.statusCode ?? 0, headers: endToEnd, body: content }),
        reject,
      )
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
