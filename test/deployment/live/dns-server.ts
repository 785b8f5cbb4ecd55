import { createSocket } from 'node:dgram'
import { AUTHORITATIVE_ANSWER, decode, encode } from 'dns-packet'

/** A DNS server that knows where containers are, as Docker's own: their addresses by the name of their service. */
export interface Names {
  /** Where it answers: `127.0.0.1:5353`. */
  address: string
  /** As of then nobody has asked for it. */
  set(name: string, addresses: readonly string[]): void
  /** Whether somebody has been told since. */
  told(name: string): boolean
  close(): Promise<void>
}

export async function startNames(): Promise<Names> {
  const known = new Map<string, readonly string[]>()
  const told = new Set<string>()
  const socket = createSocket('udp4')
  socket.on('message', (message, { port, address }) => {
    const { id, questions = [] } = decode(message)
    const [question] = questions
    told.add(question?.name ?? '')
    const addresses = known.get(question?.name ?? '')
    const answers = (question?.type === 'A' ? (addresses ?? []) : []).map((data) => {
      return { type: 'A', class: 'IN', name: question?.name ?? '', ttl: 600, data } as const
    })
    const unknownName = 3
    const flags = AUTHORITATIVE_ANSWER | (addresses ? 0 : unknownName)
    socket.send(encode({ type: 'response', id: id ?? 0, flags, questions, answers }), port, address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${socket.address().port}`,
    set(name, addresses) {
      known.set(name, addresses)
      told.delete(name)
    },
    told: (name) => told.has(name),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}
