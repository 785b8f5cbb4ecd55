import mongoose from 'mongoose'

/**
 * A reason why this process cannot use MongoDB. A `temporary` fault ends by itself, such as a server that does not answer.
 * A `setup` fault needs an operator, and the operator may be setting MongoDB up at this moment. A `permanent` fault does
 * not end while the process waits.
 */
export interface ConnectionFault {
  kind: 'temporary' | 'setup' | 'permanent'
  /** Names the setting, the actual state and the expected state, and never the password. */
  message: string
}

/** The fields of a server's answer to `hello` that decide whether the server can be used. */
export interface Hello {
  setName?: string
  isWritablePrimary?: boolean
  secondary?: boolean
  arbiterOnly?: boolean
  /** Set by a server that was started with --replSet and has no configuration yet. */
  isreplicaset?: boolean
  /** Set by a config server of a sharded cluster. */
  configsvr?: number
  /** `isdbgrid` on a router of a sharded cluster. */
  msg?: string
  me?: string
  primary?: string
  hosts?: string[]
  maxWireVersion?: number
}

/** The options of MONGODB_URI that decide which servers fit. */
type UriOptions = Partial<Pick<mongoose.mongo.MongoOptions, 'replicaSet' | 'directConnection'>>

/** The oldest major version of MongoDB that works. */
export const oldestVersion = 6
const oldestWireVersion = 17
const versionOfWireVersion: Record<number, string> = {
  6: '3.6',
  7: '4.0',
  8: '4.2',
  9: '4.4',
  13: '5.0',
  14: '5.1',
  15: '5.2',
  16: '5.3',
}

/** @returns the permanent fault of a server, or undefined if the server can be used */
export function serverFault(address: string, hello: Hello, options: UriOptions): string | undefined {
  const { replicaSet, directConnection } = options
  const { setName, maxWireVersion = 0 } = hello
  if (maxWireVersion < oldestWireVersion) {
    return tooOld(address, versionOfWireVersion[maxWireVersion] ?? `of wire version ${maxWireVersion}`)
  }
  if (hello.msg === 'isdbgrid' || hello.isreplicaset) return undefined
  if (setName === undefined) return standalone(address, replicaSet ?? 'rs0')
  if (hello.configsvr !== undefined) {
    return `MONGODB_URI leads to a config server of a sharded cluster (${address}), which stores no application data: set it to the cluster's routers (mongos) instead`
  }
  if (replicaSet !== undefined && setName !== replicaSet) {
    return `MONGODB_URI asks for the replica set ${replicaSet} (replicaSet=), and ${address} belongs to ${setName}: set replicaSet=${setName}, or name the servers of ${replicaSet}`
  }
  const members = hello.hosts?.join(',') || 'the members that hold data'
  const remedy = `name ${members} in MONGODB_URI, with replicaSet=${setName}${directConnection ? ' and without directConnection' : ''}`
  if (hello.arbiterOnly) {
    return `MONGODB_URI leads to an arbiter alone (${address}), which holds no data: ${remedy}`
  }
  if (directConnection && !hello.isWritablePrimary && hello.primary && hello.primary !== hello.me) {
    return `MONGODB_URI leads to a secondary alone (${address}, directConnection=true), which takes no writes: ${remedy}`
  }
  return undefined
}

/** Says why a server without a permanent fault accepts no writes at present. */
export function serverState(address: string, answer: Hello | Error | undefined, isTls: boolean): string {
  if (answer === undefined) return `${address} has not answered yet`
  if (answer instanceof Error) return `${address}: ${connectionHint(answer, isTls) ?? answer.message}`
  if (answer.isreplicaset) return uninitiated(address)
  if (answer.arbiterOnly) return `${address} is an arbiter`
  return `${address} is ${answer.secondary ? 'a secondary' : 'starting or recovering'}, and its replica set has no primary`
}

const portOf = (address: string): string => address.match(/:(\d+)$/)?.[1] ?? '27017'

const standalone = (address: string, set: string): string =>
  [
    `MONGODB_URI leads to a standalone server (${address}), which has no transactions: a replica set with at least one member is needed. To turn this server into a replica set and keep its data:`,
    `1. stop mongod, and start it again with the same options and: --replSet ${set} --setParameter transactionLifetimeLimitSeconds=10 (if access control is on, also --keyFile)`,
    `2. once: mongosh --port ${portOf(address)} --eval 'rs.initiate({ _id: "${set}", members: [{ _id: 0, host: "${address}" }] })'`,
    `3. set MONGODB_URI to mongodb://${address}/?replicaSet=${set} (with the user that it has now)`,
  ].join('\n      ')

const uninitiated = (address: string): string =>
  `MONGODB_URI leads to a server that was started for a replica set (--replSet) which is not initiated (${address}): initiate the replica set once with mongosh --port ${portOf(address)} --eval 'rs.initiate()'`

export const tooOld = (address: string, version: string): string =>
  `MONGODB_URI leads to MongoDB ${version} (${address}): version ${oldestVersion} or later is needed; upgrade it, one major version after the other`

const errorCode = (error: Error): string =>
  String((error as { code?: unknown }).code ?? (error.cause as { code?: unknown } | undefined)?.code ?? '')

/** Node.js's TLS codes for a certificate that this process does not trust. */
const isUntrustedCertificate = (error: Error): boolean =>
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_ALTNAME)/.test(errorCode(error))

/** Whether the server answered without TLS. */
const isPlaintextAnswer = ({ message }: Error): boolean =>
  /before secure TLS connection|wrong version number|packet length too long/.test(message)

export const isTlsError = (error: Error): boolean => isUntrustedCertificate(error) || isPlaintextAnswer(error)

/** @returns the probable cause of a failed connection, or undefined if the error's own message is clear enough */
function connectionHint(error: Error, isTls: boolean): string | undefined {
  const { message } = error
  if (isUntrustedCertificate(error)) {
    return `MONGODB_URI asks for TLS, and the server's certificate is not trusted (${message}): set tlsCAFile= to the authority that signed the certificate, or use a host name that the certificate contains`
  }
  if (isTls && isPlaintextAnswer(error)) {
    return `MONGODB_URI asks for TLS (tls=true), and the server seems to have TLS off (${message})`
  }
  if (!isTls && /closed/.test(message)) {
    return `${message}; if the server requires TLS, add tls=true to MONGODB_URI`
  }
  return undefined
}

const authenticationFailed = 18
/** Atlas uses one code for failed authentication and for missing privileges. */
export const atlasError = 8000

/** @returns undefined if the error says only that no server was found */
export function driverFault(error: unknown): ConnectionFault | undefined {
  if (!(error instanceof Error)) return undefined
  const { message } = error
  if (error instanceof mongoose.mongo.MongoServerError) {
    if (![authenticationFailed, atlasError].includes(Number(error.code))) return undefined
    return {
      kind: 'setup',
      message: `MONGODB_URI: MongoDB refuses the user or the password (${message}): set the user and the password of an existing account, and authSource to the database in which the account was created`,
    }
  }
  if (['open', 'read'].includes((error as NodeJS.ErrnoException).syscall ?? '')) {
    return { kind: 'permanent', message: `MONGODB_URI names a file that cannot be read: ${message}` }
  }
  if (errorCode(error).startsWith('ERR_OSSL')) {
    return {
      kind: 'permanent',
      message: `MONGODB_URI names a file with a certificate or a key that cannot be used: ${message}`,
    }
  }
  if (error instanceof mongoose.mongo.MongoCompatibilityError) {
    return { kind: 'permanent', message: `MONGODB_URI leads to a MongoDB that cannot be used: ${message}` }
  }
  return undefined
}
