import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { mongo } from 'mongoose'
import { z } from 'zod'
import { freePort } from './free-port.ts'
import { findMongod } from './mongod-binary.ts'
import { causeOf, complaintsIn, isLockedByAnother, lastOf, MongodFailure } from './mongod-failure.ts'

export { MongodFailure }

/** A running local MongoDB: a one-node replica set, since transactions need one. */
export interface EmbeddedMongo {
  /** Stays the same for as long as it is open. */
  uri: string
  /** Whether this process started it. Closing it stops it then, and leaves another's alone. */
  readonly owned: boolean
  /** The id of the process that started it. */
  readonly owner: number
  /** Resolves with what to tell the user, once it has ended for good and could not be started again. */
  lost: Promise<string>
  close(): Promise<void>
}

const replicaSet = 'trivet'
const startWithin = 60_000
const startAgainWithin = 15_000
const lookAtOwnerEveryMs = 500
const mostRestartsInAMinute = 5
const mostFailuresInARow = 3
const restartAfterFailureMs = 1_000
// mongod ends at some write in its first seconds where there is less.
const leastSpaceBytes = 32 * 1_048_576

/** What the owner leaves in the data directory for others to find it by. */
const ownerFile = z.object({ uri: z.string(), owner: z.int(), mongod: z.int() })
type Owner = z.infer<typeof ownerFile>

/**
 * The MongoDB of a data directory: the one that runs there already, or a new one. Of several that start at once, the
 * one whose mongod gets hold of the directory's own lock is the owner; the others attach to it. A mongod that ends
 * unexpectedly is started again, on its port: by its owner or, if that has ended too, by one of those that are attached.
 * @param options.dataDir a folder that exists
 * @throws MongodFailure if there is no mongod to start, it does not come up in a minute, or its disk is full
 */
export async function openEmbeddedMongo(options: {
  dataDir: string
  log: (line: string) => void
}): Promise<EmbeddedMongo> {
  const { log } = options
  const directory = resolve(options.dataDir)
  const database = databaseOf(directory)
  await mkdir(database).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' || !(await stat(database)).isDirectory()) throw error
  })
  const closing = new AbortController()
  const { signal } = closing
  let running = await attachOrStart(directory, log, signal)
  const { uri } = running
  const { promise: lost, resolve: lose } = Promise.withResolvers<string>()

  /** @returns why it cannot be started again, or undefined once it runs again */
  const startAgain = async (): Promise<string | undefined> => {
    for (let failures = 1; ; failures++) {
      try {
        // A folder that was removed is not to be filled with an empty database.
        await access(database)
        running = await attachOrStart(directory, log, signal, Number(new URL(uri).port))
        break
      } catch (error) {
        if (signal.aborted) return undefined
        if (failures >= mostFailuresInARow) return (error as Error).message
        await pause(restartAfterFailureMs, signal)
      }
    }
    if (running.uri === uri) return undefined
    return `another process has started it at ${new URL(running.uri).host}: start this process again`
  }

  const keepRunning = async (): Promise<void> => {
    let restarts: number[] = []
    for (;;) {
      const end = await endOf(running, directory, signal)
      if (signal.aborted) return
      log(`The embedded MongoDB has ended (${end}): starting it again; its log is ${logOf(directory)}`)
      const now = performance.now()
      restarts = [...restarts.filter((at) => now - at < 60_000), now]
      const failure =
        restarts.length > mostRestartsInAMinute
          ? `it has ended ${restarts.length} times within a minute`
          : await startAgain()
      if (signal.aborted) return
      if (failure !== undefined) {
        return lose(`The embedded MongoDB could not be started again: ${failure}; see ${logOf(directory)}`)
      }
      log('The embedded MongoDB runs again')
    }
  }
  const kept = keepRunning().catch((error: Error) =>
    lose(`The embedded MongoDB could not be started again: ${error.message}; see ${logOf(directory)}`),
  )

  return {
    uri,
    get owned() {
      return running.started !== undefined
    },
    get owner() {
      return running.owner
    },
    lost,
    async close() {
      closing.abort()
      await kept
      await leave(directory, running)
    },
  }
}

/** A MongoDB that runs, and how it was started if that was here. */
interface Running {
  uri: string
  /** The id of the process that started it. */
  owner: number
  started?: Started
}

/** @param port where it has to be, since there are processes that look for it there */
async function attachOrStart(
  directory: string,
  log: (line: string) => void,
  signal: AbortSignal,
  port?: number,
): Promise<Running> {
  const file = ownerFileOf(directory)
  const patience = performance.now() + (port === undefined ? startWithin : startAgainWithin)
  let binary: string | undefined
  for (;;) {
    const running = await findRunning(file)
    if (running) return running
    await refuseFullDisk(directory)
    binary ??= await findMongod(process.env, log)
    const started = await start(binary, directory, signal, port)
    if (started !== 'in use') {
      const owner: Owner = { uri: started.uri, owner: process.pid, mongod: started.pid }
      await writeFile(`${file}.new`, JSON.stringify(owner), { mode: 0o600 })
      await rename(`${file}.new`, file)
      await writeFile(portFileOf(directory), String(started.port))
      return { uri: started.uri, owner: process.pid, started }
    }
    if (performance.now() > patience)
      throw new MongodFailure(
        `${databaseOf(directory)}${port === undefined ? '' : ` or port ${port}`} is in use by a program that cannot be reached, or is no use; see ${logOf(directory)}`,
        { isOfDataDir: true },
      )
    await sleep(100, undefined, { signal })
  }
}

/** Resolves with how it ended, as soon as there is something to start again; or when the signal says so. */
async function endOf({ started }: Running, directory: string, signal: AbortSignal): Promise<string> {
  if (started) {
    const code = await Promise.race([started.ended, once(signal, 'abort')])
    // The watchdog alone may have ended.
    if (!signal.aborted) await endProcess(started.pid)
    return code === endedBySignal ? 'killed by a signal' : `exit code ${code}`
  }
  for (;;) {
    await pause(lookAtOwnerEveryMs, signal)
    if (signal.aborted) return ''
    const owner = await readOwner(ownerFileOf(directory))
    if (owner === undefined) return 'with the process that had started it'
    // Its owner starts it again, for as long as there is one.
    if (!isAlive(owner.owner)) return `with process ${owner.owner}, which had started it`
  }
}

/** Stops what was started here. */
async function leave(directory: string, { started }: Running): Promise<void> {
  if (started === undefined) return
  const file = ownerFileOf(directory)
  // After a crash of this mongod, it may be the next owner's by now.
  if ((await readOwner(file))?.mongod === started.pid) await rm(file, { force: true })
  await started.stop()
}

/** Does not keep the process running, and ends with the signal. */
const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined)

/** The URI of a MongoDB whose owner lives. One that outlived its owner is ended, and not attached to. */
async function findRunning(file: string): Promise<Running | undefined> {
  const owner = await readOwner(file)
  if (owner === undefined) return undefined
  const pid = await serverPid(owner.uri)
  if (pid !== owner.mongod) return undefined
  if (isAlive(owner.owner)) return { uri: owner.uri, owner: owner.owner }
  await endProcess(owner.mongod)
  return undefined
}

/** A damaged file says nothing; one that this process may not read is another user's, as its mongod is. */
async function readOwner(file: string): Promise<Owner | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (['EACCES', 'EPERM', 'EISDIR'].includes(error.code ?? '')) throw error
    return ''
  })
  try {
    return ownerFile.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

async function refuseFullDisk(directory: string): Promise<void> {
  const available = await freeBytes(directory)
  if (available >= leastSpaceBytes) return
  const [free, least] = [available, leastSpaceBytes].map((bytes) => Math.floor(bytes / 1_048_576))
  throw new MongodFailure(`only ${free} MiB are free on its disk, and MongoDB needs ${least} MiB`, {
    isOfDataDir: true,
  })
}

async function serverPid(uri: string): Promise<number | undefined> {
  const client = new mongo.MongoClient(uri, { serverSelectionTimeoutMS: 1_000, connectTimeoutMS: 1_000 })
  try {
    const status = await client.db('admin').command({ serverStatus: 1, maxTimeMS: 2_000 })
    return Number(status.pid)
  } catch {
    return undefined
  } finally {
    await client.close()
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function endProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  // The wait has a limit, since a dead process stays in the list where no parent collects it, as in a container without an init.
  for (let looks = 0; looks < 40 && isAlive(pid); looks++) await sleep(50)
}

interface Started {
  uri: string
  port: number
  pid: number
  /** Resolves with its exit code. */
  ended: Promise<number>
  stop(): Promise<void>
}

const longestPrinted = 65_536
// The exit code of the watchdog for a mongod that a signal has ended.
const endedBySignal = 128

const databaseOf = (directory: string): string => join(directory, 'mongodb')
const ownerFileOf = (directory: string): string => join(directory, 'mongod.json')
const logOf = (directory: string): string => join(directory, 'mongod.log')
const portFileOf = (directory: string): string => join(directory, 'mongod.port')

async function start(
  binary: string,
  directory: string,
  signal: AbortSignal,
  onPort?: number,
): Promise<Started | 'in use'> {
  // The port of last time, if it is free: processes that were attached then find it again.
  const lastPort = await readFile(portFileOf(directory), 'utf8').catch(() => '')
  const port = await freePort(onPort ?? (Number(lastPort) || 0))
  // The mongod before it may be on its way out.
  if (onPort !== undefined && port !== onPort) return 'in use'
  const database = databaseOf(directory)
  const logFile = logOf(directory)
  const logBegin = await stat(logFile).then(
    ({ size }) => size,
    () => 0,
  )
  const watchdog = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('watchdog.ts', import.meta.url)),
      binary,
      ...['--dbpath', database, '--port', String(port), '--bind_ip', '127.0.0.1', '--replSet', replicaSet],
      ...['--logpath', logFile, '--logappend', '--oplogSize', '128', '--wiredTigerCacheSizeGB', '0.5'],
      // A linearizable read on a single server waits for the next round of the journal, which comes every 100 ms by default.
      ...['--journalCommitInterval', '10'],
      // Its socket file in /tmp would outlive a mongod that is killed.
      ...(process.platform === 'win32' ? [] : ['--nounixsocket']),
      // See "a process that is killed inside a transaction" in the README.
      ...['--setParameter', 'transactionLifetimeLimitSeconds=10'],
      ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
      // One node has nobody to hand over to: without this it waits for that when it is told to end.
      ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
    ],
    // A group of its own: Ctrl-C in a terminal is for the parent, which ends mongod when it is done with it.
    { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  )
  // Before it has opened its log, mongod prints its complaints.
  let printed = ''
  for (const stream of [watchdog.stdout, watchdog.stderr])
    stream?.on('data', (chunk: Buffer) => {
      printed = (printed + chunk.toString()).slice(-longestPrinted)
    })
  const ended = new Promise<number>((done) => {
    watchdog.once('exit', (code) => done(code ?? 1))
    watchdog.once('error', (error) => {
      printed += error.message
      done(1)
    })
  })
  const printedAll = new Promise((done) => watchdog.once('close', done))
  const failureBy = async (event: string): Promise<MongodFailure> => {
    await Promise.race([printedAll, sleep(200)])
    const complaints = await complaintsIn(logFile, logBegin, printed)
    // With a full disk there is no room in the log either.
    const isFull = (await freeBytes(directory)) < leastSpaceBytes
    const cause = isFull
      ? 'no space is left on the disk'
      : (causeOf(`${complaints}${printed}`) ?? lastOf(complaints))
    return new MongodFailure(`${cause ? `${cause}; ` : ''}mongod ${event}; see ${logFile}`, {
      isOfDataDir: cause !== undefined,
    })
  }
  const stop = async () => {
    watchdog.ref()
    watchdog.stdin?.end()
    await ended
  }

  const uri = `mongodb://127.0.0.1:${port}/?replicaSet=${replicaSet}`
  const givingUp = new AbortController()
  const up = initiate(port, AbortSignal.any([signal, givingUp.signal, AbortSignal.timeout(startWithin)]))
  const outcome = await Promise.race([up, ended]).catch(async () => {
    await stop()
    throw await failureBy(`did not come up in ${startWithin / 1_000} s`)
  })
  if (typeof outcome === 'object') {
    releaseEventLoop(watchdog)
    return { uri, port, pid: outcome.pid, ended, stop }
  }
  // Without this it would go on knocking at a port that may soon be another mongod's.
  givingUp.abort()
  up.catch(() => undefined)
  // The exit code for a folder that cannot be used; another one's lock is one cause of several.
  if (outcome === 100 && isLockedByAnother(await complaintsIn(logFile, logBegin, printed))) return 'in use'
  // AddressAlreadyInUse: somebody took the port between the look and the start.
  if (outcome === 48) return start(binary, directory, signal, onPort)
  const end = outcome === endedBySignal ? 'was killed by a signal' : `ended with exit code ${outcome}`
  throw await failureBy(`${end} while starting`)
}

/** The child does not keep its parent running: a parent that forgets to close ends all the same, and mongod with it. */
function releaseEventLoop(child: ChildProcess): void {
  child.unref()
  for (const stream of [child.stdin, child.stdout, child.stderr])
    (stream as { unref?(): void } | null)?.unref?.()
}

/**
 * Makes it the primary of its replica set, under the port that it has this time. Every attempt starts over, since mongod
 * refuses connections until it is up, and then, while it looks for itself at the port that it had last time, denies
 * that it has a configuration, refuses a new one and hangs up.
 * @throws Error with what went wrong last, once the signal says that it is over
 */
async function initiate(port: number, signal: AbortSignal): Promise<{ pid: number }> {
  const host = `127.0.0.1:${port}`
  for (;;) {
    // A client whose first attempt fails stays closed: each attempt gets a new one.
    const client = new mongo.MongoClient(`mongodb://${host}/?directConnection=true`, {
      serverSelectionTimeoutMS: 500,
      connectTimeoutMS: 500,
      // A mongod that is frozen keeps its connections and answers nothing.
      socketTimeoutMS: 5_000,
    })
    try {
      return await becomePrimary(client.db('admin'), host, signal)
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(50)
    } finally {
      await client.close()
    }
  }
}

async function becomePrimary(admin: mongo.Db, host: string, signal: AbortSignal): Promise<{ pid: number }> {
  const config = { _id: replicaSet, members: [{ _id: 0, host }] }
  const current = await admin.command({ replSetGetConfig: 1 }).catch(notYetInitialized)
  if (!current) await admin.command({ replSetInitiate: config })
  else if (current.config.members[0]?.host !== host) {
    const version = Number(current.config.version) + 1
    await admin.command({ replSetReconfig: { ...current.config, ...config, version }, force: true })
  }
  while (!(await admin.command({ hello: 1 })).isWritablePrimary) {
    signal.throwIfAborted()
    await sleep(20)
  }
  const { pid } = await admin.command({ serverStatus: 1 })
  return { pid: Number(pid) }
}

function notYetInitialized(error: unknown): undefined {
  if ((error as { codeName?: string }).codeName !== 'NotYetInitialized') throw error
}
