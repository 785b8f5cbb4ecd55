import { connect, createServer, type Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'

/** The worker thread of `management-listener.ts`. It passes bytes on, and knows no more of HTTP than the two probes. */

export interface ManagementThread {
  host: string
  port: number
  /** The port of 127.0.0.1 at which the main thread answers. */
  mainPort: number
  limits: ProbeLimits
}

export interface ProbeLimits {
  /** The time that the main thread has for the answer to a probe. */
  answerWithinMs: number
  /** The time for which an earlier answer may be given instead. */
  keptForMs: number
  /** The interval at which the thread asks for an answer that it can keep. */
  askEveryMs: number
}

/** The thread listens, or cannot listen. */
export type ThreadMessage = { port: number } | { fault: { message: string; code: string; syscall: string } }

// The main thread closes idle connections beyond its own limit. This limit holds while it is busy.
const maxConnections = 256

const { host, port, mainPort, limits } = workerData as ManagementThread
const probe = /^GET (\/healthz|\/readyz) HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n$/
/** The last answer to each probe, and the time at which it was asked for. Only an answer with 200 is kept. */
const kept = new Map<string, { text: string; askedAtMs: number }>()
const asking = new Set<string>()
let isDraining = false

const connectToMain = () => connect({ port: mainPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })

function ask(path: string): void {
  // While the main thread is busy, one request for each probe is enough.
  if (asking.has(path)) return
  asking.add(path)
  const askedAtMs = performance.now()
  const socket = connectToMain()
  let text = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
  })
  // The main thread closes its port when the process ends.
  socket.once('error', () => socket.destroy())
  socket.once('close', () => {
    asking.delete(path)
    if (text.startsWith('HTTP/1.1 200 ') && !isDraining) kept.set(path, { text, askedAtMs })
    else kept.delete(path)
  })
  socket.end(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
}

/** The kept answer to a probe, unless it is too old. */
function keptAnswer(path: string): string | undefined {
  const answer = kept.get(path)
  if (!answer || performance.now() - answer.askedAtMs > limits.keptForMs) return undefined
  return answer.text.replace(/^x-request-id: .*$/im, `x-request-id: ${crypto.randomUUID()}`)
}

function serve(client: Socket): void {
  const main = connectToMain()
  client.pipe(main)
  main.pipe(client)
  for (const [socket, other] of [
    [client, main],
    [main, client],
  ] as const) {
    socket.once('error', () => other.destroy())
    socket.once('close', () => other.destroySoon())
  }
  client.once('data', (head) => {
    const path = probe.exec(head.toString('latin1'))?.[1]
    if (path === undefined) return
    const answerInstead = () => {
      const answer = main.bytesRead === 0 ? keptAnswer(path) : undefined
      if (answer === undefined) return
      main.destroy()
      client.end(answer, 'latin1')
    }
    const timer = setTimeout(answerInstead, limits.answerWithinMs)
    client.once('close', () => clearTimeout(timer))
  })
}

parentPort?.once('message', () => {
  isDraining = true
  kept.clear()
})
const server = createServer({ allowHalfOpen: true, noDelay: true }, serve)
server.maxConnections = maxConnections
server.once('error', ({ message, code = '', syscall = '' }: NodeJS.ErrnoException) =>
  parentPort?.postMessage({ fault: { message, code, syscall } } satisfies ThreadMessage),
)
server.listen({ host, port }, () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const askAll = () => {
    for (const path of ['/healthz', '/readyz']) ask(path)
  }
  askAll()
  setInterval(askAll, limits.askEveryMs)
  parentPort?.postMessage({ port: address.port } satisfies ThreadMessage)
})
