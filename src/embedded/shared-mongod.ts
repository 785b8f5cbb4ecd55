import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DataFiles, refuseFullDisk } from './data-files.ts'
import { findMongod } from './mongod-binary.ts'
import { MongodFailure } from './mongod-failure.ts'
import { findRunningOwner, readOwner, removeOwner, writeOwner } from './mongod-owner.ts'
import { killedExitCode, type MongodProcess, startMongod, startTimeoutMs } from './mongod-process.ts'
import { isAlive } from './process-signals.ts'

/** The mongod that this process uses. */
export interface RunningMongod {
  uri: string
  /** The id of the process that started it. */
  owner: number
  /** Undefined if another process started it. */
  started?: MongodProcess
}

const restartTimeoutMs = 15_000
const ownerCheckIntervalMs = 500

/**
 * Attaches to the mongod of a data directory, or starts one. Of several processes that start one at once, the process
 * whose mongod gets the lock of the directory becomes the owner, and the others attach to its mongod.
 * @param requiredPort the port at which other processes look for mongod
 * @throws MongodFailure
 */
export async function attachOrStart(
  files: DataFiles,
  log: (line: string) => void,
  signal: AbortSignal,
  requiredPort?: number,
): Promise<RunningMongod> {
  const deadline = performance.now() + (requiredPort === undefined ? startTimeoutMs : restartTimeoutMs)
  let binary: string | undefined
  for (;;) {
    const running = await findRunningOwner(files)
    if (running) return { uri: running.uri, owner: running.owner }
    await refuseFullDisk(files)
    binary ??= await findMongod(process.env, log)
    const started = await startMongod(binary, files, signal, requiredPort)
    if (started !== 'in use') {
      await writeOwner(files, { uri: started.uri, owner: process.pid, mongod: started.pid })
      return { uri: started.uri, owner: process.pid, started }
    }
    if (performance.now() > deadline)
      throw new MongodFailure(
        `${files.database}${requiredPort === undefined ? '' : ` or port ${requiredPort}`} is in use by a program that does not answer as the MongoDB of this directory; see ${files.log}`,
        { isOfDataDir: true },
      )
    await sleep(100, undefined, { signal })
  }
}

/**
 * Waits until this process has to start mongod again: until its own mongod has ended, or until the owner of another
 * process's mongod has ended. Also resolves when the signal is aborted.
 * @returns how mongod ended, in words for the log
 */
export async function waitForEnd(
  { started }: RunningMongod,
  files: DataFiles,
  signal: AbortSignal,
): Promise<string> {
  // An aborted signal emits no further event.
  if (signal.aborted) return ''
  if (started) {
    const code = await Promise.race([started.ended, once(signal, 'abort')])
    return code === killedExitCode ? 'killed by a signal' : `exit code ${code}`
  }
  for (;;) {
    await pause(ownerCheckIntervalMs, signal)
    if (signal.aborted) return ''
    const owner = await readOwner(files)
    if (owner === undefined) return 'with the process that started it'
    // An owner that is alive restarts its mongod itself.
    if (!isAlive(owner.owner)) return `with process ${owner.owner}, which started it`
  }
}

/** Stops mongod if this process started it. */
export async function stopIfStarted({ started }: RunningMongod, files: DataFiles): Promise<void> {
  if (started === undefined) return
  await removeOwner(files, started.pid)
  await started.stop()
}

/** Waits. The timer does not keep the process alive, and the wait ends early when the signal is aborted. */
export const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined)
