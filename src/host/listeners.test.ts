import { fork } from 'node:child_process'
import { type AddressInfo, connect, createServer, Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { registry } from '#src/registry.ts'
import { expectProblem, headerOf } from '#test/support/both-shapes.ts'
import { deploy, scriptEnvironment } from '#test/support/processes.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { requestText, sendRawAndClose } from '#test/support/raw-http.ts'
import { startComposition } from '#test/support/shop.ts'
import { type Listeners, openListeners } from './listeners.ts'

describe('a process with a management port', () => {
  let shop: Awaited<ReturnType<typeof startComposition>>
  let listeners: Listeners
  beforeAll(async () => {
    const environment = { PORT: '0', MANAGEMENT_PORT: '0', HOST: '127.0.0.1' }
    shop = await startComposition({ environment })
    await shop.composition.prepare(new AbortController().signal)
    const { config, composition } = shop
    const options = { config, modules: registry, logger: await quiet, metrics: createMetrics() }
    listeners = await openListeners(composition, options)
  })
  afterAll(async () => {
    await listeners.close(0)
    await listeners.closeManagement()
    await shop.close()
  })
  // Its answers are not compared with the OpenAPI document, which does not describe the management port.
  const ask = (port: number | undefined, path: string, method = 'GET') =>
    sendRawAndClose(`http://127.0.0.1:${port}`, requestText(method, path))

  it('the management port answers the probes and the metrics, and nothing else', async () => {
    const { managementPort } = listeners
    expect(JSON.parse((await ask(managementPort, '/healthz')).body)).toEqual({ status: 'alive' })
    expect(JSON.parse((await ask(managementPort, '/readyz')).body)).toEqual({ status: 'ready' })
    expect((await ask(managementPort, '/metrics')).body).toContain('trivet_http_request_duration_seconds')
    for (const path of ['/', '/products', '/login', '/docs', '/openapi.json', '/internal/product/reserve']) {
      expectProblem(await ask(managementPort, path), 404, 'route_not_found', path)
    }
    expect(JSON.parse((await ask(managementPort, '/')).body).detail).toBe(
      '/: this route does not exist; the routes of this port are /healthz, /readyz and /metrics',
    )
    const refused = await ask(managementPort, '/healthz', 'POST')
    expectProblem(refused, 405, 'method_not_allowed', 'POST')
    expect(headerOf(refused, 'allow')).toBe('GET, HEAD, OPTIONS')
    expect(refused.body).not.toContain('/docs')
  })

  it('the port of the API answers the probes, and not the metrics', async () => {
    const { port } = listeners
    expect((await ask(port, '/healthz')).status).toBe(200)
    expect((await ask(port, '/readyz')).status).toBe(200)
    expect((await ask(port, '/products')).status).toBe(200)
    expectProblem(await ask(port, '/metrics'), 404, 'route_not_found', '/metrics')
  })

  it('the health check of a container asks the management port', async () => {
    const check = (environment: Record<string, string>) =>
      new Promise((resolve) => {
        const script = fileURLToPath(new URL('../cli/healthcheck.ts', import.meta.url))
        const child = fork(script, ['/readyz'], {
          env: { ...scriptEnvironment, ...environment },
          execArgv: [],
        })
        child.once('exit', resolve)
      })
    const [port, managementPort] = [String(listeners.port), String(listeners.managementPort)]
    // Nothing listens on port 9.
    expect(await check({ PORT: '9', MANAGEMENT_PORT: managementPort })).toBe(0)
    expect(await check({ PORT: port, MANAGEMENT_PORT: '9' })).toBe(1)
    expect(await check({ PORT: port })).toBe(0)
  })

  it('from the drain on, both ports close each connection after its answer', async () => {
    const connections = () =>
      Promise.all(
        [listeners.port, listeners.managementPort].map(async (port) => {
          const answer = await fetch(`http://127.0.0.1:${port}/healthz`)
          await answer.text()
          return answer.headers.get('connection')
        }),
      )
    // An answer that the thread of the management port repeats ends its connection.
    await vi.waitFor(async () => expect(await connections()).toEqual(['keep-alive', 'keep-alive']))
    listeners.drain()
    expect(await connections()).toEqual(['close', 'close'])
  })

  it('the management port reports the drain after the port of the API is closed', async () => {
    const { port, managementPort } = listeners
    shop.composition.drain()
    await listeners.close(1_000)
    await expect(ask(port, '/readyz')).rejects.toThrow()
    const answer = await ask(managementPort, '/readyz')
    expectProblem(answer, 503, 'dependency_unavailable', 'draining')
    await listeners.closeManagement()
    await expect(ask(managementPort, '/readyz')).rejects.toThrow()
  })
})

it('a process whose management port is in use does not leave the port of the API open', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const taken = (other.address() as AddressInfo).port
  const environment = { PORT: '0', MANAGEMENT_PORT: String(taken), HOST: '127.0.0.1' }
  const { config, composition, close } = await startComposition({ environment })
  onTestFinished(async () => {
    vi.restoreAllMocks()
    other.close()
    await close()
  })
  const opened = vi.spyOn(Server.prototype, 'listen')
  const opening = openListeners(composition, {
    config,
    modules: registry,
    logger: await quiet,
    metrics: createMetrics(),
  })
  await expect(opening).rejects.toThrow(`MANAGEMENT_PORT ${taken} is in use by another program`)
  const [api, management] = opened.mock.contexts
  expect([api, management].map((server) => (server as Server).listening)).toEqual([false, false])
})

it('a probe on the management port does not wait behind 2,000 new connections to the API', async () => {
  const shop = await deploy('one process', { MANAGEMENT_PORT: '0', HOST: '127.0.0.1' })
  const sockets: Socket[] = []
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await shop.stop()
  })
  let answered = 0
  const open = (port: number, path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`))
      sockets.push(socket)
      socket.once('error', reject)
      socket.once('data', (data) => resolve(data.toString()))
    })
  // The connections arrive while the process does not run, and the one of the probe is the last.
  shop.child.kill('SIGSTOP')
  const burst = Array.from({ length: 2_000 }, async () => {
    await open(Number(new URL(shop.url).port), '/healthz')
    answered += 1
  })
  await new Promise((resolve) => sockets.at(-1)?.once('connect', resolve))
  const probe = open(Number(shop.managementPort), '/readyz')
  await new Promise((resolve) => sockets.at(-1)?.once('connect', resolve))
  shop.child.kill('SIGCONT')
  expect(await probe).toMatch(/^HTTP\/1\.1 200 /)
  expect(answered).toBeLessThan(1_000)
  await Promise.all(burst)
})
