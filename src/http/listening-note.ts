import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Logger } from '#kernel/logger.ts'

/** A file in DATA_DIR. It lets a second start say that Trivet already runs, instead of that another program uses the port. */
interface Note {
  pid: number
  /** When the process started. The system may give the id of an ended process to another program. */
  started: string
  host: string
}

const noteFile = (dataDir: string, port: number): string => join(dataDir, `listening-${port}.json`)

/**
 * Notes that this process listens on these ports. A process that cannot write to DATA_DIR runs without a note.
 * @returns a function that removes the note
 */
export async function noteListening(
  dataDir: string,
  { host, ports }: { host: string; ports: readonly number[] },
  logger: Logger,
): Promise<() => Promise<void>> {
  const note: Note = { pid: process.pid, started: await readStartTime(process.pid), host }
  const files = ports.map((port) => noteFile(dataDir, port))
  try {
    for (const file of files) await writeFile(file, JSON.stringify(note), { mode: 0o600 })
  } catch (error) {
    logger.debug(
      { err: error },
      'could not note the ports in DATA_DIR, so that a second start cannot tell which process uses them',
    )
  }
  return async () => {
    for (const file of files) await rm(file, { force: true })
  }
}

/** The id of the running process that has noted that it listens on this address. */
export async function processListening(
  dataDir: string,
  { host, port }: { host: string; port: number },
): Promise<number | undefined> {
  const note = await read(noteFile(dataDir, port))
  if (note === undefined || !isAlive(note.pid) || (await readStartTime(note.pid)) !== note.started)
    return undefined
  const overlap = note.host === host || [note.host, host].some((one) => ['0.0.0.0', '::'].includes(one))
  return overlap ? note.pid : undefined
}

/** Reads a note. A damaged note counts as missing. */
async function read(file: string): Promise<Note | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Note
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
      // proc_pid_stat(5): `starttime` is field 22. It is the twentieth after the name, which may contain spaces.
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
