import { connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { headerOf } from '#test/support/both-shapes.ts'
import { createGate } from '#test/support/gate.ts'
import { parseAnswer, type RawAnswer } from '#test/support/raw-http.ts'
import { type Listener, listen } from './server.ts'

let listener: Listener
afterEach(() => listener.close(0))

const open = async (answer: (request: Request) => Response | Promise<Response>) => {
  listener = await listen(answer, { port: 0, host: '127.0.0.1', requestTimeoutMs: 5_000 })
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Sends the parts, each in an own turn of the event loop, closes its side, and returns all answers. */
async function send(...parts: string[]): Promise<string> {
  const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  let received = ''
  socket.setEncoding('latin1').on('data', (text) => {
    received += text
  })
  for (const part of parts) {
    socket.write(part, 'latin1')
    await turn()
  }
  socket.end()
  await new Promise((resolve) => socket.once('close', resolve))
  return received
}

/** The bodies of several answers. Each body is one line, and starts with "=". */
const bodiesOf = (text: string) => [...text.matchAll(/^=(.*)$/gm)].map(([, body]) => body)

/** Answers with the method, the target and the body of the request, each after an own time. */
const echo = async (request: Request) => {
  const body = await request.text()
  for (let turns = Number(request.headers.get('turns')); turns > 0; turns--) await turn()
  return new Response(`=${request.method} ${new URL(request.url).pathname} ${body}\n`)
}

/** Requests of every framing, and what `echo` answers. */
const requests = Array.from({ length: 60 }, (_, n) => {
  const head = (method: string, ...fields: string[]) =>
    [`${method} /${n} HTTP/1.1`, 'Host: x', `Turns: ${(n * 7) % 5}`, ...fields, '', ''].join('\r\n')
  const text = 'x'.repeat((n * n) % 300)
  const kinds: [sent: string, answer: string][] = [
    [head('GET'), `GET /${n} `],
    [`${head('POST', `Content-Length: ${text.length}`)}${text}`, `POST /${n} ${text}`],
    [`${head('PUT', 'Transfer-Encoding: chunked')}4\r\nabcd\r\n0\r\nTrailer: x\r\n\r\n`, `PUT /${n} abcd`],
    [head('POST', 'Content-Length: 0'), `POST /${n} `],
  ]
  const [sent, answer] = kinds[n % kinds.length] as [string, string]
  return { sent, answer }
})
const all = requests.map(({ sent }) => sent).join('')
const allAnswers = requests.map(({ answer }) => answer)

describe('a client that sends requests before it has read the answers', () => {
  it.each([1, 50, 1_000, 100_000])(
    'the client gets an answer to each request in order, where %i bytes arrive at once',
    async (size) => {
      await open(echo)
      const parts: string[] = []
      for (let at = 0; at < all.length; at += size) parts.push(all.slice(at, at + size))
      expect(bodiesOf(await send(...parts))).toEqual(allAnswers)
    },
  )

  it('the requests of one connection are carried out one after the other', async () => {
    let running = 0
    let most = 0
    await open(async (request) => {
      running += 1
      most = Math.max(most, running)
      const answer = await echo(request)
      running -= 1
      return answer
    })
    expect(bodiesOf(await send(all))).toEqual(allAnswers)
    expect(most).toBe(1)
  })

  it('several such clients do not wait for each other', async () => {
    const gate = createGate()
    await open(async (request) => {
      if (request.url.endsWith('/slow')) await gate.pass()
      return echo(request)
    })
    const slow = send('GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n')
    await gate.reached
    expect(bodiesOf(await send(all))).toEqual(allAnswers)
    gate.open()
    expect(bodiesOf(await slow)).toEqual(['GET /slow ', 'GET /next '])
  })

  it('the event loop continues between the requests of all such clients, also if they are answered at once', async () => {
    const clients = 8
    let startedInTurn = 0
    let most = 0
    await open(() => {
      startedInTurn += 1
      most = Math.max(most, startedInTurn)
      return new Response('=fine\n')
    })
    let isOver = false
    const countTurns = async () => {
      for (; !isOver; startedInTurn = 0) await turn()
    }
    const counting = countTurns()
    const text = 'GET /1 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500)
    const answers = await Promise.all(Array.from({ length: clients }, () => send(text)))
    isOver = true
    await counting
    for (const each of answers) expect(bodiesOf(each)).toHaveLength(500)
    // Four that wait start in each turn. Two turns can fall between two counts, and the first request of a client does not wait.
    expect(most).toBeLessThanOrEqual(2 * 4 + clients)
  })

  it('no request is carried out after an answer that closes the connection', async () => {
    const paths: string[] = []
    await open(async (request) => {
      paths.push(new URL(request.url).pathname)
      await turn()
      return new Response('=fine\n')
    })
    const kept = 'GET /1 HTTP/1.1\r\nHost: x\r\n\r\n'
    const closing = 'GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    const refused = 'GET /2 HTTP/1.1\r\nHost: a b\r\n\r\n'
    for (const last of [closing, refused]) {
      const answers = await send(kept + last + kept.repeat(3))
      expect(answers.match(/HTTP\/1\.1 /g)).toHaveLength(2)
    }
    expect(paths).toEqual(['/1', '/2', '/1'])
  })

  it('a client gets the answer to its request before the refusal of what follows', async () => {
    await open(echo)
    for (const [next, status] of [
      ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
      ['nonsense\r\n\r\n', undefined],
    ] as const) {
      const text = await send(`GET /1 HTTP/1.1\r\nHost: x\r\nTurns: 3\r\n\r\n${next}`)
      const [first, ...others] = text.split(/(?=HTTP\/1\.1 )/).map((each) => parseAnswer(each) as RawAnswer)
      expect(first?.body).toBe('=GET /1 \n')
      expect(others.map((other) => other.status)).toEqual(status === undefined ? [] : [status])
      if (first && status === undefined) expect(headerOf(first, 'connection')).toBe('close')
    }
  })
})

describe('a client that sends requests and reads no answers', () => {
  const answerLength = 100_000

  const flood = async () => {
    let started = 0
    await open(() => {
      started += 1
      return new Response('x'.repeat(answerLength))
    })
    const socket = connect({ port: listener.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    // Without a listener for its data, the socket reads nothing.
    socket.write('GET /long-enough-to-be-sent-in-several-parts HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200_000))
    let before = -1
    await vi.waitFor(
      () => {
        const unchanged = started > 0 && started === before
        before = started
        expect(unchanged).toBe(true)
      },
      { interval: 300, timeout: 20_000 },
    )
    return { socket, started: () => started }
  }

  it('the server stops reading the requests of a client that reads no answers', async () => {
    const { socket, started } = await flood()
    // The operating system keeps some megabytes of answers, and some of requests.
    expect(started()).toBeLessThan(200)
    expect(socket.writableLength).toBeGreaterThan(1_000_000)
    socket.destroy()
  })

  it('the server answers every request of such a client once it reads', async () => {
    const { socket, started } = await flood()
    const before = started()
    socket.resume()
    await vi.waitFor(() => expect(started()).toBeGreaterThan(before + 1_000), { timeout: 20_000 })
    socket.destroy()
  })
})
