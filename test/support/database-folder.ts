import { existsSync, statfsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive } from '#src/embedded/process-signals.ts'

const memoryFolder = '/dev/shm'
// A mongod of the tests needs less than 1 GiB, and a test may start five.
const requiredBytes = 8 * 1024 ** 3
const prefix = 'trivet-test-'

/**
 * Makes a folder for the files of a MongoDB that a test starts. The folder is in memory where there is enough of it: on a disk
 * each write of MongoDB waits for the disk, and each new database of a test for many writes. The files outlive a killed mongod
 * in memory, too.
 */
export async function makeDatabaseFolder({ mayBeInMemory = true } = {}): Promise<string> {
  if (!mayBeInMemory || !hasMemory()) return mkdtemp(join(tmpdir(), prefix))
  await removeLeftFolders()
  return mkdtemp(join(memoryFolder, `${prefix}${process.pid}-`))
}

function hasMemory(): boolean {
  if (!existsSync(memoryFolder)) return false
  const { bavail, bsize } = statfsSync(memoryFolder)
  return Math.min(bavail * bsize, freemem()) > requiredBytes
}

/** Removes the folders of test runs that were killed, because they take memory. */
async function removeLeftFolders(): Promise<void> {
  for (const name of await readdir(memoryFolder)) {
    const owner = Number(name.slice(prefix.length).split('-')[0])
    if (!name.startsWith(prefix) || isAlive(owner)) continue
    await rm(join(memoryFolder, name), { recursive: true, force: true })
  }
}
