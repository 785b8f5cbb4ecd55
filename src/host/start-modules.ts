import type { Neighbour } from '#kernel/circuit-breaker.ts'
import type { Config } from '#kernel/config/load-config.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule, StartedModule } from '#kernel/module.ts'
import type { Mongo } from '#kernel/mongo/connection.ts'
import { createHttpClient } from '#kernel/ports/http-client.ts'
import { type Offer, type Port, tracedPort } from '#kernel/ports/port.ts'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import type { Tracing } from '#kernel/span.ts'
import type { joinProblems } from '../http/join-problems.ts'

/** Wraps the implementation of a port that modules of this process call. */
export type WrapPort = (port: Port<object>, implementation: object) => object

/**
 * Starts the hosted modules, each after the modules that it needs. A need is resolved to the local port if its module is
 * hosted here, and to an HTTP client otherwise. `loadConfig` has checked that one of the two is possible.
 * @returns the started modules by name, and the services that they call
 * @throws Error if modules need each other in a circle
 */
export async function startModules(options: {
  modules: readonly AnyModule[]
  config: Config
  mongo: Mongo
  problems: ReturnType<typeof joinProblems>
  logger: Logger
  metrics: Metrics
  tracing?: Tracing | undefined
  wrapPort: WrapPort
  /** Ends the probes of other services. */
  signal: AbortSignal
}): Promise<{ hosted: ReadonlyMap<string, StartedModule>; neighbours: readonly Neighbour[] }> {
  const { modules, config, mongo, problems, logger, metrics, tracing, wrapPort, signal } = options
  const credential = config.internalSecrets && createCredentialIssuer(config.internalSecrets[0])
  const hosted = new Map<string, StartedModule>()
  const neighbours: Neighbour[] = []
  const starting = new Set<string>()

  const start = async (module: AnyModule): Promise<StartedModule> => {
    const running = hosted.get(module.name)
    if (running) return running
    if (starting.has(module.name))
      throw new Error(`${module.name} needs itself: the modules that it needs form a circle`)
    starting.add(module.name)
    const needs: Record<string, unknown> = {}
    const refusals: Record<string, Offer<unknown>['refusal']> = {}
    for (const [name, port] of Object.entries(module.needs)) {
      const offer = await resolve(module, port)
      needs[name] = offer.port
      refusals[name] = offer.refusal
    }
    const started = await module.start({
      database: mongo.database(module.name),
      needs,
      refusals,
      settings: config.settings[module.name],
      config,
      logger: logger.child({ module: module.name }),
      metrics,
    })
    hosted.set(module.name, started)
    return started
  }

  const resolve = async (module: AnyModule, port: Port<unknown>): Promise<Offer<unknown>> => {
    const needed = modules.find((candidate) => candidate.name === port.name)
    if (needed && config.hosted.includes(port.name)) {
      const { port: implementation, refusal = () => undefined } = await start(needed)
      const wrapped = wrapPort(port as Port<object>, implementation as object)
      return { port: tracing ? tracedPort(port as Port<object>, wrapped) : wrapped, refusal }
    }
    const url = config.urls[port.name]
    if (!needed?.connect || url === undefined)
      throw new Error(`${module.name} needs ${port.name}, which no module offers`)
    const http = createHttpClient({ target: port.name, url, credential, problems, logger, metrics, signal })
    neighbours.push(http)
    return needed.connect(http)
  }

  for (const module of modules) {
    if (config.hosted.includes(module.name)) await start(module)
  }
  return { hosted, neighbours }
}
