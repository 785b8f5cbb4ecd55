import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { mongo } from 'mongoose'
import { freePort } from '#src/embedded/free-port.ts'

/** A mongod that keeps its port and its data when it restarts. */
export interface Node {
  host: string
  start(): Promise<void>
}

export interface OwnNode extends Node {
  /** Resolves when its process has ended. */
  kill(): Promise<void>
  /** Stops its process with SIGSTOP: its sockets stay open. */
  freeze(): void
  thaw(): void
  /** Kills it and starts it with other arguments. */
  restart(args: readonly string[]): Promise<void>
}

// A loaded machine with two cores may need this long.
const waitTimeoutMs = 60_000
const watchdogScript = fileURLToPath(new URL('../../src/embedded/watchdog.ts', import.meta.url))

/** @param args further arguments, such as `--replSet` */
export async function createNode(binary: string, dbpath: string, args: readonly string[]): Promise<OwnNode> {
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const settings = [
    ...['--dbpath', dbpath, '--port', String(port), '--bind_ip', '127.0.0.1'],
    ...['--logpath', `${dbpath}.log`, '--logappend', '--oplogSize', '64', '--wiredTigerCacheSizeGB', '0.25'],
    '--nounixsocket',
    ...['--setParameter', 'transactionLifetimeLimitSeconds=10'],
    ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
    // At its end a primary need not wait for another node to take over, because the watchdog ends all nodes.
    ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
  ]
  await mkdir(dbpath)
  let own = args
  let running: { watchdog: ChildProcess; pid?: number; ended: Promise<void> } | undefined

  const start = async () => {
    // The watchdog ends mongod when this process ends, even after a crash.
    const watchdog = spawn(process.execPath, [watchdogScript, binary, ...settings, ...own], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    const ended = new Promise<void>((resolve) => watchdog.once('exit', () => resolve()))
    running = { watchdog, ended }
    const up = waitUntil(`${host} answers`, async () => (await pidOf(host)) ?? 0)
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

  const signal = (name: 'SIGSTOP' | 'SIGCONT') => {
    if (running?.pid === undefined) throw new Error(`${host} does not run, or its process id is unknown`)
    process.kill(running.pid, name)
  }

  return {
    host,
    start,
    kill,
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    async restart(others) {
      await kill()
      own = others
      await start()
    },
  }
}

const unauthorized = 13

/** Returns undefined if the node requires authentication. */
async function pidOf(host: string): Promise<number | undefined> {
  try {
    return Number((await runCommand(host, { serverStatus: 1 })).pid)
  } catch (error) {
    if ((error as { code?: unknown }).code !== unauthorized) throw error
    return undefined
  }
}

/** Sends one command to one node, whatever state it is in. */
export async function runCommand(host: string, command: mongo.Document, user = ''): Promise<mongo.Document> {
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

/**
 * Polls until `check` returns a value.
 * @throws Error with the last failure as its cause, after `waitTimeoutMs`
 */
export async function waitUntil<T>(what: string, check: () => Promise<T | undefined>): Promise<T> {
  const limit = Date.now() + waitTimeoutMs
  for (let cause: unknown; ; ) {
    try {
      const found = await check()
      if (found !== undefined) return found
    } catch (error) {
      cause = error
    }
    if (Date.now() > limit) throw new Error(`not within ${waitTimeoutMs} ms: ${what}`, { cause })
    await sleep(100)
  }
}
