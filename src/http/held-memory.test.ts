import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Logger } from '#kernel/logger.ts'
import { requestText, sendRaw } from '#test/support/raw-http.ts'
import type { TimeLimits } from './raw-answers.ts'
import { type Listener, listen } from './server.ts'

const limits: TimeLimits = {
  headMs: 60_000,
  requestMs: 60_000,
  idleMs: 60_000,
  unreadMs: 60_000,
  lingerMs: 60_000,
}
let listener: Listener
let sockets: Socket[]
/** The sockets of the server that are closed. A client that reads nothing does not see it. */
let closed: Socket[]
let repeatable: ReturnType<typeof vi.fn>
const watchSocket = (message: unknown) => {
  const { socket } = message as { socket: Socket }
  const closedInThisTest = closed
  socket.once('close', () => closedInThisTest.push(socket))
}
beforeEach(() => {
  sockets = []
  closed = []
  repeatable = vi.fn()
  subscribe('net.server.socket', watchSocket)
})
afterEach(async () => {
  unsubscribe('net.server.socket', watchSocket)
  for (const socket of sockets) socket.destroy()
  await listener.close(0)
})

const open = async (answer: (request: Request) => Response | Promise<Response>, changed = {}) => {
  const logger = { info: vi.fn(), error: vi.fn(), repeatable } as unknown as Logger
  listener = await listen(
    answer,
    { port: 0, host: '127.0.0.1', requestTimeoutMs: 60_000, logger },
    { ...limits, ...changed },
  )
}

/** Connects a client that sends this text, and reads nothing yet. */
const connectClient = (text: string): Socket => {
  const socket = connect({ port: listener.port, host: '127.0.0.1' })
  sockets.push(socket)
  socket.on('error', () => {})
  socket.write(text)
  return socket
}

const mebibyte = 1_048_576
const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${mebibyte}\r\n\r\n`
const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const url = () => `http://127.0.0.1:${listener.port}/`

/** The end of a connection, or the last bytes that arrive, whatever comes first. */
const outcomeOf = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once('close', () => resolve('closed'))
    socket.once('data', (data) => resolve(data.toString().slice(-10)))
  })

/** Connects a client that sends all of a body of one mebibyte except its last byte. */
const connectWithBody = () => connectClient(head + ' '.repeat(mebibyte - 1))

describe('clients that make the server hold memory', () => {
  it('some clients are disconnected if the bodies of all together are too large, and the others are answered', async () => {
    await open(async (request) => new Response(`\n${(await request.text()).length}`))
    const clients = Array.from({ length: 24 }, connectWithBody)
    const outcomes = clients.map(outcomeOf)
    // Sixteen mebibytes have room for sixteen of the bodies.
    await vi.waitFor(() => expect(closed).toHaveLength(8), { timeout: 10_000 })
    expect((await sendRaw(url(), requestText('POST', '/', {}, 'fine'))).body).toBe('\n4')
    for (const client of clients) client.write(' ')
    const sorted = (await Promise.all(outcomes)).sort()
    expect(sorted).toEqual([...Array(16).fill('\r\n\n1048576'), ...Array(8).fill('closed')])
  })

  it('some clients are disconnected if they do not read their answers, and a client that reads gets its answer', async () => {
    await open(() => new Response('x'.repeat(10 * mebibyte)))
    for (let nth = 0; nth < 4; nth++) connectClient(get)
    await vi.waitFor(() => expect(closed.length).toBeGreaterThan(0), { timeout: 10_000 })
    expect((await sendRaw(url(), requestText('GET', '/'))).body).toHaveLength(10 * mebibyte)
  })

  it('a client that has held memory for long is disconnected before one that has just begun to', async () => {
    let bodies = 0
    await open((request) => {
      bodies += 1
      return request.text().then((text) => new Response(text))
    })
    const first = outcomeOf(connectWithBody())
    await vi.waitFor(() => expect(bodies).toBe(1))
    await sleep(500)
    for (let nth = 0; nth < 16; nth++) connectWithBody()
    expect(await first).toBe('closed')
    expect(closed).toHaveLength(1)
  })

  it('each connection that is closed is logged, with the reason', async () => {
    await open(async (request) => new Response(await request.text()))
    for (let nth = 0; nth < 20; nth++) connectWithBody()
    await vi.waitFor(() => expect(closed).toHaveLength(4), { timeout: 10_000 })
    // The other lines are about the requests that have lost their bodies.
    const lines = repeatable.mock.calls.filter(([, level]) => level === 'warn')
    const reason = 'its client made the process hold too much memory'
    expect(lines.map(([, , ...line]) => line)).toEqual(Array(4).fill([{ reason }, 'closed a connection']))
  })
})

describe('a client that reads slowly', () => {
  const answer = () => new Response('x'.repeat(10 * mebibyte))

  it('a client that reads nothing of its answer is disconnected', async () => {
    await open(answer, { unreadMs: 200 })
    connectClient(get)
    await vi.waitFor(() => expect(closed).toHaveLength(1), { timeout: 5_000 })
  })

  it('a client that reads a part of its answer now and then gets all of it, and may send another request', async () => {
    await open(answer, { unreadMs: 1_000 })
    const socket = connectClient(get)
    let received = 0
    let reading: NodeJS.Timeout | undefined
    socket.on('data', (data) => {
      received += data.length
      // Reads again after a pause that is shorter than the limit. All pauses together are longer.
      if (reading) return
      socket.pause()
      reading = setTimeout(() => {
        reading = undefined
        socket.resume()
      }, 10)
    })
    await vi.waitFor(() => expect(received).toBeGreaterThan(10 * mebibyte), { timeout: 20_000 })
    // The connection is idle for longer than the client might have paused within the answer.
    await sleep(1_500)
    socket.write(get)
    await vi.waitFor(() => expect(received).toBeGreaterThan(20 * mebibyte), { timeout: 20_000 })
    expect(closed).toEqual([])
  })
})
