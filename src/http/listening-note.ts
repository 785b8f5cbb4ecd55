import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Logger } from '#kernel/logger.ts'

/** What a process leaves in DATA_DIR, for a second start to say that it is not another program that has the port. */
interface Note {
  pid: number
  /** When the process with this id started: the system gives the id of an ended one to another program. */
  started: string
  host: string
}

const fileOf = (dataDir: string, port: number): string => join(dataDir, `listening-${port}.json`)

/**
 * Notes that this process listens there. A process that has no folder for it does its work without.
 * @returns what takes the note away
 */
export async function noteListening(
  dataDir: string,
  { host, ports }: { host: string; ports: readonly number[] },
  logger: Logger,
): Promise<() => Promise<void>> {
  const note: Note = { pid: process.pid, started: await startOf(process.pid), host }
  const files = ports.map((port) => fileOf(dataDir, port))
  try {
    for (const file of files) await writeFile(file, JSON.stringify(note), { mode: 0o600 })
  } catch (error) {
    logger.debug(
      { err: error },
      'no note of the ports in DATA_DIR: a second start cannot tell which process has them',
    )
  }
  return async () => {
    for (const file of files) await rm(file, { force: true })
  }
}

/** The id of the process that has noted that it listens there, and lives. */
export async function processListening(
  dataDir: string,
  { host, port }: { host: string; port: number },
): Promise<number | undefined> {
  const note = await read(fileOf(dataDir, port))
  if (note === undefined || !isAlive(note.pid) || (await startOf(note.pid)) !== note.started) return undefined
  const overlap = note.host === host || [note.host, host].some((one) => ['0.0.0.0', '::'].includes(one))
  return overlap ? note.pid : undefined
}

/** A damaged note is none. */
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

/** When a process started, in the words of its system; empty where the system does not tell. */
async function startOf(pid: number): Promise<string> {
  try {
    if (process.platform === 'linux') {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      // proc_pid_stat(5): `starttime` is field 22, the twentieth after the name, which may have spaces in it.
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
