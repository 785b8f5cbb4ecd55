import { Agent, request, Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { expectProblem, headerOf } from '#test/support/both-shapes.ts'
import { createGate } from '#test/support/gate.ts'
import { parseAnswer, type RawAnswer } from '#test/support/raw-http.ts'
import type { TimeLimits } from './raw-answers.ts'
import { securityHeaders } from './security-headers.ts'
import { type Listener, listen } from './server.ts'

let listener: Listener
afterEach(() => listener.close(0))

const longLimits: TimeLimits = {
  headMs: 60_000,
  requestMs: 60_000,
  idleMs: 60_000,
  unreadMs: 60_000,
  lingerMs: 60_000,
}

const open = async (
  answer: (request: Request) => Response | Promise<Response>,
  limits: Partial<TimeLimits> = {},
) => {
  listener = await listen(
    answer,
    { port: 0, host: '127.0.0.1', requestTimeoutMs: 5_000 },
    { ...longLimits, ...limits },
  )
}

/** Keeps its connections open. */
const agent = new Agent({ keepAlive: true })
/** Sends a request, and returns the Connection header of the answer. */
const sendRequest = (): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request({ port: listener.port, host: '127.0.0.1', agent }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.headers.connection))
    })
    sent.once('error', reject)
    sent.end()
  })

it('the server closes a connection without traffic only after the request timeout', async () => {
  const setTimeout = vi.spyOn(Server.prototype, 'setTimeout')
  listener = await listen(() => new Response('fine'), { port: 0, host: '127.0.0.1', requestTimeoutMs: 7_000 })
  expect(setTimeout).toHaveBeenCalledExactlyOnceWith(67_000)
  // @ts-expect-error The limit depends on the request timeout, so that no caller may omit it.
  const incomplete: Parameters<typeof listen>[1] = { port: 0, host: '127.0.0.1' }
  expect(incomplete).not.toHaveProperty('requestTimeoutMs')
})

describe('draining', () => {
  it('a draining server asks each client to close its connection, including a client that waits for an answer', async () => {
    const gate = createGate()
    let slow = false
    await open(async () => {
      if (slow) await gate.pass()
      return new Response('fine')
    })
    expect(await sendRequest()).toBe('keep-alive')
    slow = true
    const waiting = sendRequest()
    await gate.reached
    listener.drain()
    gate.open()
    expect(await waiting).toBe('close')
    slow = false
    expect(await sendRequest()).toBe('close')
  })

  it('a closing server closes connections with incomplete requests at its time limit', async () => {
    await open(() => new Response('fine'))
    const socket = connect(listener.port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('POST /login HTTP/1.1\r\nHost')
    const gone = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => {})
    await listener.close(200)
    await gone
  })
})

it('a closing server answers a connection in its accept queue first', async () => {
  await open(() => new Response('fine'))
  const socket = connect(listener.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  let received = ''
  const outcome = new Promise((resolve) => {
    socket.on('data', (data) => {
      received += data.toString()
    })
    socket.once('error', resolve)
    socket.once('close', () => resolve(received))
  })
  // The operating system has accepted the connection, and the event loop has not read it yet.
  await new Promise((resolve) => process.nextTick(resolve))
  await listener.close(10_000)
  expect(await outcome).toMatch(/^HTTP\/1\.1 200 /)
})

describe('a connection without a request when the port closes', () => {
  const connectClient = async () => {
    await open(() => new Response('fine'))
    const socket = connect(listener.port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    // After these turns of the event loop the process has accepted the connection.
    for (let round = 0; round < 5; round++) await new Promise((resolve) => setImmediate(resolve))
    let received = ''
    socket.on('data', (data) => {
      received += data.toString()
    })
    const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(received)))
    return { socket, closed }
  }

  it('a closing server answers a connection whose first request arrives soon', async () => {
    const { socket, closed } = await connectClient()
    const closing = listener.close(20_000)
    for (let round = 0; round < 20; round++) await new Promise((resolve) => setImmediate(resolve))
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await closed).toMatch(/^HTTP\/1\.1 200 /)
    await closing
  })

  it('a closing server closes a connection on which no request arrives', async () => {
    const { closed } = await connectClient()
    // The test would time out if the server waited for so long.
    await listener.close(3_600_000)
    expect(await closed).toBe('')
  })
})

it('the server survives clients that send CONNECT and reset the connection before the refusal', async () => {
  await open(() => new Response('fine'))
  const connectAndReset = () =>
    new Promise((resolve) => {
      const socket = connect(listener.port, '127.0.0.1', () => {
        socket.write('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', () => socket.resetAndDestroy())
      })
      socket.on('error', () => {})
      socket.once('close', resolve)
    })
  for (let n = 0; n < 200; n++) await connectAndReset()
  expect(await sendRequest()).toBe('keep-alive')
})

describe('a client that deliberately delays', () => {
  /** Sends the text, then one byte at a time, and never closes its side. */
  const sendSlowly = (beginning: string): { received: Promise<string>; closed: Promise<void> } => {
    const socket: Socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
    const writing = setInterval(() => socket.write('x'), 20)
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.write(beginning)
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    void closed.then(() => clearInterval(writing))
    return { received: new Promise((resolve) => socket.once('end', () => resolve(text))), closed }
  }

  const slowHead = { headMs: 200 }
  const slowBody = { headMs: 100, requestMs: 200 }
  const post = 'POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n'
  it.each([
    ['the target', slowHead, 'GET /'],
    ['the header fields', slowHead, 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    ['a body of known length', slowBody, `${post}Content-Length: 100000\r\n\r\n`],
    ['a chunk of the body', slowBody, `${post}Transfer-Encoding: chunked\r\n\r\nffff\r\n`],
  ])(
    'a client that delays %s gets 408 with every member and header of a problem',
    async (what, limits, beginning) => {
      await open(async (request) => new Response(await request.text()), limits)
      const answer = parseAnswer(await sendSlowly(beginning).received) as RawAnswer
      expectProblem(answer, 408, 'request_timeout', what)
      expect(JSON.parse(answer.body).detail).toMatch(
        /^the header fields must arrive within 0\.\d s, and the whole /,
      )
      expect(headerOf(answer, 'connection')).toBe('close')
      if (beginning.startsWith(post)) expect(headerOf(answer, 'x-request-id')).toBe('mine')
      for (const name of Object.keys(securityHeaders)) expect(headerOf(answer, name), name).not.toBeNull()
    },
  )

  it('a client with a slow second request gets the answer to the first one, and then 408', async () => {
    await open(() => new Response('fine'), { headMs: 200 })
    const received = await sendSlowly('GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX-Slow: ').received
    expect(received).toMatch(/^HTTP\/1\.1 200 .*fineHTTP\/1\.1 408 /s)
    const second = parseAnswer(received.slice(received.indexOf('fine') + 'fine'.length)) as RawAnswer
    expectProblem(second, 408, 'request_timeout', 'the second request')
  })

  it('a client that sends nothing is disconnected', async () => {
    await open(() => new Response('fine'), { headMs: 200 })
    const socket = connect(listener.port, '127.0.0.1').resume()
    await new Promise((resolve) => socket.once('close', resolve))
  })

  it.each([
    ['a malformed request', 'nonsense\r\n\r\n'],
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('a client that keeps its side open after a refusal is disconnected: %s', async (_, beginning) => {
    await open(() => new Response('fine'), { lingerMs: 200 })
    const { received, closed } = sendSlowly(beginning)
    expect(await received).toMatch(/^HTTP\/1\.1 4/)
    await closed
  })

  it('a client that does not read its answer is disconnected', async () => {
    const cancelled = createGate()
    const pull = (controller: ReadableStreamDefaultController) => controller.enqueue(new Uint8Array(65_536))
    await open(() => new Response(new ReadableStream({ pull, cancel: cancelled.open })), { idleMs: 200 })
    const socket = connect(listener.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await cancelled.pass()
    socket.destroy()
  })
})

describe('a client that closes its side', () => {
  /** Sends the text, closes its side, and returns what it has received when the server closes the other side. */
  const sendAndClose = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
      let received = ''
      socket.on('error', () => {})
      socket.on('data', (data) => {
        received += data.toString()
      })
      socket.once('close', () => resolve(received))
      socket.end(text)
    })
  const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

  it('a client that has closed its side gets a late answer, and is then disconnected', async () => {
    const gate = createGate()
    await open(async () => {
      await gate.pass()
      return new Response('fine')
    })
    const received = sendAndClose(request)
    await gate.reached
    for (let round = 0; round < 20; round++) await new Promise((resolve) => setImmediate(resolve))
    gate.open()
    expect(await received).toMatch(/^HTTP\/1\.1 200 .*fine$/s)
  })

  it('a client that closes its side is disconnected if no request is unanswered', async () => {
    await open(() => new Response('fine'))
    expect(await sendAndClose('')).toBe('')
    const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(request)
    socket.once('data', () => socket.end())
    await closed
  })

  it('a client that has closed its side does not keep the server from closing', async () => {
    const gate = createGate()
    await open(async () => {
      await gate.pass()
      return new Response('too late')
    })
    const received = sendAndClose(request)
    await gate.reached
    await listener.close(200)
    expect(await received).toBe('')
  })
})

describe('an application that fails', () => {
  it.each([
    ['an error', new Error('the application failed')],
    ['a text', 'a text'],
  ])('the server answers 500 if the application throws %s', async (_, thrown) => {
    await open(() => Promise.reject(thrown))
    const answer = await fetch(`http://127.0.0.1:${listener.port}/`)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ code: 'internal_error' })
  })
})

it('the server keeps idle connections for more than 60 s, so that a load balancer closes them first', async () => {
  await open(() => new Response('fine'))
  const answer = await fetch(`http://127.0.0.1:${listener.port}/`)
  expect(Number(/timeout=(\d+)/.exec(answer.headers.get('keep-alive') ?? '')?.[1])).toBeGreaterThan(60)
})

it('the server closes within its time limit while the process is busy', async () => {
  await open(() => new Promise(() => {}))
  const socket = connect(listener.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  let busy = true
  const work = () => {
    const until = performance.now() + 5
    while (performance.now() < until);
    if (busy) setImmediate(work)
  }
  await new Promise((resolve) => setTimeout(resolve, 0))
  work()
  const started = performance.now()
  await listener.close(300)
  busy = false
  // Without a limit, the wait for a short turn of the event loop would take a thousand turns of five milliseconds.
  expect(performance.now() - started).toBeLessThan(4_500)
})

it('the server reads more than 2,000 header fields', async () => {
  await open((request) => new Response(request.headers.get('last')))
  const many = Array.from({ length: 2_500 }, () => 'a:\r\n').join('')
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(listener.port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString())
    })
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${many}Last: here\r\n\r\n`)
  })
  expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  expect(answer).toMatch(/here$/)
})
