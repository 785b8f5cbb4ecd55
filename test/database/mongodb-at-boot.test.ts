import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { ConfigError } from '#kernel/config/config-error.ts'
import { createLogger } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { createMongo } from '#kernel/mongo/connection.ts'
import { findMongod } from '#src/embedded/mongod-binary.ts'
import { registry } from '#src/registry.ts'
import { openCollections } from '#test/support/collections.ts'
import { makeDatabaseFolder } from '#test/support/database-folder.ts'
import { createNode, type OwnNode, runCommand, waitUntil } from '#test/support/mongod-node.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { processEnvironment, runScript } from '#test/support/processes.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { databaseName, startComposition } from '#test/support/shop.ts'

// These tests start a process with servers that do not fit MONGODB_URI, and check its message to the operator.

let directory: string
let standalone: OwnNode
let fresh: OwnNode
let primary: OwnNode
let hidden: OwnNode
let arbiter: OwnNode

const modules = registry.map(({ name }) => name)
const prefix = databaseName()
const password = 'hunter2S3cret'
const root = `root:${password}@`
const asUser = (name: string) => `mongodb://${name}:${password}@${primary.host}/?replicaSet=guarded`

beforeAll(async () => {
  directory = await makeDatabaseFolder()
  const binary = await findMongod(process.env, (line) => console.log(line))
  const keyFile = join(directory, 'key')
  await writeFile(keyFile, randomBytes(60).toString('base64'), { mode: 0o600 })
  const node = (name: string, ...args: string[]) => createNode(binary, join(directory, name), args)
  const guarded = ['--replSet', 'guarded', '--keyFile', keyFile]
  standalone = await node('standalone')
  fresh = await node('fresh', '--replSet', 'fresh')
  primary = await node('primary', ...guarded)
  hidden = await node('hidden', ...guarded)
  arbiter = await node('arbiter', ...guarded)
  await Promise.all([standalone, fresh, primary, hidden, arbiter].map((each) => each.start()))
  await runCommand(primary.host, {
    replSetInitiate: {
      _id: 'guarded',
      settings: { electionTimeoutMillis: 1_000 },
      members: [
        { _id: 0, host: primary.host },
        { _id: 1, host: hidden.host, hidden: true, priority: 0 },
        { _id: 2, host: arbiter.host, arbiterOnly: true },
      ],
    },
  })
  await isPrimary(primary)
  await runCommand(primary.host, { createUser: 'root', pwd: password, roles: ['root'] })
  const roles = (role: string, ...modules: string[]) =>
    modules.map((module) => ({ role, db: `${prefix}_${module}` }))
  const users = {
    reader: roles('read', ...modules),
    partly: roles('readWrite', ...modules.filter((name) => name !== 'product')),
    writer: roles('readWrite', ...modules),
  }
  for (const [createUser, granted] of Object.entries(users)) {
    await runCommand(primary.host, { createUser, pwd: password, roles: granted }, root)
  }
  await waitUntil('the hidden member follows', async () =>
    (await runCommand(hidden.host, { hello: 1 })).secondary ? true : undefined,
  )
}, 120_000)

afterAll(async () => {
  await Promise.all([standalone, fresh, primary, hidden, arbiter].map((each) => each?.kill()))
  await rm(directory, { recursive: true, force: true })
})

const isPrimary = (node: OwnNode) =>
  waitUntil(`${node.host} is a primary`, async () =>
    (await runCommand(node.host, { hello: 1 })).isWritablePrimary ? true : undefined,
  )

/** Boots a whole program with a URI, and returns the error that ends the boot. */
async function refusal(uri: string, environment: Record<string, string> = {}): Promise<ConfigError> {
  const settings = { MONGODB_URI: uri, MONGODB_DATABASE: prefix, DEMO: 'true', ...environment }
  const { composition, close } = await startComposition({ environment: settings })
  try {
    const error = await composition.prepare(AbortSignal.timeout(25_000)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    const { message } = error as ConfigError
    expect(message).not.toContain(password)
    return error as ConfigError
  } finally {
    await close()
  }
}

describe('a MongoDB that MONGODB_URI does not fit', () => {
  it.each(['/', '/?replicaSet=rs', '/?directConnection=true'])(
    'the boot ends at a standalone server (%s), and the message says how to turn it into a replica set',
    async (options) => {
      const { faults } = await refusal(`mongodb://${standalone.host}${options}`)
      expect(faults).toHaveLength(1)
      for (const part of [
        `MONGODB_URI leads to a standalone server (${standalone.host})`,
        '--replSet rs',
        'transactionLifetimeLimitSeconds=10',
        'rs.initiate(',
        `mongodb://${standalone.host}/?replicaSet=rs`,
      ]) {
        expect(faults[0]).toContain(part)
      }
    },
  )

  it('the boot ends if MONGODB_URI names only an arbiter, with and without directConnection', async () => {
    for (const options of ['', '?directConnection=true']) {
      const { faults } = await refusal(`mongodb://${arbiter.host}/${options}`)
      expect(faults).toEqual([expect.stringMatching(/^MONGODB_URI leads to an arbiter alone/)])
      expect(faults[0]).toContain(`name ${primary.host} in MONGODB_URI, with replicaSet=guarded`)
    }
  })

  it('the boot ends if MONGODB_URI names only a hidden secondary', async () => {
    const { faults } = await refusal(`mongodb://${root}${hidden.host}/?directConnection=true`)
    expect(faults).toEqual([expect.stringMatching(/^MONGODB_URI leads to a secondary alone/)])
    expect(faults[0]).toContain(`name ${primary.host} in MONGODB_URI, with replicaSet=guarded`)
  })

  it('the boot ends if MONGODB_URI names another replica set', async () => {
    const { faults } = await refusal(`mongodb://${root}${primary.host}/?replicaSet=other`)
    expect(faults).toEqual([
      expect.stringMatching(/^MONGODB_URI asks for the replica set other .*set replicaSet=guarded/),
    ])
  })

  it.each([
    ['5.0', 'maxWireVersion', (value: Buffer) => value.writeInt32LE(13)],
    // Some servers speak a newer wire protocol than their version.
    ['5.0.5', 'version', (value: Buffer) => value.write('5.0.5', 4)],
  ])('the boot ends if MongoDB has version %s according to its field %s', async (version, field, write) => {
    const change = (answer: Buffer) => {
      const at = answer.indexOf(`${field}\0`)
      if (at >= 0) write(answer.subarray(at + field.length + 1))
      return answer
    }
    const proxy = await startMongodbProxy(mongodbUri, change)
    onTestFinished(proxy.disconnect)
    const { faults } = await refusal(proxy.uri)
    expect(faults).toEqual([
      expect.stringMatching(new RegExp(`^MONGODB_URI leads to MongoDB ${version} .*version 6 or later`)),
    ])
  })

  it('the boot ends if the account may only read, and the message names each database', async () => {
    const { faults } = await refusal(asUser('reader'))
    expect(faults).toHaveLength(modules.length)
    for (const [at, name] of modules.entries()) {
      expect(faults[at]).toContain(`grant it the roles readWrite and dbAdmin on ${prefix}_${name}`)
    }
  })

  it('the boot ends before any migration if the account may not write to one of the databases', async () => {
    const { faults } = await refusal(asUser('partly'))
    expect(faults).toEqual([expect.stringContaining(`dbAdmin on ${prefix}_product`)])
    const { collections, close } = await openCollections(`mongodb://${root}${primary.host}/`, prefix)
    expect(await (await collections('auth')).listCollections({ name: 'migrations' }).toArray()).toEqual([])
    await close()
  })

  it('the boot ends if MongoDB requires a user and MONGODB_URI names none', async () => {
    const { faults } = await refusal(`mongodb://${primary.host}/?replicaSet=guarded`)
    expect(faults).toEqual([expect.stringMatching(/^MONGODB_URI names no user/)])
  })

  it('the boot ends if MONGODB_URI names a missing file', async () => {
    const { faults } = await refusal(`mongodb://${primary.host}/?tls=true&tlsCAFile=/nowhere/ca.pem`)
    expect(faults).toEqual([
      expect.stringMatching(/^MONGODB_URI names a file that cannot be read.*\/nowhere\/ca.pem/),
    ])
  })
})

it('an account with the role readWrite is enough for the whole program', async () => {
  const settings = { MONGODB_URI: asUser('writer'), MONGODB_DATABASE: prefix }
  const { composition, close } = await startComposition({ environment: settings })
  await composition.prepare(AbortSignal.timeout(25_000))
  expect((await composition.app.request('/readyz')).status).toBe(200)
  await close()
})

describe('a MongoDB that is not set up yet', () => {
  const connect = async (uri: string, setupTimeoutMs: number) => {
    const settings = {
      uri,
      database: prefix,
      requestTimeoutMs: 5_000,
      logger: await quiet,
      metrics: createMetrics(),
    }
    const mongo = createMongo({ ...settings, setupTimeoutMs })
    onTestFinished(() => mongo.close())
    return mongo.connect(AbortSignal.timeout(25_000))
  }

  it('the boot ends after the setup timeout if MongoDB refuses the user or the password', async () => {
    const uri = `mongodb://nobody:${password}@${primary.host}/`
    const error = await connect(uri, 200).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as Error).message).toMatch(/MONGODB_URI: MongoDB refuses the user or the password/)
    expect((error as Error).message).not.toContain(password)
  })

  it('the boot ends after the setup timeout if MongoDB does not speak TLS', async () => {
    const error = await connect(`mongodb://${standalone.host}/?tls=true`, 200).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect(error.message).toMatch(/MONGODB_URI asks for TLS/)
  })

  it('the boot waits until the replica set is initiated, and ends after the setup timeout', async () => {
    const uri = `mongodb://${fresh.host}/`
    await expect(connect(uri, 200)).rejects.toThrow(/MONGODB_URI leads to a server .*rs\.initiate\(\)/)
    const connected = connect(uri, 25_000)
    await runCommand(fresh.host, {
      replSetInitiate: { _id: 'fresh', members: [{ _id: 0, host: fresh.host }] },
    })
    await connected
  })
})

it('the boot waits without a time limit for a replica set to have a primary', async () => {
  await primary.kill()
  const uri = `mongodb://${root}${primary.host},${hidden.host},${arbiter.host}/?replicaSet=guarded`
  const output = new PassThrough()
  const logger = await createLogger({ level: 'warn', human: false, service: 'test', output })
  const mongo = createMongo({
    uri,
    database: prefix,
    requestTimeoutMs: 5_000,
    logger,
    metrics: createMetrics(),
    setupTimeoutMs: 0,
  })
  onTestFinished(() => mongo.close())
  const connected = mongo.connect(AbortSignal.timeout(50_000))
  const [line] = await once(output, 'data')
  expect(JSON.parse(String(line).split('\n')[0] ?? '')).toMatchObject({
    msg: 'waiting for MongoDB',
    reason: expect.stringContaining(`${primary.host}: connect ECONNREFUSED`),
  })
  await primary.start()
  await connected
}, 60_000)

describe('a standalone server at the start', () => {
  it.each([
    ['the program', 'main.ts', [], 1],
    ['the split shape', 'dev/split.ts', [], 1],
    ['npm run admin', 'cli/admin.ts', ['list'], 2],
    ['npm run audit', 'cli/audit.ts', [], 2],
  ] as const)(
    '%s prints one message without a stack trace at a standalone server',
    async (_what, script, args, code) => {
      const settings = { ...processEnvironment(), MONGODB_URI: `mongodb://${standalone.host}/`, DEMO: 'true' }
      const ended = await runScript(script, args, { ...settings, DATA_DIR: directory })
      expect(ended.code).toBe(code)
      const output = ended.stdout + ended.stderr
      expect(output.match(/MONGODB_URI leads to a standalone server/g)).toHaveLength(1)
      expect(output).not.toMatch(/^ +at /m)
    },
  )
})

describe('a standalone server that replaces a replica set while a process runs', () => {
  const member = ['--replSet', 'rs']

  /** Starts a process with the replica set, and returns its answers. */
  async function startWith(options: string) {
    const environment = { MONGODB_URI: `mongodb://${standalone.host}/${options}`, REQUEST_TIMEOUT: '4s' }
    const { composition, close } = await startComposition({ environment })
    onTestFinished(close)
    await composition.prepare(AbortSignal.timeout(25_000))
    return async (path: string) => {
      const answer = await composition.app.request(path)
      return { status: answer.status, body: await answer.json() }
    }
  }

  it('a process is not ready while a standalone server replaces its replica set, and /readyz names the server, with replicaSet and with directConnection', async () => {
    await standalone.restart(member)
    const config = { _id: 'rs', members: [{ _id: 0, host: standalone.host }] }
    await runCommand(standalone.host, { replSetInitiate: config })
    await isPrimary(standalone)
    const processes = await Promise.all(['?replicaSet=rs', '?directConnection=true'].map(startWith))
    for (const get of processes) {
      expect(await get('/readyz')).toEqual({ status: 200, body: { status: 'ready' } })
    }

    await standalone.restart([])
    for (const get of processes) {
      await vi.waitFor(
        async () =>
          expect(await get('/readyz')).toMatchObject({
            status: 503,
            body: {
              missing: modules.map((name) => `database of ${name}`),
              detail: expect.stringContaining(`a standalone server (${standalone.host})`),
            },
          }),
        { timeout: 15_000, interval: 50 },
      )
      expect(await get('/products')).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
    }

    await standalone.restart(member)
    for (const get of processes) {
      await vi.waitFor(
        async () => expect(await get('/readyz')).toEqual({ status: 200, body: { status: 'ready' } }),
        { timeout: 30_000, interval: 50 },
      )
      expect((await get('/products')).status).toBe(200)
    }
  }, 120_000)
})
