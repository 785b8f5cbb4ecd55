import { PassThrough } from 'node:stream'
import { describe, expect, it, type TestContext, vi } from 'vitest'
import { createLogger } from '#kernel/logger.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { textOf } from '#test/support/output.ts'
import {
  dropConnection,
  issuedWith,
  respondWith,
  startAuthServer,
  startService,
} from '#test/support/remote-auth.ts'
import { startComposition } from '#test/support/shop.ts'

const databases = registry.map(({ name }) => `database of ${name}`)
const ready = { status: 200, body: { status: 'ready' } }
const away = { status: 200, body: { status: 'ready', unavailable: databases } }
const gone = { status: 503, body: { code: 'dependency_unavailable', missing: databases } }

/** Starts the program with a proxy before its MongoDB and a clock that the test sets. */
async function startOnWay({ onTestFinished }: TestContext) {
  const proxy = await startMongodbProxy(mongodbUri)
  const output = new PassThrough()
  const log = textOf(output)
  const logger = await createLogger({ level: 'info', human: false, service: 'test', output })
  let elapsedMs = 0
  const { composition, close } = await startComposition({
    environment: { MONGODB_URI: proxy.uri, REQUEST_TIMEOUT: '1s' },
    logger,
    now: () => elapsedMs,
  })
  onTestFinished(async () => {
    await close()
    await proxy.disconnect()
  })
  await composition.prepare(new AbortController().signal)
  const get = async (path: string) => {
    const answer = await composition.app.request(path)
    return { status: answer.status, headers: answer.headers, body: await answer.json() }
  }
  return {
    proxy,
    get,
    readyz: () => get('/readyz'),
    pass: (milliseconds: number) => {
      elapsedMs += milliseconds
    },
    drain: () => composition.drain(),
    log,
  }
}

it('a process stays ready without a service that its modules call, and names the service until it is back', async ({
  onTestFinished,
}) => {
  const authServer = await startAuthServer(dropConnection)
  authServer.answerProbe = dropConnection
  const order = await startService('order', { AUTH_URL: authServer.url, PRODUCT_URL: authServer.url })
  onTestFinished(async () => {
    await order.close()
    await authServer.close()
  })
  expect(await order.client.get('/readyz')).toMatchObject({ status: 200, body: { status: 'ready' } })
  const token = await issuedWith(generatePrivateKey())
  expect((await order.client.get('/orders', { token })).status).toBe(503)
  await vi.waitFor(
    async () =>
      expect(await order.client.get('/readyz')).toMatchObject({
        status: 200,
        body: { status: 'ready', unavailable: ['auth'] },
      }),
    { timeout: 10_000 },
  )
  authServer.answerProbe = respondWith('{}')
  await vi.waitFor(
    async () => expect((await order.client.get('/readyz')).body).toEqual({ status: 'ready' }),
    {
      timeout: 10_000,
    },
  )
})

describe.concurrent('readiness while MongoDB does not answer', () => {
  it('a process stays ready for 30 s without MongoDB and names the databases, and is ready again when MongoDB is back', async (context) => {
    const { proxy, get, readyz, pass } = await startOnWay(context)
    expect(await readyz()).toMatchObject(ready)
    expect((await readyz()).body).toEqual({ status: 'ready' })
    await proxy.disconnect()
    expect(await readyz()).toMatchObject(away)
    const refused = await get('/products')
    expect(refused).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    pass(29_999)
    expect(await readyz()).toMatchObject(away)
    pass(1)
    expect(await readyz()).toMatchObject(gone)
    await proxy.reconnect()
    await vi.waitFor(async () => expect(await readyz()).toMatchObject(ready), { timeout: 15_000 })
    expect((await readyz()).body).toEqual({ status: 'ready' })
    expect((await get('/products')).status).toBe(200)
  })

  it('a process answers 100 probes at once in time, even if MongoDB keeps its connections open', async (context) => {
    const { proxy, readyz, pass } = await startOnWay(context)
    await readyz()
    proxy.freeze()
    const began = performance.now()
    const answers = await Promise.all(Array.from({ length: 100 }, readyz))
    // healthcheck.ts waits no longer than this.
    expect(performance.now() - began).toBeLessThan(2_000)
    for (const answer of answers) expect(answer).toMatchObject(away)
    pass(30_000)
    expect(await readyz()).toMatchObject(gone)
    proxy.thaw()
    await vi.waitFor(async () => expect(await readyz()).toMatchObject(ready), { timeout: 15_000 })
  })

  it('two short outages count separately, even if no probe comes in the hour between them', async (context) => {
    const { proxy, readyz, pass, log } = await startOnWay(context)
    await proxy.disconnect()
    expect(await readyz()).toMatchObject(away)
    await proxy.reconnect()
    await vi.waitFor(() => expect(log()).toContain('MongoDB answers again'), { timeout: 15_000 })
    pass(3_600_000)
    await proxy.disconnect()
    expect(await readyz()).toMatchObject(away)
  })

  it('a process that drains names the draining and not the databases', async (context) => {
    const { proxy, readyz, drain } = await startOnWay(context)
    await proxy.disconnect()
    expect(await readyz()).toMatchObject(away)
    drain()
    expect(await readyz()).toMatchObject({ status: 503, body: { missing: ['draining'] } })
  })
})
