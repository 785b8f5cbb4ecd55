import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createGate } from '#test/support/gate.ts'
import type { TimeLimits } from './raw-answers.ts'
import { type Listener, listen } from './server.ts'

let listener: Listener
afterEach(() => listener.close(0))

const patient: TimeLimits = { headMs: 60_000, requestMs: 60_000, idleMs: 60_000, lingerMs: 60_000 }

const open = async (
  answer: (request: Request) => Response | Promise<Response>,
  limits: Partial<TimeLimits> = {},
) => {
  listener = await listen(answer, { port: 0, host: '127.0.0.1' }, { ...patient, ...limits })
}

/** The answer's Connection header, over connections that are kept. */
const agent = new Agent({ keepAlive: true })
const ask = (): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request({ port: listener.port, host: '127.0.0.1', agent }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.headers.connection))
    })
    sent.once('error', reject)
    sent.end()
  })

describe('draining', () => {
  it('asks clients to close their connections, those that wait for an answer too', async () => {
    const gate = createGate()
    let slow = false
    await open(async () => {
      if (slow) await gate.pass()
      return new Response('fine')
    })
    expect(await ask()).toBe('keep-alive')
    slow = true
    const waiting = ask()
    await gate.reached
    listener.drain()
    gate.open()
    expect(await waiting).toBe('close')
    slow = false
    expect(await ask()).toBe('close')
  })

  it('does not wait for clients that never finish asking', async () => {
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

it('answers whoever has reached it when it closes, though it has not heard of them', async () => {
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
  // By then it is connected, as far as the kernel is concerned, and the event loop has not looked yet.
  await new Promise((resolve) => process.nextTick(resolve))
  await listener.close(10_000)
  expect(await outcome).toMatch(/^HTTP\/1\.1 200 /)
})

describe('a connection that has not asked for anything when the port closes', () => {
  const arrived = async () => {
    await open(() => new Response('fine'))
    const socket = connect(listener.port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    // By then it is accepted as well.
    for (let round = 0; round < 5; round++) await new Promise((resolve) => setImmediate(resolve))
    let received = ''
    socket.on('data', (data) => {
      received += data.toString()
    })
    const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(received)))
    return { socket, closed }
  }

  it('is answered if it is about to', async () => {
    const { socket, closed } = await arrived()
    const closing = listener.close(20_000)
    for (let round = 0; round < 20; round++) await new Promise((resolve) => setImmediate(resolve))
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await closed).toMatch(/^HTTP\/1\.1 200 /)
    await closing
  })

  it('is not waited for if it does not', async () => {
    const { closed } = await arrived()
    // For as long as that, this test may not take.
    await listener.close(3_600_000)
    expect(await closed).toBe('')
  })
})

it('outlives clients that ask for a tunnel and are gone before they are refused', async () => {
  await open(() => new Response('fine'))
  const askAndGo = () =>
    new Promise((resolve) => {
      const socket = connect(listener.port, '127.0.0.1', () => {
        socket.write('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', () => socket.resetAndDestroy())
      })
      socket.on('error', () => {})
      socket.once('close', resolve)
    })
  for (let n = 0; n < 200; n++) await askAndGo()
  expect(await ask()).toBe('keep-alive')
})

describe('a client that is slow on purpose', () => {
  /** Says something, goes on with one byte after the other, and never closes its side. */
  const drip = (beginning: string): { received: Promise<string>; closed: Promise<void> } => {
    const socket: Socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
    const dripping = setInterval(() => socket.write('x'), 20)
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.write(beginning)
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    void closed.then(() => clearInterval(dripping))
    return { received: new Promise((resolve) => socket.once('end', () => resolve(text))), closed }
  }

  it.each([
    ['the head of its request', { headMs: 200 }, 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    [
      'the body of its request',
      { headMs: 100, requestMs: 200 },
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n',
    ],
  ])('with %s is told so', async (_, limits, beginning) => {
    await open(async (request) => new Response(await request.text()), limits)
    const [head, body = ''] = (await drip(beginning).received).split('\r\n\r\n')
    expect(head).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
    expect(head).toMatch(/^content-type: application\/problem\+json$/m)
    expect(head).toMatch(/^connection: close$/m)
    expect(JSON.parse(body)).toMatchObject({ status: 408, code: 'request_timeout' })
  })

  it('with its second request is told so, after the answer to the first', async () => {
    await open(() => new Response('fine'), { headMs: 200 })
    const received = await drip('GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX-Slow: ').received
    expect(received).toMatch(/^HTTP\/1\.1 200 .*fineHTTP\/1\.1 408 .*"code":"request_timeout"/s)
  })

  it('with its first byte is shut out', async () => {
    await open(() => new Response('fine'), { headMs: 200 })
    const socket = connect(listener.port, '127.0.0.1').resume()
    await new Promise((resolve) => socket.once('close', resolve))
  })

  it.each([
    ['garbage', 'nonsense\r\n\r\n'],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('with its leave, once refused, is shut out: %s', async (_, beginning) => {
    await open(() => new Response('fine'), { lingerMs: 200 })
    const { received, closed } = drip(beginning)
    expect(await received).toMatch(/^HTTP\/1\.1 4/)
    await closed
  })

  it('to read its answer is not waited for', async () => {
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
  /** Sends this and closes its side; resolves with what it has received once the server closes the other. */
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

  it('is answered however long that takes, and then no longer connected', async () => {
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

  it('without having asked, or between two requests, holds no connection', async () => {
    await open(() => new Response('fine'))
    expect(await sendAndClose('')).toBe('')
    const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(request)
    socket.once('data', () => socket.end())
    await closed
  })

  it('and is not answered does not keep the server from closing', async () => {
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
    ['with an error', new Error('the application failed')],
    ['with something else', 'a text'],
  ])('%s is no fault of the request', async (_, thrown) => {
    await open(() => Promise.reject(thrown))
    const answer = await fetch(`http://127.0.0.1:${listener.port}/`)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ code: 'internal_error' })
  })
})

it('keeps connections for longer than balancers do, which close them first then', async () => {
  await open(() => new Response('fine'))
  const answer = await fetch(`http://127.0.0.1:${listener.port}/`)
  expect(Number(/timeout=(\d+)/.exec(answer.headers.get('keep-alive') ?? '')?.[1])).toBeGreaterThan(60)
})

it('closes in the time it is given, however busy the process is', async () => {
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
  // Without a limit of its own the search for a quiet moment would take a thousand rounds of five milliseconds.
  expect(performance.now() - started).toBeLessThan(4_500)
})

it('reads every header that there is room for, the last one too', async () => {
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
