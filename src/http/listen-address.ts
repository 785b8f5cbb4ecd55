import { createServer, isIP } from 'node:net'
import { ConfigError } from '#kernel/config/config-error.ts'
import { reasonOf, type SystemError } from '#kernel/system-error.ts'
import { processListening } from './listening-note.ts'

export interface ListenAddress {
  port: number
  host: string
}

const everyAddress = ['0.0.0.0', '::']

/** Where the process answers to requests of this machine. */
export function urlOf({ host, port }: ListenAddress): string {
  if (everyAddress.includes(host)) return `http://localhost:${port}`
  // A zone is written with its percent sign encoded (RFC 6874).
  return `http://${isIP(host) === 6 ? `[${host.replace('%', '%25')}]` : host}:${port}`
}

/** What a system error of `listen` says of HOST or PORT. */
export async function listenFault(
  error: SystemError,
  { host, port }: ListenAddress,
  dataDir: string | undefined,
): Promise<string> {
  switch (error.code) {
    case 'EADDRINUSE':
      return `PORT ${port} is in use by ${await userOf({ host, port }, dataDir)}: set another one`
    case 'EACCES':
      return `PORT ${port} is not open to this user: set one of 1024 or more`
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return `HOST ${host} is not an address of this machine: 0.0.0.0 listens on all that it has`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
    case 'EAI_NODATA':
      return `HOST ${host} is not a name that this machine can resolve (${error.code}): 0.0.0.0 listens on all its addresses`
    default:
      return `HOST ${host} and PORT ${port}: the process cannot listen there: ${reasonOf(error)}`
  }
}

async function userOf(address: ListenAddress, dataDir: string | undefined): Promise<string> {
  const pid = dataDir === undefined ? undefined : await processListening(dataDir, address)
  return pid === undefined ? 'another program' : `Trivet, which already runs here (process id ${pid})`
}

/**
 * @param addresses one, or several with ports in a row from PORT on
 * @throws ConfigError that names each of them that cannot be listened on now, and what has it
 */
export async function refuseTaken(addresses: readonly ListenAddress[], dataDir: string): Promise<void> {
  const attempts = await Promise.all(
    addresses.map(async (address) => ({ address, error: await attempt(address) })),
  )
  const faults: string[] = []
  const portsByUser = new Map<string, number[]>()
  for (const { address, error } of attempts) {
    if (error?.code === 'EADDRINUSE' && addresses.length > 1) {
      const user = await userOf(address, dataDir)
      portsByUser.set(user, [...(portsByUser.get(user) ?? []), address.port])
    } else if (error) faults.push(await listenFault(error, address, dataDir))
  }
  const taken = [...portsByUser].map(([user, ports]) => `${ports.join(', ')} by ${user}`)
  if (taken.length > 0)
    faults.push(
      `PORT ${addresses[0]?.port}: ${addresses.length} ports from there on are needed, and some are in use: ${taken.join('; ')}. Set the first of ${addresses.length} free ports in a row`,
    )
  if (faults.length > 0) throw new ConfigError(faults)
}

/** Listens for a moment. */
const attempt = ({ host, port }: ListenAddress): Promise<SystemError | undefined> =>
  new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: SystemError) => resolve(error))
    server.listen(port, host, () => server.close(() => resolve(undefined)))
  })
