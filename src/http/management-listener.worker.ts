import { connect, createServer, type Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { requestIdFrom } from '#kernel/call.ts'

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
  /** The time that a client has to close its connection after the main thread has closed it. */
  lingerMs: number
}

/** The thread listens, or cannot listen. */
export type ThreadMessage = { port: number } | { fault: { message: string; code: string; syscall: string } }
/** `drain`: no answer is kept any more. `close`: the thread accepts no new connections, and ends with the last one. */
export type ThreadCommand = 'drain' | 'close'

// The main thread closes idle connections beyond its own limit of 64. This limit holds while it is busy.
const maxConnections = 80
// The main thread closes a connection after 75 s without a request.
const idleMs = 120_000
// Each 503 is logged.
const askAgainAfterMs = 5_000

const { host, port, mainPort, limits } = workerData as ManagementThread
const probe = /^GET (\/healthz|\/readyz) HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n$/
const givenRequestId = /^x-request-id:[ \t]*(.*?)[ \t]*\r$/im
const ok = 'HTTP/1.1 200 '
/** The last answer of the main thread to each probe of this thread, if it was 200, and the time at which it was asked for. */
const kept = new Map<string, { text: string; askedAtMs: number }>()
const asking = new Set<string>()
let isDraining = false

const connectToMain = () => connect({ port: mainPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })

function ask(path: string): void {
  // While the main thread is busy, one request for each probe is enough.
  if (isDraining || asking.has(path)) return
  asking.add(path)
  const askedAtMs = performance.now()
  const socket = connectToMain()
  let text = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
  })
  // The main thread closes its port when the process ends.
  socket.on('error', () => socket.destroy())
  socket.once('close', () => {
    if (text.startsWith(ok) && !isDraining) {
      kept.set(path, { text, askedAtMs })
      asking.delete(path)
    } else {
      kept.delete(path)
      setTimeout(() => asking.delete(path), askAgainAfterMs).unref()
    }
  })
  socket.end(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
}

/** The kept answer to a probe, with the request id of the client or a new one, unless the answer is too old. */
function keptAnswer(path: string, head: string): string | undefined {
  const answer = kept.get(path)
  if (!answer || performance.now() - answer.askedAtMs > limits.keptForMs) return undefined
  const requestId = requestIdFrom(givenRequestId.exec(head)?.[1])
  return answer.text.replace(/^x-request-id: .*$/im, `x-request-id: ${requestId}`)
}

function serve(client: Socket): void {
  const main = connectToMain()
  client.pipe(main)
  main.pipe(client)
  client.setTimeout(idleMs, () => client.destroy())
  main.once('end', () => client.setTimeout(limits.lingerMs))
  for (const [socket, other] of [
    [client, main],
    [main, client],
  ] as const) {
    socket.on('error', () => other.destroy())
    socket.once('close', () => other.destroySoon())
  }
  client.once('data', (bytes) => {
    const head = bytes.toString('latin1')
    const path = probe.exec(head)?.[1]
    if (path === undefined) return
    main.once('data', (answer) => {
      if (!answer.toString('latin1').startsWith(ok)) kept.delete(path)
    })
    const answerInstead = () => {
      const answer = main.bytesRead === 0 ? keptAnswer(path, head) : undefined
      if (answer === undefined) return
      main.destroy()
      client.end(answer, 'latin1')
    }
    const timer = setTimeout(answerInstead, limits.answerWithinMs)
    client.once('close', () => clearTimeout(timer))
  })
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, serve)
server.maxConnections = maxConnections
server.once('error', ({ message, code = '', syscall = '' }: NodeJS.ErrnoException) =>
  parentPort?.postMessage({ fault: { message, code, syscall } } satisfies ThreadMessage),
)
server.listen({ host, port }, () => {
  // A later error ends the thread, and then the process.
  server.removeAllListeners('error')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const askAll = () => {
    for (const path of ['/healthz', '/readyz']) ask(path)
  }
  askAll()
  const timer = setInterval(askAll, limits.askEveryMs)
  parentPort?.on('message', (command: ThreadCommand) => {
    isDraining = true
    kept.clear()
    clearInterval(timer)
    if (command !== 'close') return
    server.close()
    parentPort?.close()
  })
  parentPort?.postMessage({ port: address.port } satisfies ThreadMessage)
})
