import { createSocket } from 'node:dgram'
import { AUTHORITATIVE_ANSWER, decode, encode } from 'dns-packet'

/** A DNS server that resolves the name of a service to the addresses of its containers, as Docker's DNS server does. */
export interface DnsServer {
  /** Host and port: `127.0.0.1:5353`. */
  address: string
  /** Sets the addresses of a name. `wasQueried` of the name is false until the next query. */
  setAddresses(name: string, addresses: readonly string[]): void
  /** Whether a client has queried the name since the last `setAddresses`. */
  wasQueried(name: string): boolean
  close(): Promise<void>
}

export async function startDnsServer(): Promise<DnsServer> {
  const known = new Map<string, readonly string[]>()
  const queried = new Set<string>()
  const socket = createSocket('udp4')
  socket.on('message', (message, { port, address }) => {
    const { id, questions = [] } = decode(message)
    const [question] = questions
    queried.add(question?.name ?? '')
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
    setAddresses(name, addresses) {
      known.set(name, addresses)
      queried.delete(name)
    },
    wasQueried: (name) => queried.has(name),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}
