import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'

/**
 * Starts a TCP proxy before MongoDB that can drop its connections, freeze them, and leave one command unanswered.
 * @param change edits each answer; it must keep its length
 */
export async function startMongodbProxy(uri: string, change = (answer: Buffer) => answer) {
  const { hostname, port } = new URL(uri)
  const sockets = new Set<Socket>()
  let toHang: { texts: readonly string[]; arrived: () => void } | undefined
  /** Passes on the bytes of a client, until one of its commands has to hang. */
  const commandFilter = () => {
    let hangs = false
    return new Transform({
      transform(chunk: Buffer, _encoding, passOn) {
        if (toHang?.texts.every((text) => chunk.includes(text))) {
          toHang.arrived()
          toHang = undefined
          hangs = true
        }
        if (hangs) passOn()
        else passOn(null, chunk)
      },
    })
  }
  let isFrozen = false
  const server = createServer((near) => {
    const far = connect(Number(port), hostname)
    if (isFrozen) for (const socket of [near, far]) socket.pause()
    near.pipe(commandFilter()).pipe(far)
    far.on('data', (answer: Buffer) => near.write(change(answer)))
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
  })
  const listen = async (at: number) => {
    server.listen(at, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as { port: number }).port
  }
  const disconnect = async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const proxyPort = await listen(0)
  return {
    uri: `mongodb://127.0.0.1:${proxyPort}/?directConnection=true`,
    /** Closes the port and every connection. */
    disconnect,
    /** Opens the port again. */
    reconnect: () => listen(proxyPort),
    /** Stops the traffic of the present connections, or of all, and keeps the connections open. */
    freeze: (connections: 'present' | 'all' = 'present') => {
      isFrozen = connections === 'all'
      for (const socket of sockets) socket.pause()
    },
    /**
     * Leaves the next command that contains all of these texts unanswered, and every later command of its connection.
     * Resolves when that command arrives.
     */
    hangNext: (...texts: string[]) =>
      new Promise<void>((arrived) => {
        toHang = { texts, arrived }
      }),
    thaw: () => {
      isFrozen = false
      for (const socket of sockets) socket.resume()
    },
  }
}
