import type { AuditedModule } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { CommandInput, CommandResult } from '#kernel/command.ts'
import type { Config } from '#kernel/config/load-config.ts'
import { startJobs } from '#kernel/jobs.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule, BannerFact, StartedModule } from '#kernel/module.ts'
import { createMongo, type Mongo } from '#kernel/mongo/connection.ts'
import { migrate, refuseNewerData } from '#kernel/mongo/migrations.ts'
import type { Tracing } from '#kernel/span.ts'
import { createApplication } from '../http/application.ts'
import { joinProblems } from '../http/join-problems.ts'
import { createManagementApplication } from '../http/management-application.ts'
import { createReadiness, type ProcessReadiness } from './readiness.ts'
import { startModules, type WrapPort } from './start-modules.ts'

// The time that a module has to prepare its accounts and demo data, once it has the lease of its database.
const prepareTimeoutMs = 30_000

// In production the services may start before MongoDB has its members and accounts. They wait for
// deploy/mongodb/initiate.js, which creates these within this time.
const productionSetupTimeoutMs = 300_000

const bootCall = () => createCall(prepareTimeoutMs, 'boot')

export interface Composition {
  app: ReturnType<typeof createApplication>
  /** The application of the management port, if there is one. */
  managementApp: ReturnType<typeof createManagementApplication> | undefined
  /** The audits of the hosted modules. They need a connection. */
  audits: readonly AuditedModule[]
  /** Runs an `npm run admin` command of a hosted module. It needs a migrated database. */
  runCommand(name: string, input: CommandInput): Promise<CommandResult>
  /** Waits for the database, with growing delays between attempts, until the signal is aborted. */
  connect(signal: AbortSignal): Promise<void>
  /** Connects, and migrates the databases of the hosted modules. A command needs no more than this. */
  migrate(signal: AbortSignal): Promise<void>
  /** Connects, migrates, prepares the modules, and starts their jobs. Afterwards the process is ready. */
  prepare(signal: AbortSignal): Promise<void>
  /** Returns what the operator should see. */
  bannerFacts(): Promise<BannerFact[]>
  /** Ends readiness and starts no more jobs. Requests are still answered. */
  drain(): void
  close(): Promise<void>
}

/**
 * Starts the modules that this process hosts (the setting `SERVICE`) and builds the application around them. Nothing connects
 * to the database yet.
 */
export async function compose(options: {
  config: Config & { mongodb: { uri: string } }
  modules: readonly AnyModule[]
  logger: Logger
  metrics: Metrics
  /** Traces requests and jobs, if given. */
  tracing?: Tracing | undefined
  /** Tests use it to check that a local port carries only data that HTTP could carry too. */
  wrapPort?: WrapPort
  /** A monotonic clock in milliseconds, for readiness. */
  now?: () => number
}): Promise<Composition> {
  const { config, modules, logger, metrics, tracing, now } = options
  const { wrapPort = (_port, implementation) => implementation } = options
  const mongo = createMongo({
    ...config.mongodb,
    requestTimeoutMs: config.requestTimeoutMs,
    logger,
    metrics,
    ...(config.production && { setupTimeoutMs: productionSetupTimeoutMs }),
  })
  const problems = joinProblems(modules)
  const closing = new AbortController()
  const { signal } = closing
  const { hosted, neighbours } = await startModules({ ...options, mongo, problems, wrapPort, signal })
  const hostedModules = modules.filter(({ name }) => hosted.has(name))
  const readiness = createReadiness({ hosted: config.hosted, mongo, neighbours, logger, ...(now && { now }) })
  let jobs: ReturnType<typeof startJobs> | undefined

  const migrateAll = (signal: AbortSignal, prepare: (name: string) => Promise<void>) =>
    migrateModules({ mongo, modules: hostedModules, prepare, readiness, logger, signal })
  const prepareModule = async (name: string) => hosted.get(name)?.prepare?.(bootCall())

  return {
    app: createApplication({ config, modules, hosted, problems, readiness, logger, metrics, tracing }),

    managementApp:
      config.managementPort === undefined
        ? undefined
        : createManagementApplication({ ...config, readiness, logger, metrics }),

    audits: auditsOf(modules, hosted),

    runCommand: (name, input) => runCommand(hostedModules, hosted, name, input),

    connect: (signal) => mongo.connect(signal, () => refuseNewerData(mongo, hostedModules)),

    async migrate(signal) {
      await mongo.connect(signal, () => migrateAll(signal, async () => undefined))
    },

    async prepare(signal) {
      await mongo.connect(signal, () => {
        for (const name of config.hosted) readiness.done(`database of ${name}`)
        return migrateAll(signal, prepareModule)
      })
      jobs = startJobs(
        [...hosted.values()].flatMap((module) => module.jobs ?? []),
        logger,
        metrics,
        tracing,
      )
    },

    bannerFacts: () => bannerFactsOf(hosted),

    drain() {
      readiness.drain()
      void jobs?.stop()
    },

    async close() {
      closing.abort()
      readiness.drain()
      await jobs?.stop()
      await mongo.close()
    },
  }
}

async function bannerFactsOf(hosted: ReadonlyMap<string, StartedModule>): Promise<BannerFact[]> {
  const facts = [...hosted.values()].map((module) => module.bannerFacts?.(bootCall()))
  return (await Promise.all(facts)).flatMap((found) => found ?? [])
}

async function runCommand(
  modules: readonly AnyModule[],
  hosted: ReadonlyMap<string, StartedModule>,
  name: string,
  input: CommandInput,
): Promise<CommandResult> {
  for (const module of modules) {
    const command = module.commands?.find((candidate) => candidate.name === name)
    if (command) return command.run(hosted.get(module.name)?.operations, input)
  }
  throw new Error(`no hosted module has the command ${name}`)
}

async function migrateModules(options: {
  mongo: Mongo
  modules: readonly AnyModule[]
  prepare: (name: string) => Promise<void>
  readiness: ProcessReadiness
  logger: Logger
  signal: AbortSignal
}): Promise<void> {
  const { mongo, modules, prepare, readiness, logger, signal } = options
  await mongo.verifyWriteAccess(modules.map(({ name }) => name))
  // Every database is checked before the first one is changed.
  await refuseNewerData(mongo, modules)
  for (const { name, migrations } of modules) {
    await migrate(mongo, name, migrations, () => prepare(name), logger, signal)
    readiness.done(`migrations of ${name}`)
  }
}

const auditsOf = (
  modules: readonly AnyModule[],
  hosted: ReadonlyMap<string, StartedModule>,
): AuditedModule[] =>
  modules.flatMap(({ name }) => {
    const audit = hosted.get(name)?.audit
    const neededBy = modules.filter(({ needs }) => name in needs).map((other) => other.name)
    return audit ? [{ module: name, neededBy, audit }] : []
  })
