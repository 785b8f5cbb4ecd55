import { connect, type Socket } from 'node:net'
import type { LoadPlan, LoadResult, RequestKind, Second } from './offered-load.ts'

// The child process of `offered-load.ts`. It uses plain sockets, because it shares the cores with the program: a request costs
// it a few microseconds.

interface Kind extends RequestKind {
  /** The requests, with a place for the idempotency key. */
  texts: readonly (readonly [before: string, after: string])[]
}

interface Connection {
  socket: Socket
  /** The request that is being answered. */
  kind: Kind | undefined
  scheduledAt: number
  sentAt: number
  /** The beginning of an answer whose end has not arrived. */
  received: string
}

const tickMs = 1
const reconnectAfterMs = 100

/** An index of the histogram of times: each step is 2 %. */
const stepOf = (ms: number): number =>
  Math.max(0, Math.round(Math.log(Math.max(ms, 0.01) / 0.01) / Math.log(1.02)))
const msOfStep = (step: number): number => 0.01 * 1.02 ** step

function createTimes() {
  const steps = new Uint32Array(1_100)
  let count = 0
  let max = 0
  return {
    add(ms: number) {
      const step = Math.min(stepOf(ms), steps.length - 1)
      steps[step] = (steps[step] ?? 0) + 1
      count += 1
      if (ms > max) max = ms
    },
    summary() {
      const percentile = (share: number) => {
        let left = count * share
        for (const [step, times] of steps.entries()) {
          left -= times
          if (left <= 0) return msOfStep(step)
        }
        return max
      }
      return count === 0
        ? { count, p50: 0, p99: 0, max }
        : { count, p50: percentile(0.5), p99: percentile(0.99), max }
    },
  }
}

function run(plan: LoadPlan): Promise<LoadResult> {
  const kinds: Kind[] = plan.kinds.map((kind) => ({ ...kind, texts: kind.requests.map(textsOf) }))
  const totalWeight = kinds.reduce((sum, { weight }) => sum + weight, 0)
  const accepted = createTimes()
  const refused = createTimes()
  const seconds: Second[] = []
  const statuses: Record<string, number> = {}
  const startedAt = performance.now() + (plan.connectMs ?? 0)
  const durationMs = plan.seconds * 1_000
  const idle: Connection[] = []
  let scheduled = 0
  let sent = 0
  let errors = 0
  let inFlight = 0
  let drawn = 0
  let isOver = false
  const run = `${process.pid}-${Date.now()}`

  const draw = (): Kind => {
    drawn += 1
    let place = (drawn * 7) % totalWeight
    for (const kind of kinds) {
      place -= kind.weight
      if (place < 0) return kind
    }
    return kinds[0] as Kind
  }

  const send = (connection: Connection, scheduledAt: number) => {
    const kind = draw()
    connection.kind = kind
    connection.scheduledAt = scheduledAt
    connection.sentAt = performance.now()
    const [before, after] = kind.texts[sent % kind.texts.length] as readonly [string, string]
    sent += 1
    inFlight += 1
    connection.socket.write(after === '' ? before : `${before}${run}-${sent}${after}`, 'latin1')
  }

  const count = (status: string, { scheduledAt, sentAt }: Connection) => {
    const now = performance.now()
    const second = Math.floor((now - startedAt) / 1_000)
    if (second < 0) return
    statuses[status] = (statuses[status] ?? 0) + 1
    for (let at = seconds.length; at <= second; at++) seconds.push({ accepted: 0, refused: 0 })
    const isAccepted = status < '400'
    if (isAccepted) accepted.add(now - scheduledAt)
    else refused.add(now - sentAt)
    ;(seconds[second] as Second)[isAccepted ? 'accepted' : 'refused'] += 1
  }

  const next = (connection: Connection, isRefused: boolean) => {
    if (isOver) return
    if (plan.perSecond !== undefined) idle.push(connection)
    else if (isRefused && plan.waitsAfterRefusalMs !== undefined)
      setTimeout(() => !isOver && send(connection, performance.now()), plan.waitsAfterRefusalMs)
    else send(connection, performance.now())
  }

  const receive = (connection: Connection, text: string) => {
    const whole = connection.received === '' ? text : connection.received + text
    if (!isComplete(whole)) {
      connection.received = whole
      return
    }
    connection.received = ''
    // The server answers 408 before it closes a connection on which it has waited for a request.
    if (!connection.kind) return
    connection.kind = undefined
    inFlight -= 1
    const status = whole.slice(9, 12)
    count(status, connection)
    next(connection, status === '503')
  }

  const buffer = Buffer.allocUnsafe(65_536)
  const open = (onOpen?: () => void) => {
    const socket = connect({
      port: plan.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer,
        callback(bytes) {
          receive(connection, buffer.toString('latin1', 0, bytes))
          return true
        },
      },
    })
    const connection: Connection = { socket, kind: undefined, scheduledAt: 0, sentAt: 0, received: '' }
    socket.once('connect', () => {
      onOpen?.()
      next(connection, false)
    })
    socket.once('error', () => {
      errors += 1
    })
    socket.once('close', () => {
      if (connection.kind) inFlight -= 1
      const at = idle.indexOf(connection)
      if (at >= 0) idle.splice(at, 1)
      if (!isOver) setTimeout(open, reconnectAfterMs)
    })
    return socket
  }

  const sendDue = () => {
    if (plan.perSecond === undefined) return
    const due = dueAfter(Math.min(performance.now() - startedAt, durationMs), plan.perSecond)
    while (scheduled < due && idle.length > 0) {
      scheduled += 1
      // The connection that has been idle for the longest time, so that none exceeds its time limit.
      send(idle.shift() as Connection, startedAt + (scheduled / plan.perSecond) * 1_000)
    }
  }

  return new Promise((resolve) => {
    const sockets: Socket[] = []
    const connectDue = () => {
      const part = plan.connectMs ? Math.min(1, 1 - (startedAt - performance.now()) / plan.connectMs) : 1
      while (sockets.length < plan.connections * part) sockets.push(open())
    }
    const timer = setInterval(() => {
      connectDue()
      sendDue()
      if (performance.now() - startedAt < durationMs) return
      clearInterval(timer)
      isOver = true
      const unsent = Math.max(0, dueAfter(durationMs, plan.perSecond ?? 0) - scheduled)
      const finish = () => {
        for (const socket of sockets) socket.destroy()
        const cpu = process.cpuUsage()
        resolve({
          accepted: accepted.summary(),
          refused: refused.summary(),
          statuses,
          seconds: seconds.slice(0, plan.seconds),
          unsent,
          unanswered: inFlight,
          errors,
          cpuSeconds: (cpu.user + cpu.system) / 1e6,
        })
      }
      setTimeout(finish, plan.lingerMs ?? 0)
    }, tickMs)
  })
}

/** The number of requests of an open loop that are due after this time. */
const dueAfter = (elapsedMs: number, perSecond: number): number => Math.floor((elapsedMs / 1_000) * perSecond)

const keyPlace = '{key}'

function textsOf(text: string): readonly [string, string] {
  const at = text.indexOf(keyPlace)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + keyPlace.length)]
}

function isComplete(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return false
  const at = text.indexOf('ontent-')
  const head = text.slice(at < 0 ? 0 : at - 1, end)
  const length = /content-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return text.length >= end + 4 + Number(length)
  return /transfer-encoding: *chunked/i.test(text.slice(0, end)) ? text.endsWith('0\r\n\r\n') : true
}

process.once('message', async (plan: LoadPlan) => {
  process.send?.(await run(plan))
  process.disconnect?.()
  process.exit()
})
