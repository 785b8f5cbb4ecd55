import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'

/**
 * A way to the server that can be cut and frozen, and on which one command can hang.
 * @param change what becomes of an answer on its way; it stays as long as it was
 */
export async function wayToMongodb(uri: string, change = (answer: Buffer) => answer) {
  const { hostname, port } = new URL(uri)
  const sockets = new Set<Socket>()
  let toHang: { texts: readonly string[]; caught: () => void } | undefined
  /** What a client sends, until one of its commands hangs. */
  const commands = () => {
    let hangs = false
    return new Transform({
      transform(chunk: Buffer, _encoding, passOn) {
        if (toHang?.texts.every((text) => chunk.includes(text))) {
          toHang.caught()
          toHang = undefined
          hangs = true
        }
        if (hangs) passOn()
        else passOn(null, chunk)
      },
    })
  }
  const server = createServer((near) => {
    const far = connect(Number(port), hostname)
    near.pipe(commands()).pipe(far)
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
    /** The next command that has all of these texts in it gets no answer, nor does its connection. Waits until there is one. */
    hangNext: (...texts: string[]) =>
      new Promise<void>((caught) => {
        toHang = { texts, caught }
      }),
    thaw: () => {
      for (const socket of sockets) socket.resume()
    },
  }
}
