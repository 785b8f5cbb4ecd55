import { connect, type Socket } from 'node:net'

/** An answer as it came over the wire: every header line by itself, names in lower case. What follows it is in `body`. */
export interface RawAnswer {
  status: number
  headers: [string, string][]
  body: string
}

/** Sends these very bytes, and takes what comes until the connection ends. */
export const exchange = (url: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> =>
  converse(url, (socket) => {
    for (const part of parts) socket.write(part)
  })

/** The same of a client that closes its side once it has sent them (`nc -N`). */
export const exchangeHalfClosed = (url: string, ...parts: (string | Buffer)[]): Promise<RawAnswer> =>
  converse(url, (socket) => {
    for (const part of parts) socket.write(part)
    socket.end()
  })

/** Takes what comes until the connection ends; `send` writes to it. */
export const converse = (url: string, send: (socket: Socket) => void): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    let received = ''
    socket.setEncoding('latin1')
    // A connection that is reset after the answer has given it all the same.
    socket.on('error', () => {})
    socket.on('data', (text) => {
      received += text
    })
    socket.once('close', () => {
      const [head = '', ...body] = received.split('\r\n\r\n')
      const [line = '', ...lines] = head.split('\r\n')
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1])
      if (Number.isNaN(status)) return reject(new Error(`no answer: ${line}`))
      const headers = lines.map((each): [string, string] => {
        const colon = each.indexOf(':')
        return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()]
      })
      resolve({ status, headers, body: body.join('\r\n\r\n') })
    })
    send(socket)
  })

/** The text of a request that asks to close the connection after it. */
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
