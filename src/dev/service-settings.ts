import { randomBytes } from 'node:crypto'
import { ConfigError } from '#kernel/config/config-error.ts'
import { urlVariable } from '#kernel/config/general-settings.ts'
import type { Config } from '#kernel/config/load-config.ts'
import type { AnyModule } from '#kernel/module.ts'
import { freePort } from '../embedded/free-port.ts'
import type { ListenAddress } from '../http/listen-address.ts'

const loopback = '127.0.0.1'

/**
 * The addresses of the gateway and of the services: PORT and the ports after it. With PORT=0 only the gateway is
 * listed, because the services have no fixed ports.
 * @throws ConfigError if there are not enough ports after PORT
 */
export function addressesOf({ host, port }: Config, services: number): ListenAddress[] {
  const last = 65_535 - services
  if (port > last)
    throw new ConfigError([
      `PORT must be ${last} or less: the services listen on the ${services} ports after it`,
    ])
  if (port === 0) return [{ host, port }]
  return [
    { host, port },
    ...Array.from({ length: services }, (_, at) => ({ host: loopback, port: port + 1 + at })),
  ]
}

/** The port of each service, by the name of its module. */
export async function servicePorts(
  { port }: Config,
  modules: readonly AnyModule[],
): Promise<ReadonlyMap<string, number>> {
  const ports = new Map<string, number>()
  for (const [at, { name }] of modules.entries()) {
    ports.set(name, port === 0 ? await freePort() : port + 1 + at)
  }
  return ports
}

export const urlsOf = (ports: ReadonlyMap<string, number>): Record<string, string> =>
  Object.fromEntries([...ports].map(([name, port]) => [name, `http://${loopback}:${port}`]))

/** The environment of every service: the environment of this process, with the settings that the services share. */
export function serviceEnvironment(
  config: Config,
  { mongodbUri, urls }: { mongodbUri: string; urls: Readonly<Record<string, string>> },
): NodeJS.ProcessEnv {
  const settings: Record<string, string> = {
    HOST: loopback,
    // The services would share the operator's port.
    MANAGEMENT_PORT: '',
    MONGODB_URI: mongodbUri,
    INTERNAL_SECRET: config.internalSecrets?.join(',') ?? randomBytes(32).toString('base64url'),
    DEMO: String(config.demo),
    DATA_DIR: config.dataDir,
    // The gateway applies the operator's TRUSTED_PROXIES. Each service trusts only the gateway.
    TRUSTED_PROXIES: loopback,
    // The gateway handles CORS for all services.
    CORS_ORIGINS: '',
    ...Object.fromEntries(Object.entries(urls).map(([name, url]) => [urlVariable(name), url])),
  }
  // An empty `_FILE` variable keeps the service from reading the operator's file in addition to the value above.
  const files = Object.keys(settings).map((variable) => [`${variable}_FILE`, ''])
  // These variables are emptied, because this process has already logged the warnings about them.
  const misnamed = config.misnamedSettings.map(({ variable }) => [variable, ''])
  return { ...process.env, ...Object.fromEntries([...misnamed, ...files]), ...settings }
}
