import { Agent, createServer, request, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import type { Logger } from '#kernel/logger.ts'
import { limitConnections, readConnectionLimit } from './connection-limit.ts'

let server: Server
let clients: Socket[] = []
afterEach(async () => {
  for (const client of clients) client.destroy()
  clients = []
  await new Promise((resolve) => server.close(resolve))
})

const repeatable = vi.fn()

/** Starts a server for at most ten connections. Each new connection gets the next of these addresses. */
async function open(addresses: string[], options: { busy?: boolean; proxy?: string } = {}) {
  repeatable.mockClear()
  const arrivals = new Map<Socket, string>()
  server = createServer((_, response) => response.end('fine'))
  server.on('connection', (socket) => {
    const address = addresses.shift() ?? 'another'
    Object.defineProperty(socket, 'remoteAddress', { value: address })
    arrivals.set(socket, address)
    socket.once('close', () => arrivals.delete(socket))
  })
  limitConnections(server, {
    limit: { connections: 10, descriptors: 20 },
    arrivals,
    busy: () => new Set(options.busy ? arrivals.keys() : []),
    isProxy: (address) => address === options.proxy,
    logger: { repeatable } as unknown as Logger,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { addresses: () => [...arrivals.values()].join(' ') }
}

/** Opens connections one after the other, and waits until the server has them or has closed them. */
async function connectClients(count: number) {
  for (let nth = 0; nth < count; nth++) {
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.on('error', () => {})
    clients.push(client)
    await new Promise((resolve) => client.once('connect', resolve))
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
}

it('a full server closes the oldest idle connection of the address that has the most, and refuses none', async () => {
  const { addresses } = await open(['a', 'b', 'b', 'c', 'a', 'b', 'a', 'a', 'b', 'b', 'd', 'e'])
  await connectClients(9)
  expect(addresses()).toBe('a b b c a b a a b')
  await connectClients(3)
  // A place is made as soon as the last one is taken.
  expect(addresses()).toBe('c a b a a b b d e')
  expect(repeatable).not.toHaveBeenCalled()
})

it('a full server closes no idle connection of a trusted proxy', async () => {
  const { addresses } = await open([...'pppppp', 'a', 'a', 'p', 'p', 'p'], { proxy: 'p' })
  await connectClients(11)
  expect(addresses()).toBe('p p p p p p p p p')
})

it('a server whose connections are all busy refuses further ones, logs each, and accepts them when there is room', async () => {
  const { addresses } = await open([], { busy: true })
  await connectClients(13)
  expect(addresses().split(' ')).toHaveLength(10)
  expect(repeatable).toHaveBeenCalledTimes(3)
  expect(repeatable).toHaveBeenLastCalledWith(
    'refused connection',
    'warn',
    { connections: 10, descriptors: 20 },
    'refused a connection: there are as many as the limit allows, and none is idle',
  )
  clients[0]?.destroy()
  await vi.waitFor(() => expect(addresses().split(' ')).toHaveLength(9))
  const agent = new Agent()
  onTestFinished(() => agent.destroy())
  const status = await new Promise((resolve, reject) => {
    const { port } = server.address() as AddressInfo
    request({ port, host: '127.0.0.1', agent }, (answer) => resolve(answer.statusCode))
      .once('error', reject)
      .end()
  })
  expect(status).toBe(200)
})

it('the limit of connections leaves descriptors for other purposes', () => {
  const { connections, descriptors } = readConnectionLimit()
  expect(connections).toBeLessThanOrEqual(8_192)
  expect(descriptors - connections).toBeGreaterThan(100)
})
