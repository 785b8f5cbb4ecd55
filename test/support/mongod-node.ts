import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { mongo } from 'mongoose'
import { freePort } from '#src/embedded/free-port.ts'

/** One mongod, at the same port and with the same data from one life to the next. */
export interface Node {
  host: string
  start(): Promise<void>
}

export interface OwnNode extends Node {
  /** Resolves once its process is gone. */
  kill(): Promise<void>
  /** Kills it, and starts it with other arguments. */
  restart(args: readonly string[]): Promise<void>
}

// Two cores carry all of it: what is usual here is slow elsewhere.
const patience = 60_000
const watchdogScript = fileURLToPath(new URL('../../src/embedded/watchdog.ts', import.meta.url))

/** @param args what it is started with beside its port and data: `--replSet`, for one */
export async function createNode(binary: string, dbpath: string, args: readonly string[]): Promise<OwnNode> {
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const settings = [
    ...['--dbpath', dbpath, '--port', String(port), '--bind_ip', '127.0.0.1'],
    ...['--logpath', `${dbpath}.log`, '--logappend', '--oplogSize', '64', '--wiredTigerCacheSizeGB', '0.25'],
    '--nounixsocket',
    ...['--setParameter', 'transactionLifetimeLimitSeconds=10'],
    ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
    // Where the watchdog has to end it, nobody is left that it could hand over to.
    ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
  ]
  await mkdir(dbpath)
  let own = args
  let running: { watchdog: ChildProcess; pid?: number; ended: Promise<void> } | undefined

  const start = async () => {
    // It ends mongod when this process is gone, however that ends.
    const watchdog = spawn(process.execPath, [watchdogScript, binary, ...settings, ...own], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    const ended = new Promise<void>((resolve) => watchdog.once('exit', () => resolve()))
    running = { watchdog, ended }
    const up = until(`${host} answers`, async () => (await pidOf(host)) ?? 0)
    const pid = await Promise.race([up, ended])
    if (pid === undefined) throw new Error(`mongod at ${host} has ended`)
    running = { watchdog, ended, ...(pid !== 0 && { pid }) }
  }
  const kill = async () => {
    if (!running) return
    const { watchdog, pid, ended } = running
    running = undefined
    if (pid === undefined) watchdog.stdin?.end()
    else if (watchdog.exitCode === null) process.kill(pid, 'SIGKILL')
    await ended
  }

  return {
    host,
    start,
    kill,
    async restart(others) {
      await kill()
      own = others
      await start()
    },
  }
}

const unauthorized = 13

/** Undefined where users have to sign in. */
async function pidOf(host: string): Promise<number | undefined> {
  try {
    return Number((await ask(host, { serverStatus: 1 })).pid)
  } catch (error) {
    if ((error as { code?: unknown }).code !== unauthorized) throw error
    return undefined
  }
}

/** One command to one node, whatever its state. */
export async function ask(host: string, command: mongo.Document, user = ''): Promise<mongo.Document> {
  const client = new mongo.MongoClient(`mongodb://${user}${host}/?directConnection=true`, {
    serverSelectionTimeoutMS: 2_000,
    connectTimeoutMS: 2_000,
    socketTimeoutMS: 10_000,
  })
  try {
    return await client.db('admin').command(command)
  } finally {
    await client.close()
  }
}

/** @throws what stood in the way last, if it takes longer than `patience` */
export async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const limit = Date.now() + patience
  for (let cause: unknown; ; ) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      cause = error
    }
    if (Date.now() > limit) throw new Error(`not within ${patience} ms: ${what}`, { cause })
    await sleep(100)
  }
}
