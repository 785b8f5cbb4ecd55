import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { mongo } from 'mongoose'
import { findMongod } from '#src/embedded/mongod-binary.ts'
import { makeDatabaseFolder } from '#test/support/database-folder.ts'
import { createNode, type Node, type OwnNode, runCommand, waitUntil } from '#test/support/mongod-node.ts'

/** A replica set of three nodes that a test can kill and restart. */
export interface ReplicaSet {
  uri: string
  /** Kills the primary. @returns the killed node, once its process has ended */
  killPrimary(): Promise<Node>
  /** Waits until there is one primary, and both secondaries have replicated what the primary had at the time of the call. */
  waitUntilHealthy(): Promise<void>
  /** Ends all nodes and deletes their files. */
  close(): Promise<void>
}

const replicaSet = 'trivet'

/** @param settings the `settings` of the replica set, as MongoDB names them */
export async function startReplicaSet(
  settings: { electionTimeoutMillis?: number } = {},
): Promise<ReplicaSet> {
  const binary = await findMongod(process.env, (line) => console.log(line))
  const directory = await makeDatabaseFolder()
  const nodes: OwnNode[] = []
  const close = async () => {
    await Promise.all(nodes.map((node) => node.kill()))
    await rm(directory, { recursive: true, force: true })
  }
  try {
    for (const name of ['a', 'b', 'c'])
      nodes.push(await createNode(binary, join(directory, name), ['--replSet', replicaSet]))
    await Promise.all(nodes.map((node) => node.start()))
    const hosts = nodes.map(({ host }) => host)
    const [first = ''] = hosts
    const config = { _id: replicaSet, settings, members: hosts.map((host, _id) => ({ _id, host })) }
    await runCommand(first, { replSetInitiate: config })
    const healthy = async () => {
      let target: mongo.Timestamp | undefined
      await waitUntil('one node is the primary, and two have caught up with it', async () => {
        const members = await membersOf(hosts)
        const primaries = members.filter(({ stateStr }) => stateStr === 'PRIMARY')
        const secondaries = members.filter(({ stateStr }) => stateStr === 'SECONDARY')
        if (primaries.length !== 1 || secondaries.length !== 2) return undefined
        const reached = target ?? primaries[0]?.optime.ts
        target = reached
        return secondaries.every(({ optime }) => reached && optime.ts.gte(reached)) || undefined
      })
    }
    await healthy()

    return {
      uri: `mongodb://${hosts.join(',')}/?replicaSet=${replicaSet}`,
      async killPrimary() {
        const primary = await waitUntil('there is a primary', async () => {
          const answers = await Promise.allSettled(hosts.map((host) => runCommand(host, { hello: 1 })))
          return nodes.find((_, at) => {
            const answer = answers[at]
            return answer?.status === 'fulfilled' && answer.value.isWritablePrimary
          })
        })
        await primary.kill()
        return primary
      },
      waitUntilHealthy: healthy,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

interface Member {
  stateStr: string
  optime: { ts: mongo.Timestamp }
}

/** The state of each node as the node itself reports it: what the other nodes know may be out of date. */
const membersOf = (hosts: readonly string[]): Promise<Member[]> =>
  Promise.all(
    hosts.map(async (host) => {
      const { members } = await runCommand(host, { replSetGetStatus: 1 })
      return members.find((member: { self?: boolean }) => member.self)
    }),
  )
