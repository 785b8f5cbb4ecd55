import { setTimeout as sleep } from 'node:timers/promises'
import { mongo } from 'mongoose'

const replicaSet = 'trivet'
export const replicaSetArguments = ['--replSet', replicaSet]

export const replicaSetUri = (port: number): string => `mongodb://127.0.0.1:${port}/?replicaSet=${replicaSet}`

/**
 * Makes a mongod the primary of a replica set of one node, under its present port. Transactions need a replica set.
 *
 * Each attempt starts from the beginning. mongod refuses connections until it has started. Then it may look for itself
 * at its former port for a while. During this time it reports that it has no configuration, refuses a new one, and
 * closes the connection.
 * @returns the process id of mongod
 * @throws the error of the last attempt, once the signal is aborted
 */
export async function startReplicaSet(port: number, signal: AbortSignal): Promise<{ pid: number }> {
  const host = `127.0.0.1:${port}`
  for (;;) {
    // A client whose first attempt fails stays closed: each attempt gets a new client.
    const client = new mongo.MongoClient(`mongodb://${host}/?directConnection=true`, {
      serverSelectionTimeoutMS: 500,
      connectTimeoutMS: 500,
      // A frozen mongod keeps its connections open and does not answer.
      socketTimeoutMS: 5_000,
    })
    try {
      return await becomePrimary(client.db('admin'), host, signal)
    } catch (error) {
      if (signal.aborted) throw error
      await sleep(50)
    } finally {
      await client.close()
    }
  }
}

async function becomePrimary(admin: mongo.Db, host: string, signal: AbortSignal): Promise<{ pid: number }> {
  const config = { _id: replicaSet, members: [{ _id: 0, host }] }
  const current = await admin.command({ replSetGetConfig: 1 }).catch(undefinedIfNotInitialized)
  if (!current) await admin.command({ replSetInitiate: config })
  else if (current.config.members[0]?.host !== host) {
    const version = Number(current.config.version) + 1
    await admin.command({ replSetReconfig: { ...current.config, ...config, version }, force: true })
  }
  while (!(await admin.command({ hello: 1 })).isWritablePrimary) {
    signal.throwIfAborted()
    await sleep(20)
  }
  const { pid } = await admin.command({ serverStatus: 1 })
  return { pid: Number(pid) }
}

function undefinedIfNotInitialized(error: unknown): undefined {
  if ((error as { codeName?: string }).codeName !== 'NotYetInitialized') throw error
}
