import { createServer, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

/** How the proxy delivers one request. Without faults, the request arrives once and at once. */
export interface Delivery {
  delayMs?: number
  /** How often the request arrives: 0 loses it, 2 delivers it twice at the same time. */
  times?: number
  /** The service executes the request, but its answer is lost. */
  answerLost?: boolean
}

/** An HTTP proxy in front of a service. Its address stays the same while the processes behind it die and restart. */
export interface FaultyProxy {
  url: string
  /** Sets the port that requests are delivered to. With undefined, each connection is cut. */
  forwardTo(port: number | undefined): void
  /** Calls `decide` for each request from now on. Without `decide`, the faults end. */
  injectFaults(decide?: (path: string) => Delivery): void
  counts: { requestsLost: number; answersLost: number; requestsDuplicated: number; requestsDelayed: number }
  /** The number of requests that are being delivered, including those that their callers have given up. */
  inFlight(): number
  close(): Promise<void>
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

export async function startFaultyProxy(): Promise<FaultyProxy> {
  let port: number | undefined
  let decide: (path: string) => Delivery = () => ({})
  const counts = { requestsLost: 0, answersLost: 0, requestsDuplicated: 0, requestsDelayed: 0 }

  /** @returns undefined if the answer, or the request, is lost */
  const deliver = async (incoming: IncomingMessage): Promise<Answer | undefined> => {
    const body = await buffer(incoming)
    const { delayMs = 0, times = 1, answerLost = false } = decide(incoming.url ?? '')
    if (delayMs > 0) counts.requestsDelayed++
    if (times > 1) counts.requestsDuplicated++
    if (times === 0) counts.requestsLost++
    await sleep(delayMs)
    const deliveries = Array.from({ length: times }, () => forward(port, incoming, body))
    const answer = (await Promise.all(deliveries)).at(-1)
    if (!answerLost) return answer
    counts.answersLost++
    return undefined
  }

  let inFlight = 0
  const server = createServer(async (incoming, outgoing) => {
    inFlight++
    // If the caller gives up, the proxy still delivers its request, however late.
    const answer = await deliver(incoming).catch(() => undefined)
    inFlight--
    if (answer) outgoing.writeHead(answer.status, answer.headers).end(answer.body)
    else incoming.socket.destroy()
  })
  // Without this, the server could close an idle connection at the moment of its next use, which would look like a fault.
  server.keepAliveTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    forwardTo(target) {
      port = target
    },
    injectFaults(decision = () => ({})) {
      decide = decision
    },
    counts,
    inFlight: () => inFlight,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}

const forward = (port: number | undefined, incoming: IncomingMessage, body: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    if (port === undefined) {
      reject(new Error('no process listens on this address'))
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
