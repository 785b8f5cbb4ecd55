import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { bothShapes } from '#test/support/both-shapes.ts'
import { type Deployment, deploy } from '#test/support/processes.ts'
import { expectFigures, isFull } from './figures.ts'
import { type Attack, startAttack } from './hostile-connections.ts'
import { memoryOf, startReads, watchMemory } from './measurements.ts'

type Kind = Omit<Attack, 'port'> & { name: string }

const get = (path: string, method = 'GET', fields = '') =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`
const post = (path: string, fields: string, body = '') =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${fields}\r\n\r\n${body}`
const list = get('/products?limit=100')
const chunked = 'Transfer-Encoding: chunked'
const mebibyte = 1_048_576

const kinds: Kind[] = [
  { name: '200 clients pipeline 1,000 lists each', connections: 200, text: list.repeat(1_000) },
  { name: '4 clients pipeline 1,000 lists each', connections: 4, text: list.repeat(1_000) },
  {
    name: '200 clients pipeline HEAD and 404',
    connections: 200,
    text: (get('/docs', 'HEAD') + get('/x')).repeat(500),
  },
  { name: '1,000 clients do not read the document', connections: 1_000, text: get('/openapi.json') },
  {
    name: '1,000 clients leave out the last byte of a body',
    connections: 1_000,
    text: post('/login', `Content-Length: ${mebibyte}`, ' '.repeat(mebibyte - 1)),
  },
  {
    name: '200 clients send large bodies that are refused',
    connections: 200,
    text: post('/orders', `Content-Length: ${8 * mebibyte}`, ' '.repeat(8 * mebibyte)),
  },
  {
    name: '1,000 clients expect 100-continue',
    connections: 1_000,
    text: post('/login', `Expect: 100-continue\r\nContent-Length: ${mebibyte}`),
  },
  {
    name: '1,000 clients ask for an upgrade',
    connections: 1_000,
    text: get('/products?limit=100', 'GET', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
  },
  { name: '1,000 clients send CONNECT', connections: 1_000, text: get('x:1', 'CONNECT') },
  { name: '4,000 clients are idle', connections: 4_000, text: '' },
  {
    name: '1,000 clients send most of a head',
    connections: 1_000,
    text: `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(16_000)}`,
  },
  {
    name: '1,000 clients send chunk extensions',
    connections: 1_000,
    text: post('/login', chunked, `1;${'x'.repeat(15_000)}\r\n \r\n`.repeat(60)),
  },
  {
    name: '1,000 clients send trailers',
    connections: 1_000,
    text: post('/login', chunked, `0\r\n${'a: b\r\n'.repeat(2_500)}`),
  },
]

const maxReadMs = isFull ? 200 : 10_000
const seconds = isFull ? 15 : 4
const measuredKinds = isFull ? kinds : kinds.filter((_, at) => [0, 3, 4].includes(at))
// The heap that Node.js chooses in a container of 512 MiB.
const smallHeap = { NODE_OPTIONS: '--max-old-space-size=256' }

// The short form has a quarter of the connections, in one shape: both shapes use the same server.
const share = isFull ? 1 : 0.25
const quarter = isFull ? '' : ', a quarter of them'
const portOf = ({ url }: Deployment) => Number(new URL(url).port)

describe.each(isFull ? bothShapes : bothShapes.slice(0, 1))(
  'clients that make the server hold something (%s)',
  (shape) => {
    let shop: Deployment
    let readUrl: string
    let pids: number[]
    beforeAll(async () => {
      shop = await deploy(shape, smallHeap)
      pids = [shop.child.pid as number, ...Object.values(shop.pids)]
      const description = 'A cup. '.repeat(700)
      const products = await Promise.all(
        Array.from({ length: 40 }, () => shop.product(shop.adminToken, { description })),
      )
      readUrl = `${shop.url}/products/${products[0].productId}`
      const warmUp = startReads(readUrl)
      for (let round = 0; round < (isFull ? 300 : 50); round++) {
        await Promise.all(['/products?limit=100', '/openapi.json', '/docs'].map((path) => shop.get(path)))
      }
      await warmUp.stop()
    })
    afterAll(() => shop?.stop())

    it.each(measuredKinds)('$name', async ({ name, ...attack }) => {
      const before = await memoryOf(pids)
      const memory = watchMemory(pids)
      const clients = startAttack({ ...attack, connections: attack.connections * share, port: portOf(shop) })
      const reads = startReads(readUrl)
      await sleep(seconds * 1_000)
      const { p99, p99OnOpenConnections, failed } = await reads.stop()
      await clients.stop()
      const peak = await memory.stop()
      expectFigures(`${name} (${shape}${quarter})`, [
        { name: 'reads beside, p99', value: p99, unit: 'ms', atMost: maxReadMs },
        { name: 'without new connections', value: p99OnOpenConnections, unit: 'ms', atMost: maxReadMs },
        { name: 'reads beside, failed', value: failed, unit: '', atMost: 0 },
        { name: 'growth of memory', value: peak - before, unit: 'MiB', atMost: isFull ? 50 : 150 },
        ...(isFull ? [await memoryLeft(before)] : []),
      ])
    })

    /** The growth that remains when the attack is over. V8 and the C library return memory with a delay. */
    async function memoryLeft(before: number) {
      const until = performance.now() + 60_000
      let left = Number.POSITIVE_INFINITY
      while (left > 10 && performance.now() < until) {
        await sleep(1_000)
        left = (await memoryOf(pids)) - before
      }
      return { name: 'growth that is left', value: left, unit: 'MiB', atMost: 10 } as const
    }

    it('1,000 clients send an incomplete head', async () => {
      const attack = {
        connections: 1_000 * share,
        text: 'GET / HTTP/1.1\r\nX-Slow: ',
        reads: true,
        reconnects: false,
      }
      const reads = startReads(readUrl)
      const clients = startAttack({ ...attack, port: portOf(shop) })
      const { slowestCloseMs } = await clients.allClosed
      const { p99, failed } = await reads.stop()
      await clients.stop()
      expectFigures(`1,000 clients send an incomplete head (${shape}${quarter})`, [
        { name: 'reads beside, p99', value: p99, unit: 'ms', atMost: maxReadMs },
        { name: 'reads beside, failed', value: failed, unit: '', atMost: 0 },
        {
          name: 'the last one is disconnected after',
          value: slowestCloseMs / 1_000,
          unit: 's',
          atMost: isFull ? 11 : 20,
        },
      ])
    })
  },
)
