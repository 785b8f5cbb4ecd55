import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Attack, AttackResult } from './hostile-connections.ts'

// The child process of `hostile-connections.ts`.

const connectsPerTick = 50
const reconnectAfterMs = 100

process.once('message', async ({ port, connections, text, reads = false, reconnects = true }: Attack) => {
  const bytes = Buffer.from(text, 'latin1')
  const result: AttackResult = { opened: 0, closed: 0, slowestCloseMs: 0 }

  const open = (): Socket => {
    const begun = performance.now()
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.once('connect', () => {
      result.opened += 1
      if (bytes.length > 0) socket.write(bytes)
    })
    // A socket without a listener for its data reads nothing.
    if (reads) socket.resume()
    socket.once('end', () => socket.destroy())
    socket.once('error', () => {})
    socket.once('close', () => {
      result.closed += 1
      result.slowestCloseMs = Math.max(result.slowestCloseMs, performance.now() - begun)
      if (reconnects) setTimeout(open, reconnectAfterMs)
      else if (result.closed === connections) process.send?.(result)
    })
    return socket
  }

  process.once('message', () => process.send?.(result))
  for (let nth = 0; nth < connections; nth++) {
    open()
    if (nth % connectsPerTick === 0) await sleep(1)
  }
})
