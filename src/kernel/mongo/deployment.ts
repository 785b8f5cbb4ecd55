import type mongoose from 'mongoose'
import {
  type ConnectionFault,
  driverFault,
  type Hello,
  isTlsError,
  serverFault,
  serverState,
} from './deployment-faults.ts'

type Client = mongoose.mongo.MongoClient

/** The state of MONGODB_URI's servers, as the driver's monitoring reports it. */
export interface Deployment {
  /** Takes the state from this client's monitoring from now on. */
  follow(client: Client): void
  /**
   * The known reason why MongoDB accepts no writes, if there is one.
   * @param error the driver's error, if an operation failed
   */
  fault(error?: unknown): ConnectionFault | undefined
  /** The message of the permanent fault, if there is one. */
  unusableReason(): string | undefined
  /** Whether the driver knows a server that accepts writes. */
  hasPrimary(): boolean
  /** Whether the driver has dropped every server of the URI, so that this client will find no server again. */
  isAbandoned(): boolean
}

const maxListedServers = 5

const writableOf = (servers: ReadonlyMap<string, mongoose.mongo.ServerDescription>) =>
  [...servers.values()].filter(({ type }) => ['RSPrimary', 'Mongos', 'LoadBalancer'].includes(type))

export function createDeployment(): Deployment {
  /** The last answer of each server by address, or the error of its last check. */
  let answers = new Map<string, Hello | Error>()
  let servers: ReadonlyMap<string, mongoose.mongo.ServerDescription> = new Map()
  let followed: Client | undefined
  /** This value is computed when a server answers, because every database operation reads it. */
  let permanentFault: string | undefined

  const serversFault = (): ConnectionFault | undefined => {
    if (followed === undefined) return undefined
    const { options } = followed
    const writable = writableOf(servers)
    const addresses =
      writable.length > 0
        ? writable.map(({ address }) => address)
        : [...new Set([...answers.keys(), ...servers.keys()])]
    const faults = addresses.map((address) => {
      const answer = answers.get(address)
      return answer instanceof Error || !answer ? undefined : serverFault(address, answer, options)
    })
    const [first] = faults
    if (first !== undefined && !faults.includes(undefined)) return { kind: 'permanent', message: first }
    if (writable.length > 0) return undefined
    const states = addresses.map(
      (address, at) => faults[at] ?? serverState(address, answers.get(address), options.tls === true),
    )
    const needsSetup = addresses.every((address, at) => {
      const answer = answers.get(address)
      if (faults[at] !== undefined) return true
      return answer instanceof Error ? isTlsError(answer) : answer?.isreplicaset === true
    })
    return {
      kind: needsSetup && states.length > 0 ? 'setup' : 'temporary',
      message: states.slice(0, maxListedServers).join('; '),
    }
  }

  const update = () => {
    const found = serversFault()
    permanentFault = found?.kind === 'permanent' ? found.message : undefined
  }

  return {
    follow(client) {
      if (client === followed) return
      followed = client
      // Each client has its own map: a late answer to the previous client must not count.
      const ownAnswers = new Map<string, Hello | Error>()
      answers = ownAnswers
      servers = new Map()
      update()
      const record = (address: string, answer: Hello | Error) => {
        ownAnswers.set(address, answer)
        update()
      }
      client.on('serverHeartbeatSucceeded', ({ connectionId, reply }) => record(connectionId, reply))
      client.on('serverHeartbeatFailed', ({ connectionId, failure }) => record(connectionId, failure))
      client.on('topologyDescriptionChanged', ({ newDescription }) => {
        if (client !== followed) return
        servers = newDescription.servers
        update()
      })
    },

    fault(error) {
      const found = serversFault()
      // The servers' answers name the cause more precisely than most errors of the driver.
      if (found?.kind === 'permanent' || error === undefined) return found
      return driverFault(error) ?? found
    },

    unusableReason: () => permanentFault,

    hasPrimary: () => writableOf(servers).length > 0,

    isAbandoned: () => answers.size > 0 && servers.size === 0,
  }
}
