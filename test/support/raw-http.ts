import { connect, type Socket } from 'node:net'
import { recordAnswer } from './recorded-answers.ts'

/** A response as it came over the wire. Header names are in lower case. `body` also has any later responses. */
export interface RawAnswer {
  status: number
  headers: [string, string][]
  body: string
}

/** Sends these bytes as they are, and reads until the connection ends. */
export async function sendRaw(url: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  const answer = await rawExchange(url, (socket) => {
    for (const part of parts) socket.write(part)
  })
  const [, method, path] = /^([A-Z]+) (\S+) HTTP\/1\.1\r\n/.exec(String(parts[0])) ?? []
  if (method !== undefined && path !== undefined) recordAnswer(method, path, answer.status)
  return answer
}

/** Does the same, but closes the client's side of the connection after the last byte (`nc -N`). */
export const sendRawAndClose = (url: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> =>
  rawExchange(url, (socket) => {
    for (const part of parts) socket.write(part)
    socket.end()
  })

/** Reads until the connection ends, while `send` writes to it. */
export const rawExchange = (url: string, send: (socket: Socket) => void): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    let received = ''
    socket.setEncoding('latin1')
    // A reset after the response does not make the response invalid.
    socket.on('error', () => {})
    socket.on('data', (text) => {
      received += text
    })
    socket.once('close', () => {
      const answer = parseAnswer(received)
      if (answer) resolve(answer)
      else reject(new Error(`no answer: ${received.split('\r\n')[0]}`))
    })
    send(socket)
  })

/** Returns undefined if the text is not an answer. */
export function parseAnswer(text: string): RawAnswer | undefined {
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [line = '', ...lines] = head.split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1])
  if (Number.isNaN(status)) return undefined
  const headers = lines.map((each): [string, string] => {
    const colon = each.indexOf(':')
    return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()]
  })
  return { status, headers, body: body.join('\r\n\r\n') }
}

/** Returns the text of a request with `Connection: close`. */
export function requestText(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = '',
): string {
  const all = {
    Host: 'shop.example',
    Connection: 'close',
    ...(body !== '' && {
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(body)),
    }),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
