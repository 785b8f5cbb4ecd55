import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/**
 * A way to the server that can be cut, and frozen.
 * @param change what becomes of an answer on its way; it stays as long as it was
 */
export async function wayToMongodb(uri: string, change = (answer: Buffer) => answer) {
  const { hostname, port } = new URL(uri)
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(Number(port), hostname)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      if (socket === near) socket.pipe(other)
      else socket.on('data', (answer: Buffer) => other.write(change(answer)))
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
  const cut = async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const own = await listen(0)
  return {
    uri: `mongodb://127.0.0.1:${own}/?directConnection=true`,
    cut,
    mend: () => listen(own),
    freeze: () => {
      for (const socket of sockets) socket.pause()
    },
    thaw: () => {
      for (const socket of sockets) socket.resume()
    },
  }
}
