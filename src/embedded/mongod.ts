import { access } from 'node:fs/promises'
import { type DataFiles, dataFilesOf, makeDatabaseFolder } from './data-files.ts'
import { MongodFailure } from './mongod-failure.ts'
import { attachOrStart, pause, type RunningMongod, stopIfStarted, waitForEnd } from './shared-mongod.ts'

export { MongodFailure }

/** A running local MongoDB: a replica set of one node, because transactions need a replica set. */
export interface EmbeddedMongo {
  /** Stays the same until `close`. */
  uri: string
  /** Whether this process started mongod. `close` stops mongod in this case only. */
  readonly owned: boolean
  /** The id of the process that started mongod. */
  readonly owner: number
  /** Resolves with a message for the operator once mongod has ended and could not be started again. */
  lost: Promise<string>
  close(): Promise<void>
}

const maxRestartsPerMinute = 5
const maxFailuresInARow = 3
const retryDelayMs = 1_000

/**
 * Opens the MongoDB of a data directory. Processes share it: the first process starts mongod and is its owner, and the
 * others attach to it. A mongod that ends unexpectedly is started again on its port, by its owner or, if the owner has
 * ended too, by one of the attached processes.
 * @param options.dataDir a folder that exists
 * @throws MongodFailure if there is no mongod to start, it does not start within a minute, or the disk is full
 */
export async function openEmbeddedMongo(options: {
  dataDir: string
  log: (line: string) => void
}): Promise<EmbeddedMongo> {
  const { log } = options
  const files = dataFilesOf(options.dataDir)
  await makeDatabaseFolder(files)
  const closing = new AbortController()
  const { signal } = closing
  let running = await attachOrStart(files, log, signal)
  const { uri } = running
  const { promise: lost, resolve: reportLost } = Promise.withResolvers<string>()

  const keepRunning = async (): Promise<void> => {
    let restarts: number[] = []
    for (;;) {
      const end = await waitForEnd(running, files, signal)
      if (signal.aborted) return
      log(`The embedded MongoDB has ended (${end}): starting it again; its log is ${files.log}`)
      const now = performance.now()
      restarts = [...restarts.filter((at) => now - at < 60_000), now]
      if (restarts.length > maxRestartsPerMinute)
        throw new Error(`it has ended ${restarts.length} times within a minute`)
      running = await restart(uri, files, log, signal)
      if (running.uri !== uri)
        throw new Error(
          `another process has started it at ${new URL(running.uri).host}: start this process again`,
        )
      log('The embedded MongoDB runs again')
    }
  }
  const supervised = keepRunning().catch((error: Error) => {
    if (signal.aborted) return
    reportLost(`The embedded MongoDB could not be started again: ${error.message}; see ${files.log}`)
  })

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
      await supervised
      await stopIfStarted(running, files)
    },
  }
}

/**
 * Starts mongod again, or attaches to the mongod that another process has started.
 * @throws Error that says why this was not possible
 */
async function restart(
  uri: string,
  files: DataFiles,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<RunningMongod> {
  for (let failures = 1; ; failures++) {
    try {
      // If the folder was removed, mongod would start with an empty database.
      await access(files.database)
      return await attachOrStart(files, log, signal, Number(new URL(uri).port))
    } catch (error) {
      if (signal.aborted || failures >= maxFailuresInARow) throw error
      await pause(retryDelayMs, signal)
    }
  }
}
