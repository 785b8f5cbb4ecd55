import { createServer, isIP } from 'node:net'
import { ConfigError } from '#kernel/config/config-error.ts'
import { reasonOf, type SystemError } from '#kernel/system-error.ts'
import { findListeningProcess } from './pid-file.ts'

export interface ListenAddress {
  port: number
  host: string
  /** The setting with the port. The default is PORT. */
  setting?: 'PORT' | 'MANAGEMENT_PORT'
}

const unspecifiedAddresses = ['0.0.0.0', '::']

/** The URL at which this machine reaches the process. */
export function urlOf({ host, port }: ListenAddress): string {
  if (unspecifiedAddresses.includes(host)) return `http://localhost:${port}`
  // A zone is written with its percent sign encoded (RFC 6874).
  return `http://${isIP(host) === 6 ? `[${host.replace('%', '%25')}]` : host}:${port}`
}

/** Explains a system error of `listen` in terms of the settings. */
export async function listenFault(
  error: SystemError,
  { host, port, setting = 'PORT' }: ListenAddress,
  dataDir: string | undefined,
): Promise<string> {
  switch (error.code) {
    case 'EADDRINUSE':
      return `${setting} ${port} is in use by ${await describeListeningProgram({ host, port }, dataDir)}: set another port`
    case 'EACCES':
      return `${setting} ${port} is reserved for privileged users: set 1024 or more`
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return `HOST ${host} is not an address of this machine: set 0.0.0.0 to listen on all its addresses`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
    case 'EAI_NODATA':
      return `HOST ${host} is not a name that this machine can resolve (${error.code}): set 0.0.0.0 to listen on all its addresses`
    default:
      return `HOST ${host} and ${setting} ${port}: the process cannot listen there: ${reasonOf(error)}`
  }
}

async function describeListeningProgram(
  address: ListenAddress,
  dataDir: string | undefined,
): Promise<string> {
  const pid = dataDir === undefined ? undefined : await findListeningProcess(dataDir, address)
  return pid === undefined ? 'another program' : `Trivet, which already runs here (process id ${pid})`
}

/**
 * Checks that the process can listen on these addresses now.
 * @param addresses one address, or several with consecutive ports that start at PORT
 * @throws ConfigError that names each port in use and the program that uses it
 */
export async function refusePortsInUse(addresses: readonly ListenAddress[], dataDir: string): Promise<void> {
  const attempts = await Promise.all(
    addresses.map(async (address) => ({ address, error: await tryListening(address) })),
  )
  const faults: string[] = []
  const portsByProgram = new Map<string, number[]>()
  for (const { address, error } of attempts) {
    if (error?.code === 'EADDRINUSE' && addresses.length > 1) {
      const program = await describeListeningProgram(address, dataDir)
      portsByProgram.set(program, [...(portsByProgram.get(program) ?? []), address.port])
    } else if (error) faults.push(await listenFault(error, address, dataDir))
  }
  const taken = [...portsByProgram].map(([program, ports]) => `${ports.join(', ')} by ${program}`)
  if (taken.length > 0)
    faults.push(
      `PORT ${addresses[0]?.port} is the first of ${addresses.length} consecutive ports that are needed, and some are in use: ${taken.join('; ')}. End what uses them, or set PORT to the first of ${addresses.length} free consecutive ports`,
    )
  if (faults.length > 0) throw new ConfigError(faults)
}

/** Listens on the address for a moment. Returns the error if that fails. */
const tryListening = ({ host, port }: ListenAddress): Promise<SystemError | undefined> =>
  new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: SystemError) => resolve(error))
    server.listen(port, host, () => server.close(() => resolve(undefined)))
  })
