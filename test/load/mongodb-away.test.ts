import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { findMongod } from '#src/embedded/mongod-binary.ts'
import { createNode, type OwnNode, runCommand, waitUntil } from '#test/support/mongod-node.ts'
import { type Load, purchaseOf, startLoad } from './buyers.ts'
import { startEmbeddedShop } from './embedded-shop.ts'
import { expectFigures, isFull } from './figures.ts'
import { measureOutage } from './outage.ts'
import { type Services, startServices } from './services.ts'

type EmbeddedShop = Awaited<ReturnType<typeof startEmbeddedShop>>

const clients = 16
let directory: string
let mongod: OwnNode
let services: Services
let orders: Load
let reads: Load

const becomesPrimary = () =>
  waitUntil('mongod is the primary', async () => {
    const { isWritablePrimary } = await runCommand(mongod.host, { hello: 1 })
    return isWritablePrimary || undefined
  })

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'trivet-mongodb-away-'))
  const binary = await findMongod(process.env, (line) => console.log(line))
  mongod = await createNode(binary, join(directory, 'node'), ['--replSet', 'rs0'])
  await mongod.start()
  await runCommand(mongod.host, { replSetInitiate: { _id: 'rs0', members: [{ _id: 0, host: mongod.host }] } })
  await becomesPrimary()
  services = await startServices('one process', {}, `mongodb://${mongod.host}/?replicaSet=rs0`)
  const productIds = await services.createProducts()
  const { url } = services.of('order')
  const token = services.adminToken
  orders = startLoad(url, { clients, token, next: purchaseOf(productIds) })
  reads = startLoad(url, {
    clients,
    token,
    next: () => ({ method: 'GET', path: `/products/${productIds[0]}` }),
  })
  await vi.waitUntil(() => orders.answers.length > 2 * clients && reads.answers.length > 2 * clients, {
    timeout: 60_000,
  })
})
afterAll(async () => {
  await Promise.all([orders?.stop(), reads?.stop()])
  await services?.stop()
  await mongod?.kill()
  await rm(directory, { recursive: true, force: true })
})

const listens = (host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const [name, port] = host.split(':')
    const socket = connect(Number(port), name)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/** Measures the same outage for both kinds of requests. */
const measure = async (options: Parameters<typeof measureOutage>[1]) => {
  const idle = { ...options, takeAway: () => undefined }
  const bringingBack = Promise.withResolvers<void>()
  const [ofOrders, ofReads] = await Promise.all([
    measureOutage(orders, {
      ...options,
      async bringBack() {
        await options.bringBack()
        bringingBack.resolve()
      },
    }),
    measureOutage(reads, { ...idle, bringBack: () => bringingBack.promise }),
  ])
  return { ofOrders, ofReads }
}

const figuresOf = async (title: string, options: Parameters<typeof measureOutage>[1]) => {
  const { ofOrders, ofReads } = await measure(options)
  expect(Math.min(ofOrders.later, ofReads.later)).toBeGreaterThan(clients)
  const laterAtMost = isFull ? 100 : 2_500
  const normalAtMost = isFull ? 1_000 : 10_000
  expectFigures(title, [
    {
      name: 'orders from the third second on, p99',
      value: ofOrders.p99LaterMs,
      unit: 'ms',
      atMost: laterAtMost,
    },
    {
      name: 'reads from the third second on, p99',
      value: ofReads.p99LaterMs,
      unit: 'ms',
      atMost: laterAtMost,
    },
    {
      name: 'orders are normal again after',
      value: ofOrders.normalAfterMs,
      unit: 'ms',
      atMost: normalAtMost,
    },
    { name: 'reads are normal again after', value: ofReads.normalAfterMs, unit: 'ms', atMost: normalAtMost },
  ])
}

it('requests are refused quickly while MongoDB is frozen, and succeed soon after it continues', async () => {
  await figuresOf(`MongoDB frozen for ${isFull ? 30 : 5} s`, {
    takeAway: mongod.freeze,
    lastsMs: isFull ? 30_000 : 5_000,
    laterAfterMs: 3_000,
    bringBack: mongod.thaw,
  })
})

it('requests are refused quickly while MongoDB is dead, and succeed soon after it is back', async () => {
  let started: Promise<void> | undefined
  await figuresOf(`MongoDB killed, and back ${isFull ? 10 : 5} s later`, {
    takeAway: mongod.kill,
    lastsMs: isFull ? 10_000 : 5_000,
    laterAfterMs: 3_000,
    async bringBack() {
      started = mongod.start()
      // `start` notices late that mongod answers.
      await vi.waitUntil(() => listens(mongod.host), { timeout: 60_000, interval: 10 })
      await becomesPrimary()
    },
  })
  await started
  await Promise.all([orders.stop(), reads.stop()])
  const { report } = await services.audit()
  expect(report.findings).toEqual([])
})

/** Buys until the process ends or `until` resolves, and returns the ids of the confirmed orders. */
async function buyWhile(shop: EmbeddedShop, until: Promise<unknown>): Promise<string[]> {
  const { productId } = await shop.product(shop.adminToken, { stock: 10_000_000 })
  const load = startLoad(shop.url, { clients, token: shop.adminToken, next: purchaseOf([productId]) })
  await until
  await load.stop()
  return load.answers.flatMap(({ status, orderId }) => (status === 201 && orderId ? [orderId] : []))
}

const isConfirmed = async ({ get, adminToken: token }: EmbeddedShop, orderId: string) =>
  (await get(`/orders/${orderId}`, { token })).body.status === 'confirmed'

const expectJson = (output: string) => {
  for (const line of output.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg')
}

// A short form is in src/embedded/mongod.test.ts. Only root may mount a small disk.
if (isFull) {
  it('the embedded MongoDB is started again when it is killed, and no confirmed order is lost', async () => {
    const dataDir = join(directory, 'killed')
    await mkdir(dataDir)
    const shop = await startEmbeddedShop(dataDir)
    let killedAt = 0
    let backAt = 0
    const outage = async () => {
      await sleep(3_000)
      await shop.killMongod()
      killedAt = performance.now()
      await vi.waitUntil(async () => (await shop.get('/products')).status === 503, { timeout: 10_000 })
      await vi.waitUntil(async () => (await shop.get('/products')).status === 200, { timeout: 60_000 })
      backAt = performance.now()
      await sleep(1_000)
    }
    const confirmed = await buyWhile(shop, outage())
    const lost = []
    for (const orderId of confirmed) if (!(await isConfirmed(shop, orderId))) lost.push(orderId)
    expect(await shop.stop()).toBe(0)
    expectJson(shop.output())
    expectFigures(`embedded MongoDB killed, ${confirmed.length} confirmed orders`, [
      { name: 'works again after', value: (backAt - killedAt) / 1_000, unit: 's', atMost: 15 },
      { name: 'confirmed orders that are lost', value: lost.length, unit: '', atMost: 0 },
    ])
  })

  it('the process ends with one message when the disk is full, and no confirmed order is lost', async () => {
    const dataDir = join(directory, 'full')
    await mkdir(dataDir)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=450M', 'tmpfs', dataDir])
    try {
      const shop = await startEmbeddedShop(dataDir)
      const filler = join(dataDir, 'filler')
      const fill = async () => {
        await sleep(3_000)
        execFileSync('sh', ['-c', `cat /dev/zero > '${filler}' 2> /dev/null || true`])
        // MongoDB notices at its next checkpoint, which is within a minute.
        return shop.ended
      }
      const confirmed = await buyWhile(shop, fill())
      expect(await shop.ended).toBe(1)
      expectJson(shop.output())
      const messages = shop.output().match(/could not be started again[^"]*/g) ?? []
      expect(messages).toHaveLength(1)
      await rm(filler)
      const again = await startEmbeddedShop(dataDir)
      const lost = []
      for (const orderId of confirmed) if (!(await isConfirmed(again, orderId))) lost.push(orderId)
      expect(await again.stop()).toBe(0)
      expectFigures(
        `disk of the embedded MongoDB full, ${confirmed.length} confirmed orders: ${messages[0]}`,
        [{ name: 'confirmed orders that are lost', value: lost.length, unit: '', atMost: 0 }],
      )
    } finally {
      execFileSync('umount', ['--lazy', dataDir])
    }
  })
}
