import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { mongo } from 'mongoose'
import { freePort } from '../../src/embedded/free-port.ts'
import { findMongod } from '../../src/embedded/mongod-binary.ts'

/** A replica set of three nodes that die and come back. */
export interface ThreeNodes {
  uri: string
  /** @returns the node that was the primary, once its process is gone */
  killPrimary(): Promise<Node>
  /** Waits until one node is the primary, and two follow it and have all that it had when this was asked. */
  healthy(): Promise<void>
  /** Ends all of them, and nothing is left. */
  close(): Promise<void>
}

/** One node, at the same port and with the same data from one life to the next. */
export interface Node {
  host: string
  start(): Promise<void>
}

interface OwnNode extends Node {
  kill(): Promise<void>
}

const replicaSet = 'trivet'
// Two cores carry all of it: what is usual here is slow elsewhere.
const patience = 60_000

export async function startThreeNodes(): Promise<ThreeNodes> {
  const binary = await findMongod(process.env, (line) => console.log(line))
  const directory = await mkdtemp(join(tmpdir(), 'trivet-three-nodes-'))
  const nodes: OwnNode[] = []
  const close = async () => {
    await Promise.all(nodes.map((node) => node.kill()))
    await rm(directory, { recursive: true, force: true })
  }
  try {
    for (const name of ['a', 'b', 'c']) nodes.push(await createNode(binary, join(directory, name)))
    await Promise.all(nodes.map((node) => node.start()))
    const hosts = nodes.map(({ host }) => host)
    const [first = ''] = hosts
    const config = { _id: replicaSet, members: hosts.map((host, _id) => ({ _id, host })) }
    await ask(first, { replSetInitiate: config })
    const healthy = async () => {
      let target: mongo.Timestamp | undefined
      await until('one node is the primary, and two have caught up with it', async () => {
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
        const primary = await until('there is a primary', async () => {
          const answers = await Promise.allSettled(hosts.map((host) => ask(host, { hello: 1 })))
          return nodes.find((_, at) => {
            const answer = answers[at]
            return answer?.status === 'fulfilled' && answer.value.isWritablePrimary
          })
        })
        await primary.kill()
        return primary
      },
      healthy,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function createNode(binary: string, dbpath: string): Promise<OwnNode> {
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const args = [
    ...['--dbpath', dbpath, '--port', String(port), '--bind_ip', '127.0.0.1', '--replSet', replicaSet],
    ...['--logpath', `${dbpath}.log`, '--logappend', '--oplogSize', '64', '--wiredTigerCacheSizeGB', '0.25'],
    '--nounixsocket',
    ...['--setParameter', 'transactionLifetimeLimitSeconds=10'],
    ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
    // Where the watchdog has to end it, nobody is left that it could hand over to.
    ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
  ]
  await mkdir(dbpath)
  let running: { watchdog: ChildProcess; pid?: number; ended: Promise<void> } | undefined

  return {
    host,
    async start() {
      // It ends mongod when this process is gone, however that ends.
      const watchdog = spawn(process.execPath, [watchdogScript, binary, ...args], {
        stdio: ['pipe', 'ignore', 'inherit'],
      })
      const ended = new Promise<void>((resolve) => watchdog.once('exit', () => resolve()))
      running = { watchdog, ended }
      const up = until(`${host} answers`, async () => Number((await ask(host, { serverStatus: 1 })).pid))
      const pid = await Promise.race([up, ended])
      if (pid === undefined) throw new Error(`mongod at ${host} has ended`)
      running = { watchdog, pid, ended }
    },
    async kill() {
      if (!running) return
      const { watchdog, pid, ended } = running
      running = undefined
      if (pid === undefined) watchdog.stdin?.end()
      else if (watchdog.exitCode === null) process.kill(pid, 'SIGKILL')
      await ended
    },
  }
}

const watchdogScript = fileURLToPath(new URL('../../src/embedded/watchdog.ts', import.meta.url))

/** One command to one node, whatever its state. */
async function ask(host: string, command: mongo.Document): Promise<mongo.Document> {
  const client = new mongo.MongoClient(`mongodb://${host}/?directConnection=true`, {
    serverSelectionTimeoutMS: 2_000,
    connectTimeoutMS: 2_000,
    socketTimeoutMS: 10_000,
  })
  try {
    return await client.db('admin').command(command)
  } finally {
    await client.close()
  }
}

/** @throws what stood in the way last, if it takes longer than `patience` */
async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const limit = Date.now() + patience
  for (let cause: unknown; ; ) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      cause = error
    }
    if (Date.now() > limit) throw new Error(`not within ${patience} ms: ${what}`, { cause })
    await sleep(100)
  }
}

interface Member {
  stateStr: string
  optime: { ts: mongo.Timestamp }
}

/** As each of the nodes sees it itself: what the others have heard of it may be old. */
const membersOf = (hosts: readonly string[]): Promise<Member[]> =>
  Promise.all(
    hosts.map(async (host) => {
      const { members } = await ask(host, { replSetGetStatus: 1 })
      return members.find((member: { self?: boolean }) => member.self)
    }),
  )
