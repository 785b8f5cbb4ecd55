import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Logger } from '#kernel/logger.ts'

/** A PID file in DATA_DIR, one for each port. With it, another start can report that Trivet itself uses the port. */
interface PidFile {
  pid: number
  /** When the process started. The system may give the id of an ended process to another program. */
  started: string
  host: string
}

const pidFilePath = (dataDir: string, port: number): string => join(dataDir, `listening-${port}.json`)

/**
 * Writes the PID files of the ports on which this process listens. A process that cannot write to DATA_DIR runs without
 * them.
 * @returns a function that removes the files
 */
export async function writePidFiles(
  dataDir: string,
  { host, ports }: { host: string; ports: readonly number[] },
  logger: Logger,
): Promise<() => Promise<void>> {
  const content: PidFile = { pid: process.pid, started: await readStartTime(process.pid), host }
  const files = ports.map((port) => pidFilePath(dataDir, port))
  try {
    for (const file of files) await writeFile(file, JSON.stringify(content), { mode: 0o600 })
  } catch (error) {
    logger.debug(
      { err: error },
      'could not write the PID files to DATA_DIR, so that another start cannot tell which process uses the ports',
    )
  }
  return async () => {
    for (const file of files) await rm(file, { force: true })
  }
}

/** Returns the id of the running process that listens on this address according to its PID file. */
export async function findListeningProcess(
  dataDir: string,
  { host, port }: { host: string; port: number },
): Promise<number | undefined> {
  const found = await readPidFile(pidFilePath(dataDir, port))
  if (found === undefined || !isAlive(found.pid) || (await readStartTime(found.pid)) !== found.started)
    return undefined
  const overlap = found.host === host || [found.host, host].some((one) => ['0.0.0.0', '::'].includes(one))
  return overlap ? found.pid : undefined
}

/** A damaged file counts as missing. */
async function readPidFile(file: string): Promise<PidFile | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as PidFile
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** When a process started, in the format of the operating system. Empty if the system does not say. */
async function readStartTime(pid: number): Promise<string> {
  try {
    if (process.platform === 'linux') {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      // `starttime` is field 22 (proc_pid_stat(5)), and the twentieth field after the name. The name may contain
      // spaces.
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    }
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], {
      timeout: 1_000,
    })
    return stdout.trim()
  } catch {
    return ''
  }
}
