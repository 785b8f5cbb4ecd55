import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { mongo } from 'mongoose'
import { z } from 'zod'
import type { DataFiles } from './data-files.ts'
import { isAlive, killProcess } from './process-signals.ts'

/**
 * The contents of the owner file. The process that started the mongod of a data directory writes it, so that other
 * processes can attach to that mongod.
 */
const ownerSchema = z.object({ uri: z.string(), owner: z.int(), mongod: z.int() })
export type Owner = z.infer<typeof ownerSchema>

/**
 * @returns undefined if the file is missing or damaged
 * @throws the system's error if this process may not read the file, because the file and its mongod belong to another
 * user
 */
export async function readOwner(files: DataFiles): Promise<Owner | undefined> {
  const text = await readFile(files.owner, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (['EACCES', 'EPERM', 'EISDIR'].includes(error.code ?? '')) throw error
    return ''
  })
  try {
    return ownerSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** Replaces the file atomically, so that no reader finds an incomplete file. */
export async function writeOwner(files: DataFiles, owner: Owner): Promise<void> {
  await writeFile(`${files.owner}.new`, JSON.stringify(owner), { mode: 0o600 })
  await rename(`${files.owner}.new`, files.owner)
}

/** Removes the file, unless it names another mongod: after a crash, another process may be the owner already. */
export async function removeOwner(files: DataFiles, mongod: number): Promise<void> {
  if ((await readOwner(files))?.mongod === mongod) await rm(files.owner, { force: true })
}

/**
 * @returns the owner whose mongod answers. A mongod that outlived its owner is killed, because no process would ever
 * stop it.
 */
export async function findRunningOwner(files: DataFiles): Promise<Owner | undefined> {
  const owner = await readOwner(files)
  if (owner === undefined) return undefined
  if ((await serverPid(owner.uri)) !== owner.mongod) return undefined
  if (isAlive(owner.owner)) return owner
  await killProcess(owner.mongod)
  return undefined
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
