import { once } from 'node:events'
import { createRoute, z } from '@hono/zod-openapi'
import mongoose from 'mongoose'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Call } from '#kernel/call.ts'
import { ConfigError } from '#kernel/config/config-error.ts'
import { loadConfig } from '#kernel/config/load-config.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Job } from '#kernel/jobs.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { type AnyModule, defineModule } from '#kernel/module.ts'
import type { Migration } from '#kernel/mongo/migrations.ts'
import { definePort } from '#kernel/ports/port.ts'
import { portClient, portRoutes } from '#kernel/ports/port-http.ts'
import { createGate } from '#test/support/gate.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { runScript } from '#test/support/processes.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { databaseName } from '#test/support/shop.ts'
import { listen } from '../http/server.ts'
import { generatePrivateKey } from '../modules/auth/sessions/signing-keys.ts'
import { registry } from '../registry.ts'
import { compose } from './compose.ts'

interface GreeterPort {
  greet(request: { name: string }, call: Call): Promise<{ text: string; by: string }>
}

const greeterPort = definePort<GreeterPort>('greeter', {
  greet: { request: z.object({ name: z.string() }), result: z.object({ text: z.string(), by: z.string() }) },
})

const greeting = createRoute({
  method: 'get',
  path: '/greeting',
  responses: { 200: { description: 'Hello' } },
})

/** A module that offers a port. `by` is part of each result, and tells replicas apart. */
const greeter = (by: string, migrations: readonly Migration[] = []): AnyModule =>
  defineModule({
    name: 'greeter',
    api: { greeting },
    migrations,
    needs: {},
    start({ logger }) {
      const port: GreeterPort = { greet: async ({ name }) => ({ text: `Hello ${name}`, by }) }
      const routes = createRouter()
      routes.openapi(greeting, (c) => c.text('Hello'))
      return { routes, port, internal: portRoutes(greeterPort, port, logger) }
    },
    connect: (http) => portClient(greeterPort, http),
  })

/** A module that needs this port. `greet` calls it. */
function caller() {
  const got: { greeter?: GreeterPort } = {}
  const module = defineModule({
    name: 'caller',
    api: {},
    migrations: [],
    needs: { greeter: greeterPort },
    start({ needs }) {
      got.greeter = needs.greeter
      return { routes: createRouter() }
    },
  })
  return { module, greet: () => got.greeter?.greet({ name: 'Ada' }, call()) }
}

const fail = () => Promise.reject(new Error('disk full'))
const call = (): Call => ({ deadline: Date.now() + 5_000, requestId: 'request-1' })
const keys = JSON.stringify([generatePrivateKey()])

async function composed(
  modules: readonly AnyModule[],
  environment: Record<string, string> = {},
  wrapPort?: (port: { name: string }, implementation: object) => object,
) {
  const database = databaseName()
  const config = loadConfig({ MONGODB_URI: mongodbUri, MONGODB_DATABASE: database, ...environment }, modules)
  const composition = await compose({
    config: { ...config, mongodb: { ...config.mongodb, uri: mongodbUri } },
    modules,
    logger: await quiet,
    metrics: createMetrics(),
    ...(wrapPort && { wrapPort }),
  })
  onTestFinished(async () => {
    await composition.close()
    const own = await mongoose.createConnection(mongodbUri).asPromise()
    for (const name of config.hosted) await own.useDb(`${database}_${name}`).dropDatabase()
    await own.close()
  })
  return {
    ...composition,
    database,
    prepare: () => composition.prepare(new AbortController().signal),
    async get(path: string) {
      const answer = await composition.app.request(path)
      const json = answer.headers.get('content-type')?.includes('json')
      return { status: answer.status, body: json ? await answer.json() : await answer.text() }
    },
  }
}

/** Starts a server that hosts only the greeter. */
async function remoteGreeter(by: string, environment: Record<string, string> = {}) {
  // A process that hosts all modules serves /internal only if a secret is set.
  const development = { INTERNAL_SECRET: 'development-only-internal-secret' }
  const remote = await composed([greeter(by)], { ...development, ...environment })
  await remote.prepare()
  const authorizations: (string | null)[] = []
  const listener = await listen(
    (request) => {
      authorizations.push(request.headers.get('authorization'))
      return remote.app.fetch(request)
    },
    { port: 0, host: '127.0.0.1', requestTimeoutMs: 5_000 },
  )
  onTestFinished(() => listener.close(5_000))
  return { url: `http://127.0.0.1:${listener.port}`, authorizations }
}

describe('a need', () => {
  test('a need resolves to the local port if its module is hosted here, even if a URL is set', async () => {
    const remote = await remoteGreeter('remote')
    const { module, greet } = caller()
    await composed([greeter('local'), module], { GREETER_URL: remote.url })
    expect(await greet()).toEqual({ text: 'Hello Ada', by: 'local' })
    expect(remote.authorizations).toEqual([])
  })

  test('a need resolves to an HTTP client with a credential if its module is hosted elsewhere', async () => {
    const remote = await remoteGreeter('remote')
    const { module, greet } = caller()
    await composed([greeter('local'), module], { SERVICE: 'caller', GREETER_URL: `${remote.url}/` })
    expect(await greet()).toEqual({ text: 'Hello Ada', by: 'remote' })
    expect(remote.authorizations).toEqual([expect.stringMatching(/^Bearer \S+$/)])
  })

  test('a remote module refuses the calls of a process with another secret', async () => {
    const remote = await remoteGreeter('remote', { INTERNAL_SECRET: 'a secret of the remote one alone' })
    const { module, greet } = caller()
    await composed([greeter('local'), module], { SERVICE: 'caller', GREETER_URL: remote.url })
    await expect(greet()).rejects.toMatchObject({ code: 'dependency_unavailable' })
  })

  test('a need works at each step of a change of the secret, whichever side changes first', async () => {
    const [former, latter] = ['the secret that was there before', 'the secret that is there from now on']
    const steps = [former, `${former},${latter}`, `${latter},${former}`, latter]
    for (const [at, theirs] of steps.entries()) {
      const remote = await remoteGreeter('remote', { INTERNAL_SECRET: theirs })
      // During a rolling update, a process may be one step behind or ahead.
      for (const ours of steps.slice(Math.max(0, at - 1), at + 2)) {
        const { module, greet } = caller()
        const environment = { SERVICE: 'caller', GREETER_URL: remote.url, INTERNAL_SECRET: ours }
        await composed([greeter('local'), module], environment)
        expect(await greet(), `${ours} to ${theirs}`).toMatchObject({ by: 'remote' })
      }
    }
  })

  test('`wrapPort` wraps local ports only', async () => {
    const remote = await remoteGreeter('remote')
    const wrapPort = (port: { name: string }) => ({ greet: async () => `wrapped ${port.name}` })
    const local = caller()
    await composed([local.module, greeter('local')], {}, wrapPort)
    expect(await local.greet()).toBe('wrapped greeter')
    const split = caller()
    await composed([split.module, greeter('local')], { SERVICE: 'caller', GREETER_URL: remote.url }, wrapPort)
    expect(await split.greet()).toMatchObject({ by: 'remote' })
  })

  test('a need that is neither hosted nor has a URL stops the boot, and the message says what to set', async () => {
    const { module } = caller()
    await expect(composed([greeter('local'), module], { SERVICE: 'caller' })).rejects.toThrow(
      'caller needs greeter: set GREETER_URL or host greeter',
    )
  })

  test('a need that no module offers stops the boot', async () => {
    const { module } = caller()
    await expect(composed([module], { GREETER_URL: 'http://greeter.example' })).rejects.toThrow(
      'caller needs greeter, which no module offers',
    )
  })
})

test('the program ends with exit code 1 and one message that names every missing need', async () => {
  const { code, stderr } = await runScript('main.ts', [], { SERVICE: 'order' })
  expect(code).toBe(1)
  expect(stderr).toContain('order needs product: set PRODUCT_URL or host product')
  expect(stderr).toContain('order needs auth: set AUTH_URL or host auth')
  expect(stderr).not.toContain('    at ')
})

describe('modules', () => {
  /** Creates modules by name with the names that each needs. `started` lists them in the order of their starts. */
  function chain(needs: Record<string, string[]>) {
    const started: string[] = []
    const modules = Object.entries(needs).map(([name, needed]) =>
      defineModule({
        name,
        api: {},
        migrations: [],
        needs: Object.fromEntries(needed.map((other) => [other, definePort<object>(other, {})])),
        start() {
          started.push(name)
          return { routes: createRouter(), port: {} }
        },
      }),
    )
    return { modules, started }
  }

  test.each([
    [['counter', 'kitchen', 'store']],
    [['store', 'kitchen', 'counter']],
    [['kitchen', 'counter', 'store']],
  ])(
    'each module starts once, after the modules that it needs, in any order of the registry (%s)',
    async (order) => {
      const needs: Record<string, string[]> = { counter: ['kitchen', 'store'], kitchen: ['store'], store: [] }
      const { modules, started } = chain(Object.fromEntries(order.map((name) => [name, needs[name] ?? []])))
      await composed(modules)
      expect(started).toEqual(['store', 'kitchen', 'counter'])
    },
  )

  test('modules that need each other stop the boot', async () => {
    const { modules } = chain({ counter: ['kitchen'], kitchen: ['counter'] })
    await expect(composed(modules)).rejects.toThrow('counter needs itself')
  })

  test('a module that is not hosted serves only its part of the OpenAPI document', async () => {
    const { module } = caller()
    const split = await composed([greeter('local'), module], {
      SERVICE: 'caller',
      GREETER_URL: 'http://greeter.example',
    })
    await split.prepare()
    expect((await split.get('/greeting')).status).toBe(404)
    expect((await split.get('/internal/greeter/greet')).status).toBe(404)
    expect((await split.get('/openapi.json')).body).toMatchObject({ paths: { '/greeting': { get: {} } } })
  })

  test('the modules of the program start in any order of the registry', async () => {
    const { app } = await composed(registry.toReversed(), { JWT_PRIVATE_KEYS: keys })
    expect((await app.request('/healthz')).status).toBe(200)
  })
})

describe('readiness', () => {
  test('a process is ready after its preparations, and answers 503 to requests before that', async () => {
    const process = await composed([greeter('local')])
    expect(await process.get('/readyz')).toMatchObject({
      status: 503,
      body: { code: 'dependency_unavailable', missing: ['database of greeter', 'migrations of greeter'] },
    })
    expect(await process.get('/greeting')).toMatchObject({
      status: 503,
      body: { code: 'dependency_unavailable' },
    })
    expect((await process.get('/healthz')).status).toBe(200)
    await process.prepare()
    expect((await process.get('/readyz')).status).toBe(200)
    expect(await process.get('/greeting')).toEqual({ status: 200, body: 'Hello' })
  })

  test('a process is not ready if a migration throws, and the next boot runs the migration again', async () => {
    let fails = true
    const up = vi.fn(async () => {
      if (fails) throw new Error('disk full')
    })
    const process = await composed([greeter('local', [{ name: '001-first', up }])])
    await expect(process.prepare()).rejects.toThrow('disk full')
    expect(await process.get('/readyz')).toMatchObject({
      status: 503,
      body: { missing: ['migrations of greeter'] },
    })
    expect((await process.get('/greeting')).status).toBe(503)
    fails = false
    await process.prepare()
    expect(up).toHaveBeenCalledTimes(2)
    expect((await process.get('/readyz')).status).toBe(200)
  })

  test('a process is not ready before the migrations of every hosted module', async () => {
    const { module } = caller()
    const process = await composed([greeter('local'), { ...module, migrations: [{ name: '001', up: fail }] }])
    await expect(process.prepare()).rejects.toThrow()
    expect((await process.get('/readyz')).body).toMatchObject({ missing: ['migrations of caller'] })
  })

  test('a process that drains is not ready, and still answers requests', async () => {
    const process = await composed([greeter('local')])
    await process.prepare()
    process.drain()
    expect(await process.get('/readyz')).toMatchObject({ status: 503, body: { missing: ['draining'] } })
    expect((await process.get('/greeting')).status).toBe(200)
  })

  test('a process is ready even if the process of another module is not', async () => {
    const { module } = caller()
    const split = await composed([greeter('local'), module], {
      SERVICE: 'caller',
      GREETER_URL: 'http://127.0.0.1:9',
    })
    await split.prepare()
    expect((await split.get('/readyz')).status).toBe(200)
  })
})

describe('a database with migrations that this version does not know', () => {
  const known = [{ name: '001-first', up: async () => {} }]
  type MigrationNote = { _id: unknown; at?: Date; needs?: string | null }

  /** Boots two modules. The database of the second one has these records of migrations. */
  async function bootWith(...notes: MigrationNote[]) {
    const { module } = caller()
    const up = vi.fn(async () => {})
    const modules = [greeter('local', [{ name: '001-first', up }]), { ...module, migrations: known }]
    const process = await composed(modules)
    const own = await mongoose.createConnection(mongodbUri).asPromise()
    onTestFinished(() => own.close())
    const applied = own.useDb(`${process.database}_caller`).collection<{ _id: unknown }>('migrations')
    if (notes.length > 0) await applied.insertMany(notes)
    const failure = await process.prepare().then(
      () => undefined,
      (error: Error) => error,
    )
    return { failure, up, process, applied }
  }

  test('unknown migrations stop the boot before any database is changed, with one message that lists them', async () => {
    const { failure, up } = await bootWith(
      { _id: '777-later' },
      { _id: '888-much-later', needs: '777-later' },
    )
    expect(failure).toBeInstanceOf(ConfigError)
    const { faults } = failure as ConfigError
    expect(faults).toEqual([expect.stringMatching(/^MONGODB_DATABASE: \w+_caller has migrations/)])
    expect(faults[0]).toContain('777-later, 888-much-later')
    expect(faults[0]).toMatch(/Start the version that applied them, or a later one; or restore a backup/)
    expect(up).not.toHaveBeenCalled()
  })

  test('unknown migrations stop npm run audit', async () => {
    const { process } = await bootWith({ _id: '777-later' })
    await expect(process.connect(new AbortController().signal)).rejects.toThrow('777-later')
  })

  test('unknown migrations do not stop the boot if they need no newer version, or only a migration that this version knows', async () => {
    const { failure } = await bootWith(
      { _id: '777-later', needs: null },
      { _id: '888-contract', needs: '001-first' },
    )
    expect(failure).toBeUndefined()
  })

  test('unknown migrations of another program stop the boot with a message of at most twenty names', async () => {
    const notes = Array.from({ length: 1_000 }, (_, at) => ({
      _id: new mongoose.Types.ObjectId(),
      fileName: at,
    }))
    const { failure } = await bootWith(...notes)
    expect((failure as ConfigError).faults).toEqual([
      expect.stringMatching(/If another program owns this database, set MONGODB_DATABASE/),
    ])
    expect(failure?.message.match(/[0-9a-f]{24}/g)).toHaveLength(20)
  })

  test('the boot records what each migration needs', async () => {
    const { failure, applied } = await bootWith()
    expect(failure).toBeUndefined()
    expect(await applied.find().toArray()).toMatchObject([{ _id: '001-first', needs: null }])
  })
})

describe('a job', () => {
  /** A module with a job whose round ends only after the signal and `finishRound`. */
  function worker() {
    const log: string[] = []
    const gate = createGate()
    const job: Job = {
      name: 'work',
      intervalMs: 1,
      async round(signal) {
        log.push('begins')
        await once(signal, 'abort')
        log.push('is told to stop')
        await gate.pass()
        log.push('ends')
        return { done: 0, more: true }
      },
    }
    const module = defineModule({
      name: 'worker',
      api: {},
      migrations: [],
      needs: {},
      start: () => ({ routes: createRouter(), jobs: [job] }),
    })
    return { module, log, finishRound: gate.open }
  }

  test('a job starts when the process is ready, gets the signal when it drains, and ends before it closes', async () => {
    const { module, log, finishRound } = worker()
    const migration = createGate()
    const slow = { name: '001', up: () => migration.pass() }
    const process = await composed([module, greeter('local', [slow])])
    const ready = process.prepare()
    await vi.waitFor(async () =>
      expect(await process.get('/readyz')).toMatchObject({ body: { missing: ['migrations of greeter'] } }),
    )
    expect(log).toEqual([])
    migration.open()
    await ready
    await vi.waitFor(() => expect(log).toEqual(['begins']))

    process.drain()
    await vi.waitFor(() => expect(log).toEqual(['begins', 'is told to stop']))
    const closed = process.close().then(() => log.push('closed'))
    finishRound()
    await closed
    expect(log).toEqual(['begins', 'is told to stop', 'ends', 'closed'])
  })

  test('a job ends before a process closes without a drain', async () => {
    const { module, log, finishRound } = worker()
    const process = await composed([module])
    await process.prepare()
    await vi.waitFor(() => expect(log).toEqual(['begins']))
    const closed = process.close()
    await vi.waitFor(() => expect(log).toEqual(['begins', 'is told to stop']))
    finishRound()
    await closed
    expect(log.at(-1)).toBe('ends')
  })
})
