import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mongo } from 'mongoose'
import { openEmbeddedMongo } from '#src/embedded/mongod.ts'

export interface RunOptions {
  /** Makes each run short, which only shows that every scenario works. */
  quick: boolean
  rounds: number
  /** The duration of one measurement. */
  seconds: number
  /** The duration of the run before the first measurement, which is not counted. */
  warmUpSeconds: number
}

/** The environment of scenarios. At the end, also after an error, everything that a scenario started is stopped and removed. */
export interface BenchContext {
  uri: string
  client: mongo.MongoClient
  /** Whether MongoDB is the embedded one. */
  embedded: boolean
  options: RunOptions
  /** A temporary folder for logs, keys and tokens. */
  folder: string
  /** Prints progress. */
  log(line: string): void
  /** @returns the name of a new database, or the prefix of several; they are dropped at the end */
  reserveDatabase(label: string): string
  /** The clean-ups run in reverse order. */
  onCleanup(cleanUp: () => Promise<unknown>): void
  /** After the work, runs the clean-ups that were added during it. */
  withCleanup<T>(work: () => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** @param uri of a MongoDB replica set; without it, an embedded one is started */
export async function openContext(uri: string | undefined, options: RunOptions): Promise<BenchContext> {
  const { cleanUps, cleanUpTo } = createCleanups()
  const log = (line: string) => console.log(line)
  const folder = await mkdtemp(join(tmpdir(), 'trivet-bench-'))
  cleanUps.push(() => rm(folder, { recursive: true, force: true }))
  try {
    const mongod = uri === undefined ? await openEmbeddedMongo({ dataDir: folder, log }) : undefined
    if (mongod) cleanUps.push(() => mongod.close())
    const usedUri = mongod?.uri ?? uri ?? ''
    const client = await mongo.MongoClient.connect(usedUri)
    cleanUps.push(() => client.close())

    const runPrefix = `bench_${randomBytes(3).toString('hex')}`
    return {
      uri: usedUri,
      client,
      embedded: mongod !== undefined,
      options,
      folder,
      log,
      reserveDatabase(label) {
        const prefix = `${runPrefix}_${label}`
        cleanUps.push(() => dropDatabases(client, prefix))
        return prefix
      },
      onCleanup: (cleanUp) => cleanUps.push(cleanUp),
      async withCleanup(work) {
        const count = cleanUps.length
        try {
          return await work()
        } finally {
          await cleanUpTo(count)
        }
      },
      close: () => cleanUpTo(0),
    }
  } catch (error) {
    await cleanUpTo(0)
    throw error
  }
}

function createCleanups() {
  const cleanUps: (() => Promise<unknown>)[] = []
  let done = Promise.resolve()
  /** Runs one clean-up after the other until `count` are left. A failed clean-up does not prevent the others. */
  const cleanUpTo = (count: number): Promise<void> => {
    // Ctrl-C and the end of a scenario may both call this at the same time.
    done = done.then(async () => {
      while (cleanUps.length > count)
        await cleanUps
          .pop()?.()
          .catch((error) => console.error(error))
    })
    return done
  }
  return { cleanUps, cleanUpTo }
}

async function dropDatabases(client: mongo.MongoClient, prefix: string): Promise<void> {
  const { databases } = await client.db().admin().listDatabases({ nameOnly: true })
  for (const { name } of databases) {
    if (name === prefix || name.startsWith(`${prefix}_`)) await client.db(name).dropDatabase()
  }
}
