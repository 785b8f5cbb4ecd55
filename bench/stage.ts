import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mongo } from 'mongoose'
import { openEmbeddedMongo } from '#src/embedded/mongod.ts'

/** How long and how often is measured. */
export interface Effort {
  /** Seconds-short runs that only show that everything works. */
  quick: boolean
  rounds: number
  /** Of one measurement. */
  seconds: number
  /** Of the run before the first measurement that is not counted. */
  warmUpSeconds: number
}

/** What scenarios work on. All that is put on it is taken down in the end, whatever happens. */
export interface Stage {
  uri: string
  client: mongo.MongoClient
  /** Whether MongoDB is the embedded one. */
  embedded: boolean
  effort: Effort
  /** For logs, keys and tokens. */
  folder: string
  /** Prints progress. */
  say(line: string): void
  /** The name of a new database, or prefix of several, which are dropped in the end. */
  database(label: string): string
  /** Done in the end, the last one first. */
  atEnd(work: () => Promise<unknown>): void
  /** Takes down what was put up since `work` began. */
  scene<T>(work: () => Promise<T>): Promise<T>
  end(): Promise<void>
}

/** @param uri of a MongoDB replica set; without it, an embedded one is started */
export async function openStage(uri: string | undefined, effort: Effort): Promise<Stage> {
  const endings: (() => Promise<unknown>)[] = []
  const say = (line: string) => console.log(line)
  let unwound = Promise.resolve()
  /** One after the other, also when it is asked for twice; one that fails must not keep the others from being done. */
  const unwind = (to: number): Promise<void> => {
    unwound = unwound.then(async () => {
      while (endings.length > to)
        await endings
          .pop()?.()
          .catch((error) => console.error(error))
    })
    return unwound
  }

  const folder = await mkdtemp(join(tmpdir(), 'trivet-bench-'))
  endings.push(() => rm(folder, { recursive: true, force: true }))
  try {
    const mongod = uri === undefined ? await openEmbeddedMongo({ dataDir: folder, log: say }) : undefined
    if (mongod) endings.push(() => mongod.close())
    const reached = mongod?.uri ?? uri ?? ''
    const client = await mongo.MongoClient.connect(reached)
    endings.push(() => client.close())

    const ours = `bench_${randomBytes(3).toString('hex')}`
    return {
      uri: reached,
      client,
      embedded: mongod !== undefined,
      effort,
      folder,
      say,
      database(label) {
        const prefix = `${ours}_${label}`
        endings.push(() => dropDatabases(client, prefix))
        return prefix
      },
      atEnd: (work) => endings.push(work),
      async scene(work) {
        const level = endings.length
        try {
          return await work()
        } finally {
          await unwind(level)
        }
      },
      end: () => unwind(0),
    }
  } catch (error) {
    await unwind(0)
    throw error
  }
}

async function dropDatabases(client: mongo.MongoClient, prefix: string): Promise<void> {
  const { databases } = await client.db().admin().listDatabases({ nameOnly: true })
  for (const { name } of databases) {
    if (name === prefix || name.startsWith(`${prefix}_`)) await client.db(name).dropDatabase()
  }
}
