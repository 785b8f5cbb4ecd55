import type { Config } from '#kernel/config/load-config.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule } from '#kernel/module.ts'
import type { ListenAddress } from '../http/listen-address.ts'
import { listenForManagement } from '../http/management-listener.ts'
import { listen } from '../http/server.ts'
import type { Composition } from './compose.ts'

// The probes and Prometheus have few connections.
const maxManagementConnections = 64
// Probes are short. A connection of Prometheus may be idle.
const managementCloseMs = 100

/** The addresses of a process: that of the API, and that of the management port if there is one. */
export function addressesOf({ host, port, managementPort }: Config): ListenAddress[] {
  if (managementPort === undefined) return [{ host, port }]
  return [
    { host, port },
    { host, port: managementPort, setting: 'MANAGEMENT_PORT' },
  ]
}

export type Listeners = Awaited<ReturnType<typeof openListeners>>

/**
 * Opens the port of the API, and then the management port if it is set, because a process whose API cannot be reached must not
 * report that it is ready. The management port has an accept queue and a thread of its own, so that a probe waits neither behind a
 * burst of new connections to the API nor for a busy event loop.
 * @throws ConfigError if the process cannot listen on a port
 */
export async function openListeners(
  { app, managementApp }: Pick<Composition, 'app' | 'managementApp'>,
  options: { config: Config; modules: readonly AnyModule[]; logger: Logger; metrics: Metrics },
) {
  const { config, modules, logger, metrics } = options
  const [address, managementAddress] = addressesOf(config)
  const api = await listen(app.fetch, { ...config, ...address, modules, logger, metrics })
  const openManagement = async () =>
    managementApp &&
    managementAddress &&
    listenForManagement(managementApp.fetch, {
      ...managementAddress,
      requestTimeoutMs: config.requestTimeoutMs,
      dataDir: config.dataDir,
      maxConnections: maxManagementConnections,
      logger,
      metrics,
    })
  const management = await openManagement().catch(async (error) => {
    await api.close(config.drain.timeoutMs)
    throw error
  })
  return {
    port: api.port,
    managementPort: management?.port,
    failed: Promise.race([api, management].flatMap((listener) => listener?.failed ?? [])),
    drain() {
      api.drain()
      management?.drain()
    },
    close: api.close,
    /** To be called last, so that a probe sees until the end that the process is draining. */
    closeManagement: async () => management?.close(managementCloseMs),
  }
}
