import type { AuditedModule } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { Command } from '#kernel/command.ts'
import type { Config } from '#kernel/config/load-config.ts'
import { startJobs } from '#kernel/jobs.ts'
import type { Logger } from '#kernel/logger.ts'
import type { AnyModule, StartedModule } from '#kernel/module.ts'
import { createMongo } from '#kernel/mongo/connection.ts'
import { migrate, refuseNewerData } from '#kernel/mongo/migrations.ts'
import { createHttpClient } from '#kernel/ports/http-client.ts'
import type { Port } from '#kernel/ports/port.ts'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { createApplication } from '../http/application.ts'
import { joinProblems } from '../http/join-problems.ts'
import { createReadiness } from './readiness.ts'

// The time for a module to create its accounts and demo data, from when it has the lock.
const prepareTimeoutMs = 30_000

// There everything starts at once, and MongoDB gets its members and accounts while the services wait for it:
// for as long as deploy/mongodb/initiate.js takes at most.
const setUpTimeoutMs = 300_000

export interface Composition {
  app: ReturnType<typeof createApplication>
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
  /** A monotonic clock, in milliseconds: how long the database has been away. */
  now?: () => number
}): Promise<Composition> {
  const { config, modules, logger, wrapPort = (_port, implementation) => implementation, now } = options
  const mongo = createMongo({
    ...config.mongodb,
    requestTimeoutMs: config.requestTimeoutMs,
    logger,
    ...(config.production && { setupTimeoutMs: setUpTimeoutMs }),
  })
  const credential = config.internalSecrets && createCredentialIssuer(config.internalSecrets[0])
  const problems = joinProblems(modules)
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
    return needed.connect(createHttpClient({ target: port.name, url, credential, problems, logger }))
  }

  for (const module of modules) {
    if (config.hosted.includes(module.name)) await start(module)
  }

  const readiness = createReadiness({ hosted: config.hosted, mongo, logger, ...(now && { now }) })
  let jobs: ReturnType<typeof startJobs> | undefined
  const hostedModules = modules.filter(({ name }) => hosted.has(name))

  const migrateAll = async (signal: AbortSignal, prepareModule: (name: string) => Promise<string[]>) => {
    await mongo.verifyWriteAccess(hostedModules.map(({ name }) => name))
    // All of them, before anything is changed in one of them.
    await refuseNewerData(mongo, hostedModules)
    const lines: string[] = []
    for (const { name, migrations } of hostedModules) {
      lines.push(...(await migrate(mongo, name, migrations, () => prepareModule(name), logger, signal)))
      readiness.done(`migrations of ${name}`)
    }
    return lines
  }

  return {
    app: createApplication({ config, modules, hosted, problems, readiness, logger }),

    audits: modules.flatMap(({ name }) => {
      const audit = hosted.get(name)?.audit
      const neededBy = modules.filter(({ needs }) => name in needs).map((other) => other.name)
      return audit ? [{ module: name, neededBy, audit }] : []
    }),

    commands: [...hosted.values()].flatMap((module) => module.commands ?? []),

    connect: (signal) => mongo.connect(signal, () => refuseNewerData(mongo, hostedModules)),

    async migrate(signal) {
      await mongo.connect(signal, () => migrateAll(signal, async () => []))
    },

    async prepare(signal) {
      const lines = await mongo.connect(signal, () => {
        for (const name of config.hosted) readiness.done(`database of ${name}`)
        return migrateAll(
          signal,
          async (name) => (await hosted.get(name)?.prepare?.(createCall(prepareTimeoutMs, 'boot'))) ?? [],
        )
      })
      jobs = startJobs(
        [...hosted.values()].flatMap((module) => module.jobs ?? []),
        logger,
      )
      return lines
    },

    drain() {
      readiness.drain()
      void jobs?.stop()
    },

    async close() {
      readiness.drain()
      await jobs?.stop()
      await mongo.close()
    },
  }
}
