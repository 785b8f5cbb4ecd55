import { type Config, loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createLogger, isBrief, type Logger, operatorLog } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import type { AnyModule } from '#kernel/module.ts'
import { createMongo } from '#kernel/mongo/connection.ts'
import { refuseNewerData } from '#kernel/mongo/migrations.ts'
import type { Tracing } from '#kernel/span.ts'
import { banner, briefLogFact, stoppingMessage } from '../host/banner.ts'
import { type OpenMongodb, openMongodb } from '../host/database.ts'
import { refuseArguments } from '../host/refuse-arguments.ts'
import { createShutdown, type Shutdown } from '../host/shutdown.ts'
import { startTracing } from '../host/tracing.ts'
import { refusePortsInUse, urlOf } from '../http/listen-address.ts'
import { writePidFiles } from '../http/pid-file.ts'
import { listen } from '../http/server.ts'
import { createGateway } from './gateway.ts'
import { startProgram } from './program-process.ts'
import { type Service, startService } from './service.ts'
import { addressesOf, serviceEnvironment, servicePorts, urlsOf } from './service-settings.ts'

// The gateway's timeout is longer than a service's by this time, because a service answers 503 by itself at its
// timeout.
const gatewayExtraTimeoutMs = 500

// The services have ended by then, so that this time adds to DRAIN_TIMEOUT.
const flushTimeoutMs = 1_000

/**
 * Runs the split shape until the shutdown: one service per module, and the gateway. A service that exits is started
 * again, as in Kubernetes.
 * @param program the main file of a service
 * @returns the exit code of the process
 * @throws StartFailure
 */
export async function runSplit(modules: readonly AnyModule[], program: URL): Promise<number> {
  refuseArguments()
  const config = loadConfig({ ...process.env, SERVICE: 'all' }, modules)
  const logOptions = { level: config.logLevel, human: !config.production && process.stdout.isTTY === true }
  const logger = await createLogger({ ...logOptions, service: 'gateway' })
  const tracing = await startTracing(process.env, 'gateway', logger)
  for (const misnamed of config.misnamedSettings) logger.warn(misnamed, misnamedSettingWarning(misnamed))
  if (config.managementPort !== undefined)
    logger.warn('npm run split ignores MANAGEMENT_PORT: each service answers /metrics on its own port')
  await refusePortsInUse(addressesOf(config, modules.length), config.dataDir)
  const mongodb = await openMongodb(config, operatorLog(logger, logOptions))
  const shutdown = createShutdown()
  shutdown.reportTo(logger)
  void mongodb.lost.then((message) => shutdown.crash('the embedded MongoDB has ended', message))
  try {
    if (config.mongodb.uri !== undefined) {
      const checked = requireUsableMongodb(config, mongodb.uri, modules, logger, shutdown.signal)
      await Promise.race([checked, shutdown.stopped])
    }
    if (!shutdown.signal.aborted)
      await runServices({
        modules,
        program,
        config,
        mongodb,
        shutdown,
        logger,
        tracing,
        brief: isBrief(logOptions),
      })
  } finally {
    await tracing?.close(flushTimeoutMs)
    await mongodb.close()
    logger.info('stopped')
  }
  return shutdown.crashed() ? 1 : 0
}

async function runServices(options: {
  modules: readonly AnyModule[]
  program: URL
  config: Config
  mongodb: OpenMongodb
  shutdown: Shutdown
  logger: Logger
  tracing: Tracing | undefined
  brief: boolean
}): Promise<void> {
  const { modules, program, config, mongodb, shutdown, logger, tracing, brief } = options
  const { host, drain, dataDir } = config
  const ports = await servicePorts(config, modules)
  const urls = urlsOf(ports)
  const environment = serviceEnvironment(config, { mongodbUri: mongodb.uri, urls })
  const services = [...ports].map(([name, port]) => {
    const env = { ...environment, SERVICE: name, PORT: String(port) }
    return startService(name, () => startProgram(program, env, drain.timeoutMs), logger)
  })
  let removePidFiles = async () => {}
  try {
    const ready = await Promise.race([Promise.all(services.map((each) => each.ready)), shutdown.stopped])
    if ('reason' in ready) return
    const listener = await listenAsGateway({ modules, urls, config, logger, tracing })
    void listener.failed.then((error) => shutdown.crash('the listener failed', error))
    if (process.send) {
      const pids = Object.fromEntries(services.map(({ name, pid }) => [name, pid()]))
      process.send({ port: listener.port, pids })
    } else {
      removePidFiles = await writePidFiles(
        dataDir,
        { host, ports: [listener.port, ...ports.values()] },
        logger,
      )
      const log = brief ? [briefLogFact] : []
      const mongodbFact = ['MongoDB', mongodb.description] as const
      const all = [mongodbFact, ...services.map((each) => factOf(each, ports)), ...ready.flat(), ...log]
      console.log(banner('split', urlOf({ host, port: listener.port }), all))
    }
    const { reason } = await shutdown.stopped
    logger.info({ reason }, 'draining')
    if (brief && !process.send) console.log(stoppingMessage)
    await listener.close(drain.timeoutMs)
  } finally {
    await removePidFiles()
    await Promise.all(services.map((service) => service.stop()))
  }
}

function listenAsGateway(options: {
  modules: readonly AnyModule[]
  urls: Readonly<Record<string, string>>
  config: Config
  logger: Logger
  tracing: Tracing | undefined
}) {
  const { modules, config, logger } = options
  const gateway = createGateway({
    ...options,
    timeoutMs: config.requestTimeoutMs + gatewayExtraTimeoutMs,
    trustedProxies: config.trustedProxies,
    corsOrigins: config.corsOrigins,
  })
  return listen(gateway.fetch, { ...config, modules, logger })
}

const factOf = ({ name, pid }: Service, ports: ReadonlyMap<string, number>) =>
  [name, `http://localhost:${ports.get(name)}   (process ${pid()})`] as const

/**
 * Checks MongoDB once, because otherwise each service would report the same fault.
 * @throws ConfigError
 */
async function requireUsableMongodb(
  config: Config,
  uri: string,
  modules: readonly AnyModule[],
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { mongodb, requestTimeoutMs } = config
  const mongo = createMongo({ ...mongodb, uri, requestTimeoutMs, logger, metrics: createMetrics() })
  try {
    await mongo.connect(signal, async () => {
      await mongo.verifyWriteAccess(modules.map(({ name }) => name))
      await refuseNewerData(mongo, modules)
    })
  } finally {
    await mongo.close()
  }
}
