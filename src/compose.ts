import { createApp } from './app.ts'
import type { AuditedModule } from './kernel/audit.ts'
import { callWithin } from './kernel/call.ts'
import type { Command } from './kernel/command.ts'
import type { Config } from './kernel/config.ts'
import { createHttpClient } from './kernel/http-client.ts'
import { startJobs } from './kernel/jobs.ts'
import type { Logger } from './kernel/logger.ts'
import { migrate } from './kernel/migrations.ts'
import type { AnyModule, StartedModule } from './kernel/module.ts'
import { createMongo } from './kernel/mongo.ts'
import type { Port } from './kernel/port.ts'
import { createCredentialIssuer } from './kernel/service-credential.ts'

// Milliseconds for a module to see to its accounts and demo data, once it has the lock.
const prepareWithin = 30_000

export interface Composition {
  app: ReturnType<typeof createApp>
  /** The audits of the hosted modules. They need a connection, and nothing else. */
  audits: readonly AuditedModule[]
  /** What operators may have the hosted modules do. They need the migrations, and nothing else. */
  commands: readonly Command[]
  /** Waits for the database with backoff, until the signal ends it. */
  connect(signal: AbortSignal): Promise<void>
  /** Brings the hosted modules' databases up to date, once connected: where there has been no process yet. */
  migrate(signal: AbortSignal): Promise<void>
  /**
   * Connects, migrates, prepares, and starts the modules' jobs: from then on the process is ready.
   * @returns lines that the person who started the process should see
   */
  prepare(signal: AbortSignal): Promise<string[]>
  /** From now on not ready, and nothing is begun unasked; requests are still answered. */
  drain(): void
  close(): Promise<void>
}

/**
 * Starts the hosted modules, each need resolved once: the local port when its module is hosted here, the HTTP client
 * otherwise. `loadConfig` has made sure that there is one or the other.
 */
export async function compose(options: {
  config: Config & { mongodb: { uri: string } }
  modules: readonly AnyModule[]
  logger: Logger
  /** What every local port is wrapped in. Tests check there that nothing crosses but what HTTP would carry. */
  wrapPort?: (port: Port<object>, implementation: object) => object
}): Promise<Composition> {
  const { config, modules, logger, wrapPort = (_port, implementation) => implementation } = options
  const mongo = createMongo({ ...config.mongodb, requestTimeout: config.requestTimeout, logger })
  const databases = config.hosted.map((name) => mongo.database(name))
  const credential = config.internalSecrets && createCredentialIssuer(config.internalSecrets[0])
  const hosted = new Map<string, StartedModule>()
  const starting = new Set<string>()

  const start = async (module: AnyModule): Promise<StartedModule> => {
    const running = hosted.get(module.name)
    if (running) return running
    if (starting.has(module.name)) throw new Error(`${module.name} needs itself, by way of its needs`)
    starting.add(module.name)
    const needs: Record<string, unknown> = {}
    for (const [name, port] of Object.entries(module.needs)) needs[name] = await resolve(module, port)
    const started = await module.start({
      database: mongo.database(module.name),
      needs,
      settings: config.settings[module.name],
      config,
      logger: logger.child({ module: module.name }),
    })
    hosted.set(module.name, started)
    return started
  }

  const resolve = async (module: AnyModule, port: Port<unknown>): Promise<unknown> => {
    const needed = modules.find((candidate) => candidate.name === port.name)
    if (needed && config.hosted.includes(port.name)) {
      const { port: implementation } = await start(needed)
      return wrapPort(port as Port<object>, implementation as object)
    }
    const url = config.urls[port.name]
    if (!needed?.connect || url === undefined)
      throw new Error(`${module.name} needs ${port.name}: nothing offers it`)
    return needed.connect(createHttpClient({ target: port.name, url, credential, logger }))
  }

  for (const module of modules) {
    if (config.hosted.includes(module.name)) await start(module)
  }

  const missing = new Set(config.hosted.flatMap((name) => [`database of ${name}`, `migrations of ${name}`]))
  let draining = false
  let jobs: ReturnType<typeof startJobs> | undefined
  const readiness = {
    started: () => ({ missing: [...missing] }),
    async ready() {
      const gone = draining ? ['draining'] : [...missing]
      if (gone.length > 0) return { missing: gone }
      const answers = await Promise.allSettled(databases.map((database) => database.ping()))
      return {
        missing: config.hosted
          .filter((_, at) => answers[at]?.status === 'rejected')
          .map((name) => `database of ${name}`),
      }
    },
  }

  return {
    app: createApp({ config, modules, hosted, readiness, logger }),

    audits: modules.flatMap(({ name }) => {
      const audit = hosted.get(name)?.audit
      const neededBy = modules.filter(({ needs }) => name in needs).map((other) => other.name)
      return audit ? [{ module: name, neededBy, audit }] : []
    }),

    commands: [...hosted.values()].flatMap((module) => module.commands ?? []),

    connect: (signal) => mongo.connect(signal),

    async migrate(signal) {
      for (const { name, migrations } of modules) {
        if (hosted.has(name)) await migrate(mongo, name, migrations, async () => undefined, logger, signal)
      }
    },

    async prepare(signal) {
      await mongo.connect(signal)
      for (const name of config.hosted) missing.delete(`database of ${name}`)
      const lines: string[] = []
      for (const module of modules) {
        const started = hosted.get(module.name)
        if (!started) continue
        const prepareModule = async () => (await started.prepare?.(callWithin(prepareWithin, 'boot'))) ?? []
        lines.push(...(await migrate(mongo, module.name, module.migrations, prepareModule, logger, signal)))
        missing.delete(`migrations of ${module.name}`)
      }
      jobs = startJobs(
        [...hosted.values()].flatMap((module) => module.jobs ?? []),
        logger,
      )
      return lines
    },

    drain() {
      draining = true
      void jobs?.stop()
    },

    async close() {
      await jobs?.stop()
      await mongo.close()
    },
  }
}
