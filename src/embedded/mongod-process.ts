import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type DataFiles, isDiskFull } from './data-files.ts'
import { freePort } from './free-port.ts'
import { causeOf, errorLinesIn, isLockedByAnother, lastOf, MongodFailure } from './mongod-failure.ts'
import { killProcess } from './process-signals.ts'
import { replicaSetArguments, replicaSetUri, startReplicaSet } from './replica-set.ts'

/** A mongod that this process started. */
export interface MongodProcess {
  uri: string
  pid: number
  /**
   * Resolves once mongod and its watchdog have ended, with the exit code of the watchdog: the exit code of mongod, or
   * `killedExitCode`.
   */
  ended: Promise<number>
  stop(): Promise<void>
}

export const startTimeoutMs = 60_000

/** The exit code of the watchdog for a mongod that a signal has killed. */
export const killedExitCode = 128

const maxPrintedCharacters = 65_536
// The exit codes of mongod for a data directory that it cannot use, and for a port that is in use.
const unusableDirectoryExitCode = 100
const portInUseExitCode = 48

const argumentsOf = (files: DataFiles, port: number): string[] => [
  ...['--dbpath', files.database, '--port', String(port), '--bind_ip', '127.0.0.1', ...replicaSetArguments],
  ...['--logpath', files.log, '--logappend', '--oplogSize', '128', '--wiredTigerCacheSizeGB', '0.5'],
  // On a single server, a linearizable read waits until mongod writes its journal. By default that is every 100 ms.
  ...['--journalCommitInterval', '10'],
  // Without this option, a killed mongod leaves its socket file in /tmp.
  ...(process.platform === 'win32' ? [] : ['--nounixsocket']),
  // The time for which the locks of a killed process last (docs/settings.md). The default is 60 s.
  ...['--setParameter', 'transactionLifetimeLimitSeconds=10'],
  ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
  // A shutdown waits for another node to take over by default. A replica set of one node has no other node.
  ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
]

/**
 * Starts mongod as a replica set of one node, under a watchdog that stops it when this process ends.
 * @param requiredPort the only port that is acceptable, because other processes look for mongod there
 * @returns `in use` if another mongod has the data directory, or another program has the required port
 * @throws MongodFailure
 */
export async function startMongod(
  binary: string,
  files: DataFiles,
  signal: AbortSignal,
  requiredPort?: number,
): Promise<MongodProcess | 'in use'> {
  const port = await freePort(requiredPort ?? (await lastPort(files)))
  // Another program uses the required port. It may be the former mongod, which has not ended yet.
  if (requiredPort !== undefined && port !== requiredPort) return 'in use'
  const logStart = await sizeOf(files.log)
  const watchdog = startWatchdog(binary, argumentsOf(files, port))
  const { ended, stop } = watchdog
  const errorLines = () => errorLinesIn(files.log, logStart, watchdog.printed())
  const failure = async (event: string): Promise<MongodFailure> => {
    await Promise.race([watchdog.printedAll, sleep(200)])
    const logged = await errorLines()
    // On a full disk, mongod cannot write to its log either.
    const cause = (await isDiskFull(files))
      ? 'no space is left on the disk'
      : (causeOf(`${logged}${watchdog.printed()}`) ?? lastOf(logged))
    return new MongodFailure(`${cause ? `${cause}; ` : ''}mongod ${event}; see ${files.log}`, {
      isOfDataDir: cause !== undefined,
    })
  }

  const stopTrying = new AbortController()
  const started = startReplicaSet(
    port,
    AbortSignal.any([signal, stopTrying.signal, AbortSignal.timeout(startTimeoutMs)]),
  )
  const outcome = await Promise.race([started, ended]).catch(async () => {
    await stop()
    throw await failure(`did not start within ${startTimeoutMs / 1_000} s`)
  })
  if (typeof outcome === 'object') {
    // This comes before the write, because this process must still end by itself if the write fails.
    watchdog.releaseEventLoop()
    await writeFile(files.port, String(port))
    return { uri: replicaSetUri(port), pid: outcome.pid, ended, stop }
  }
  // The attempts must end, because another mongod may soon have this port.
  stopTrying.abort()
  started.catch(() => undefined)
  if (outcome === unusableDirectoryExitCode && isLockedByAnother(await errorLines())) return 'in use'
  // Another program took the port after it was found free.
  if (outcome === portInUseExitCode) return startMongod(binary, files, signal, requiredPort)
  const end = outcome === killedExitCode ? 'was killed by a signal' : `ended with exit code ${outcome}`
  throw await failure(`${end} while it started`)
}

/** mongod gets its last port again, so that processes that were attached to the former mongod find the new one. */
const lastPort = async (files: DataFiles): Promise<number> =>
  Number(await readFile(files.port, 'utf8').catch(() => '')) || 0

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

function startWatchdog(binary: string, args: readonly string[]) {
  const watchdog = spawn(
    process.execPath,
    [fileURLToPath(new URL('watchdog.ts', import.meta.url)), binary, ...args],
    // The child gets a process group of its own, so that Ctrl-C signals only this process, which stops mongod at its end.
    { stdio: ['pipe', 'pipe', 'pipe', 'ipc'], detached: true },
  )
  // mongod prints its errors until it has opened its log.
  let printed = ''
  for (const stream of [watchdog.stdout, watchdog.stderr])
    stream?.on('data', (chunk: Buffer) => {
      printed = (printed + chunk.toString()).slice(-maxPrintedCharacters)
    })
  let mongod: number | undefined
  watchdog.once('message', (pid) => {
    mongod = Number(pid)
    watchdog.disconnect()
  })
  const ended = new Promise<number>((resolve, reject) => {
    watchdog.once('exit', (code) => {
      // The watchdog may have ended without its mongod.
      const killed = mongod === undefined ? Promise.resolve() : killProcess(mongod)
      killed.then(() => resolve(code ?? 1), reject)
    })
    watchdog.once('error', (error) => {
      printed += error.message
      resolve(1)
    })
  })
  return {
    ended,
    printed: () => printed,
    printedAll: new Promise((resolve) => watchdog.once('close', resolve)),
    async stop() {
      watchdog.ref()
      watchdog.stdin?.end()
      await ended
    },
    releaseEventLoop: () => releaseEventLoop(watchdog),
  }
}

/** Lets this process end while the child runs, for example if mongod is never stopped. */
function releaseEventLoop(child: ChildProcess): void {
  child.unref()
  for (const stream of [child.stdin, child.stdout, child.stderr])
    (stream as { unref?(): void } | null)?.unref?.()
}
