import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { createGate } from '#test/support/gate.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { listenForManagement } from './management-listener.ts'
import type { Listener } from './server.ts'

const limits = { answerWithinMs: 20, keptForMs: 3_000, askEveryMs: 50, lingerMs: 100 }

let listener: Listener | undefined
afterEach(() => listener?.close(0))

/** Opens a management port at which the main thread gives each probe this status, with the path as its content. */
async function open(status: () => number, own: Partial<typeof limits> = {}) {
  const asked: string[] = []
  let gate: ReturnType<typeof createGate> | undefined
  const answer = async (request: Request) => {
    const { pathname } = new URL(request.url)
    if (pathname === '/metrics') await gate?.pass()
    asked.push(`${request.method} ${pathname}`)
    return new Response(pathname, { status: status(), headers: { 'x-request-id': 'first' } })
  }
  const options = { host: '127.0.0.1', port: 0, requestTimeoutMs: 1_000 }
  listener = await listenForManagement(
    answer,
    { ...options, logger: await quiet, metrics: createMetrics() },
    { ...limits, ...own },
  )
  const { port } = listener
  /** Stops the answer to the next request of `/metrics`. */
  const hold = () => {
    gate = createGate()
    return gate
  }
  return {
    port,
    asked,
    hold,
    whileBusy: (path: string, method = 'GET', headers = {}) => askWhileBusy(port, path, method, headers),
  }
}

const requestOf = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`

const client = `
  const { workerData: { port, path, method, headers, answered }, parentPort } = require('node:worker_threads')
  parentPort.once('message', () => require('node:http').request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (part) => { text += part }).once('end', () => {
      parentPort.postMessage({ status: answer.statusCode, requestId: answer.headers['x-request-id'], text })
      Atomics.store(answered, 0, 1)
      Atomics.notify(answered, 0)
    })
  }).end())`

/** Sends a request from another thread, while this thread does nothing else for half a second or until the answer has arrived. */
async function askWhileBusy(port: number, path: string, method: string, headers: Record<string, string>) {
  const answered = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const thread = new Worker(client, { eval: true, workerData: { port, path, method, headers, answered } })
  await once(thread, 'online')
  thread.postMessage('ask')
  const isAnswered = Atomics.wait(answered, 0, 0, 500) !== 'timed-out'
  const [answer] = await once(thread, 'message')
  await thread.terminate()
  return { isAnswered, ...answer }
}

it.each(['/healthz', '/readyz'])(
  'a busy process repeats its last answer to %s, with the request id of the client or a new one',
  async (path) => {
    const { whileBusy } = await open(() => 200)
    // The thread needs a moment until it has an answer to repeat.
    await vi.waitFor(
      async () => expect(await whileBusy(path)).toMatchObject({ isAnswered: true, status: 200, text: path }),
      10_000,
    )
    const [one, two] = [await whileBusy(path), await whileBusy(path)]
    expect(one.requestId).not.toBe(two.requestId)
    const given = (requestId: string) => whileBusy(path, 'GET', { 'X-Request-Id': requestId })
    expect(await given('mine')).toMatchObject({ isAnswered: true, requestId: 'mine' })
    expect((await given('not valid')).requestId).toMatch(/^[\da-f-]{36}$/)
  },
)

it('a busy process repeats no answer that is not 200', async () => {
  const { whileBusy, asked } = await open(() => 503)
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(1))
  expect(await whileBusy('/readyz')).toMatchObject({ isAnswered: false, status: 503 })
})

it('a busy process repeats no answer after a client has got another one', async () => {
  let status = 200
  const { port, whileBusy } = await open(() => status, { askEveryMs: 60_000 })
  await vi.waitFor(async () => expect(await whileBusy('/readyz')).toMatchObject({ isAnswered: true }), 10_000)
  status = 503
  expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(503)
  expect(await whileBusy('/readyz')).toMatchObject({ isAnswered: false, status: 503 })
})

it('a busy process repeats no answer that is too old', async () => {
  const { whileBusy, asked } = await open(() => 200, { keptForMs: 0 })
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(4))
  expect(await whileBusy('/healthz')).toMatchObject({ isAnswered: false, status: 200 })
})

it('a busy process repeats no answer once it drains', async () => {
  const { whileBusy } = await open(() => 200)
  await vi.waitFor(async () => expect(await whileBusy('/readyz')).toMatchObject({ isAnswered: true }), 10_000)
  listener?.drain()
  expect(await whileBusy('/readyz')).toMatchObject({ isAnswered: false, status: 200 })
})

it.each([
  ['GET', '/metrics'],
  ['POST', '/healthz'],
  ['GET', '/healthz/more'],
])('a busy process answers %s %s when it has time', async (method, path) => {
  const { whileBusy, asked } = await open(() => 200)
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(4))
  expect(await whileBusy(path, method)).toMatchObject({ isAnswered: false, status: 200, text: path })
  expect(asked).toContain(`${method} ${path}`)
})

it('a process that is not busy answers each probe itself', async () => {
  let status = 200
  const { port } = await open(() => status, { askEveryMs: 60_000, answerWithinMs: 5_000 })
  const ask = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status
  expect(await ask()).toBe(200)
  status = 503
  expect(await ask()).toBe(503)
})

it('a request that is in progress when the port closes is answered', async () => {
  const { port, hold } = await open(() => 200)
  const gate = hold()
  const answer = fetch(`http://127.0.0.1:${port}/metrics`)
  await gate.reached
  const closing = listener?.close(5_000)
  await vi.waitFor(() =>
    expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toMatchObject({
      cause: { code: 'ECONNREFUSED' },
    }),
  )
  gate.open()
  expect(await (await answer).text()).toBe('/metrics')
  await closing
})

it('clients that leave their connections open after the process has closed them do not shut out others', async () => {
  const { port } = await open(() => 200)
  const clients = Array.from({ length: 80 }, () =>
    connect({ port, host: '127.0.0.1', allowHalfOpen: true }).resume(),
  )
  onTestFinished(() => {
    for (const socket of clients) socket.destroy()
  })
  for (const socket of clients) socket.write(requestOf('/metrics', 'Connection: close\r\n'))
  await Promise.all(clients.map((socket) => once(socket, 'end')))
  await vi.waitFor(
    async () => expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(200),
    10_000,
  )
})

it('a connection stays open after the answer to a probe', async () => {
  const { port, hold } = await open(() => 200)
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.write(requestOf('/readyz'))
  await once(socket, 'data')
  const gate = hold()
  socket.write(requestOf('/metrics'))
  await gate.reached
  await sleep(2 * limits.answerWithinMs)
  gate.open()
  const [answer] = await once(socket, 'data')
  expect(String(answer)).toMatch(/\r\n\r\n\/metrics$/)
})
