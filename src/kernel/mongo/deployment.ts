import mongoose from 'mongoose'
import { ConfigError } from '#kernel/config/config-error.ts'
import { isUnavailable } from './errors.ts'

type Client = mongoose.mongo.MongoClient

/**
 * What keeps a MongoDB from being used. `away`: it may be back at any moment. `unsettled`: only an operator mends it, who
 * may be setting MongoDB up just now. `unusable`: no waiting mends it.
 */
export interface ConnectionFault {
  kind: 'temporary' | 'setup' | 'permanent'
  /** Names the setting, what was found and what would be right; never the password. */
  message: string
}

/** What the servers of MONGODB_URI say of themselves, as the driver's monitors hear it. */
export interface Deployment {
  /** From now on the servers of this client count. */
  follow(client: Client): void
  /**
   * Why nothing can be written, as far as that is known.
   * @param failure what the driver threw, if it did
   */
  fault(failure?: unknown): ConnectionFault | undefined
  /** The message of an obstacle that no waiting mends, if there is one. */
  unusableReason(): string | undefined
  /** Whether the driver has given up every server of the URI: this client never finds one again. */
  isAbandoned(): boolean
}

/** The part that matters here of a server's answer to `hello`. */
interface Hello {
  setName?: string
  isWritablePrimary?: boolean
  secondary?: boolean
  arbiterOnly?: boolean
  /** Only of a server that was started with --replSet and has no configuration. */
  isreplicaset?: boolean
  configsvr?: number
  /** `isdbgrid` of a router. */
  msg?: string
  me?: string
  primary?: string
  hosts?: string[]
  maxWireVersion?: number
}

const oldestVersion = 6
// The wire version of MongoDB 6.0.
const oldestWireVersion = 17
const wireVersions: Record<number, string> = {
  6: '3.6',
  7: '4.0',
  8: '4.2',
  9: '4.4',
  13: '5.0',
  14: '5.1',
  15: '5.2',
  16: '5.3',
}

// What is listed of a long list of servers.
const mostServers = 5

export function createDeployment(): Deployment {
  /** By address: the last answer of each server, or why there was none. */
  let answers = new Map<string, Hello | Error>()
  let servers: ReadonlyMap<string, mongoose.mongo.ServerDescription> = new Map()
  let followed: Client | undefined
  /** Derived only when a server answers, since every database operation asks for it. */
  let fault: string | undefined

  /** What no waiting mends about a server. */
  const faultOf = (address: string, hello: Hello): string | undefined => {
    const requiredSet = followed?.options.replicaSet
    const isDirect = followed?.options.directConnection
    const version = hello.maxWireVersion ?? 0
    if (version < oldestWireVersion) {
      return tooOld(address, wireVersions[version] ?? `of wire version ${version}`)
    }
    if (hello.msg === 'isdbgrid' || hello.isreplicaset) return undefined
    if (hello.setName === undefined) return standalone(address, requiredSet ?? 'rs0')
    if (hello.configsvr !== undefined) {
      return `MONGODB_URI leads to a config server of a sharded cluster (${address}), which stores no data of programs: name the cluster's routers (mongos) instead`
    }
    if (requiredSet !== undefined && hello.setName !== requiredSet) {
      return `MONGODB_URI asks for the replica set ${requiredSet} (replicaSet=), and ${address} belongs to ${hello.setName}: set replicaSet=${hello.setName}, or name the servers of ${requiredSet}`
    }
    const members = hello.hosts?.join(',') || 'the members that hold data'
    const whole = `name ${members} in MONGODB_URI, with replicaSet=${hello.setName}${isDirect ? ' and without directConnection' : ''}`
    if (hello.arbiterOnly)
      return `MONGODB_URI leads to an arbiter alone (${address}), which holds no data: ${whole}`
    if (isDirect && !hello.isWritablePrimary && hello.primary && hello.primary !== hello.me) {
      return `MONGODB_URI leads to a secondary alone (${address}, directConnection=true), which takes no writes: ${whole}`
    }
    return undefined
  }

  /** Why a server that is without fault cannot be written to at the moment. */
  const stateOf = (address: string, answer: Hello | Error | undefined): string => {
    if (answer === undefined) return `${address} has not answered yet`
    if (answer instanceof Error)
      return `${address}: ${hintOf(answer, followed?.options.tls === true) ?? answer.message}`
    if (answer.isreplicaset) return uninitiated(address)
    if (answer.arbiterOnly) return `${address} is an arbiter`
    return `${address} is ${answer.secondary ? 'a secondary' : 'starting or recovering'}, and its replica set has no primary`
  }

  const ofServers = (): ConnectionFault | undefined => {
    if (followed === undefined) return undefined
    const writable = [...servers.values()].filter(({ type }) =>
      ['RSPrimary', 'Mongos', 'LoadBalancer'].includes(type),
    )
    const addresses = writable.length > 0 ? writable.map(({ address }) => address) : known()
    const faults = addresses.map((address) => {
      const answer = answers.get(address)
      return answer instanceof Error || !answer ? undefined : faultOf(address, answer)
    })
    const [first] = faults
    if (first !== undefined && !faults.includes(undefined)) return { kind: 'permanent', message: first }
    if (writable.length > 0) return undefined
    const states = addresses.map((address, at) => faults[at] ?? stateOf(address, answers.get(address)))
    const isSettingUp = addresses.every((address, at) => {
      const answer = answers.get(address)
      if (faults[at] !== undefined) return true
      return answer instanceof Error ? isOfTls(answer) : answer?.isreplicaset === true
    })
    const message = states.slice(0, mostServers).join('; ')
    return { kind: isSettingUp && states.length > 0 ? 'setup' : 'temporary', message }
  }

  const known = () => [...new Set([...answers.keys(), ...servers.keys()])]

  const lookAgain = () => {
    const found = ofServers()
    fault = found?.kind === 'permanent' ? found.message : undefined
  }

  return {
    follow(client) {
      if (client === followed) return
      followed = client
      // Its own: what the client before it still hears does not count.
      const heard = new Map<string, Hello | Error>()
      answers = heard
      servers = new Map()
      lookAgain()
      const hear = (address: string, answer: Hello | Error) => {
        heard.set(address, answer)
        lookAgain()
      }
      client.on('serverHeartbeatSucceeded', ({ connectionId, reply }) => hear(connectionId, reply))
      client.on('serverHeartbeatFailed', ({ connectionId, failure }) => hear(connectionId, failure))
      client.on('topologyDescriptionChanged', ({ newDescription }) => {
        if (client !== followed) return
        servers = newDescription.servers
        lookAgain()
      })
    },

    fault(failure) {
      const found = ofServers()
      // The answers of the servers name the cause more exactly than most failures of the driver.
      if (found?.kind === 'permanent' || failure === undefined) return found
      return ofFailure(failure) ?? found
    },

    unusableReason: () => fault,

    isAbandoned: () => answers.size > 0 && servers.size === 0,
  }
}

const standalone = (address: string, set: string): string => {
  const [, port = '27017'] = address.match(/:(\d+)$/) ?? []
  return [
    `MONGODB_URI leads to a standalone server (${address}), which has no transactions: a replica set is needed, of one member at least. To make one of it, with its data:`,
    `1. stop mongod, and start it again with the same options and: --replSet ${set} --setParameter transactionLifetimeLimitSeconds=10 (where users sign in, also --keyFile)`,
    `2. once: mongosh --port ${port} --eval 'rs.initiate({ _id: "${set}", members: [{ _id: 0, host: "${address}" }] })'`,
    `3. set MONGODB_URI to mongodb://${address}/?replicaSet=${set} (with the user that it has now)`,
  ].join('\n      ')
}

const uninitiated = (address: string): string => {
  const [, port = '27017'] = address.match(/:(\d+)$/) ?? []
  return `MONGODB_URI leads to a server that was started for a replica set (--replSet) and has none yet (${address}): initiate it once, by mongosh --port ${port} --eval 'rs.initiate()'`
}

const tooOld = (address: string, version: string): string =>
  `MONGODB_URI leads to MongoDB ${version} (${address}): version ${oldestVersion} or later is needed; upgrade it, one major version after the other`

// Of Node.js's TLS: the server's certificate is not one that this process trusts.
const isUntrusted = (error: Error): boolean =>
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_ALTNAME)/.test(codeOf(error))

/** The server answers, and not as TLS has it. */
const isUnencrypted = ({ message }: Error): boolean =>
  /before secure TLS connection|wrong version number|packet length too long/.test(message)

const isOfTls = (error: Error): boolean => isUntrusted(error) || isUnencrypted(error)

const codeOf = (error: Error): string =>
  String((error as { code?: unknown }).code ?? (error.cause as { code?: unknown } | undefined)?.code ?? '')

/** What a failed connection probably means, where its message alone would not say. */
function hintOf(error: Error, isEncrypted: boolean): string | undefined {
  const { message } = error
  if (isUntrusted(error)) {
    return `MONGODB_URI asks for TLS, and the server's certificate is not trusted (${message}): name the authority that signed it (tlsCAFile=), or a host that the certificate is for`
  }
  if (isEncrypted && isUnencrypted(error)) {
    return `MONGODB_URI asks for TLS (tls=true), which the server may not speak (${message})`
  }
  if (!isEncrypted && /closed/.test(message)) {
    return `${message}; should the server demand TLS, MONGODB_URI needs tls=true`
  }
  return undefined
}

const authenticationFailed = 18
const unauthorized = 13
// Atlas has one code for both.
const atlasError = 8000
const writeConflict = 112

/** Undefined where the failure says no more than that no server was found. */
function ofFailure(failure: unknown): ConnectionFault | undefined {
  if (!(failure instanceof Error)) return undefined
  const { message } = failure
  if (failure instanceof mongoose.mongo.MongoServerError) {
    const code = Number(failure.code)
    if (code !== authenticationFailed && code !== atlasError) return undefined
    return {
      kind: 'setup',
      message: `MONGODB_URI: MongoDB refuses the user or the password (${message}): set those of an account that exists, and authSource to the database that it was created in`,
    }
  }
  if (['open', 'read'].includes((failure as NodeJS.ErrnoException).syscall ?? '')) {
    return { kind: 'permanent', message: `MONGODB_URI names a file that cannot be read: ${message}` }
  }
  if (codeOf(failure).startsWith('ERR_OSSL')) {
    return {
      kind: 'permanent',
      message: `MONGODB_URI names a file with a certificate or a key that cannot be used: ${message}`,
    }
  }
  if (failure instanceof mongoose.mongo.MongoCompatibilityError) {
    return { kind: 'permanent', message: `MONGODB_URI leads to a MongoDB that cannot be used: ${message}` }
  }
  return undefined
}

/** @throws ConfigError if the server is older than version 6, whichever protocol it speaks */
export async function refuseOldVersion(connection: mongoose.Connection): Promise<void> {
  const { version } = (await connection.db?.admin().command({ buildInfo: 1, maxTimeMS: 2_000 })) ?? {}
  if (typeof version !== 'string' || !(Number.parseInt(version, 10) < oldestVersion)) return
  throw new ConfigError([tooOld(`${connection.host}:${connection.port}`, version)])
}

/**
 * Writes to a database inside a transaction that is aborted: nothing of it stays.
 * @throws ConfigError if the account may not do that, or the server refuses the transaction for good
 */
export async function verifyWriteAccess(connection: mongoose.Connection): Promise<void> {
  const session = await connection.startSession()
  try {
    session.startTransaction({ readConcern: { level: 'snapshot' }, readPreference: 'primary' })
    await connection
      .collection<{ _id: string }>('locks')
      .updateOne({ _id: 'tried' }, { $set: { at: new Date() } }, { upsert: true, session, maxTimeMS: 2_000 })
    await session.abortTransaction()
  } catch (error) {
    // Another process writes the same at this moment, so that it can be written.
    if (error instanceof mongoose.mongo.MongoServerError && error.code === writeConflict) return
    if (isUnavailable(error)) throw error
    throw (
      unauthorizedFault(error, connection) ??
      new ConfigError([
        `MONGODB_URI: MongoDB refuses a transaction that writes to ${connection.name}: ${(error as Error).message}`,
      ])
    )
  } finally {
    await session.endSession()
  }
}

/** What to tell an operator of a command that the account may not send; undefined if the error is another one. */
export function unauthorizedFault(error: unknown, connection: mongoose.Connection): ConfigError | undefined {
  if (!(error instanceof mongoose.mongo.MongoServerError)) return undefined
  if (![unauthorized, atlasError].includes(Number(error.code))) return undefined
  // The server repeats the whole command.
  const reason = error.message.replace(/ \{ (\w+):.*/s, ' $1')
  const [, database = 'each database'] = reason.match(/not authorized on (\S+)/) ?? []
  return new ConfigError([
    connection.getClient().options.credentials === undefined
      ? `MONGODB_URI names no user, and MongoDB demands one (${reason}): set it to mongodb://user:password@host/...`
      : `MONGODB_URI: the account may not do what is needed (${reason}): grant it the roles readWrite and dbAdmin on ${database}`,
  ])
}
