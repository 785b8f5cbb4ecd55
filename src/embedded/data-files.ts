import { mkdir, stat, statfs } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { MongodFailure } from './mongod-failure.ts'

/** The paths of the files that the embedded MongoDB has in a data directory. */
export interface DataFiles {
  directory: string
  /** The folder with mongod's own files. */
  database: string
  log: string
  /** The file that names the process that started mongod, so that other processes find mongod. */
  owner: string
  /** The file with the last port of mongod. */
  port: string
}

export function dataFilesOf(dataDir: string): DataFiles {
  const directory = resolve(dataDir)
  return {
    directory,
    database: join(directory, 'mongodb'),
    log: join(directory, 'mongod.log'),
    owner: join(directory, 'mongod.json'),
    port: join(directory, 'mongod.port'),
  }
}

export async function makeDatabaseFolder({ database }: DataFiles): Promise<void> {
  await mkdir(database).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' || !(await stat(database)).isDirectory()) throw error
  })
}

// With less free space, mongod ends at one of its first writes, within seconds of its start.
const minSpaceBytes = 32 * 1_048_576

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

export const isDiskFull = async ({ directory }: DataFiles): Promise<boolean> =>
  (await freeBytes(directory)) < minSpaceBytes

/** @throws MongodFailure if mongod has too little space */
export async function refuseFullDisk({ directory }: DataFiles): Promise<void> {
  const available = await freeBytes(directory)
  if (available >= minSpaceBytes) return
  const [free, min] = [available, minSpaceBytes].map((bytes) => Math.floor(bytes / 1_048_576))
  throw new MongodFailure(`only ${free} MiB are free on its disk, and MongoDB needs ${min} MiB`, {
    isOfDataDir: true,
  })
}
