import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createLogger, isBrief, type Logger, operatorLog } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import type { AnyModule, BannerFact } from '#kernel/module.ts'
import { refusePortsInUse, urlOf } from '../http/listen-address.ts'
import { writePidFiles } from '../http/pid-file.ts'
import { banner, briefLogFact, stoppingMessage } from './banner.ts'
import type { Composition } from './compose.ts'
import { addressesOf, type Listeners, openListeners } from './listeners.ts'
import { openComposition } from './open-composition.ts'
import { addProcessMetrics } from './process-metrics.ts'
import { refuseArguments } from './refuse-arguments.ts'
import type { Shutdown } from './shutdown.ts'
import { startTracing } from './tracing.ts'

// The port opens when the process is ready, because a load balancer without probes sends requests to any open port.
// After this time the port opens anyway, so that the readiness probe can report what is missing.
const maxPortDelayMs = 2_000

// This part of DRAIN_TIMEOUT is kept for the end of the jobs and of the database connections.
const closeTimeoutMs = 1_000
// This part is kept for the end of the process itself.
const exitMarginMs = 300

/**
 * Runs the hosted modules until the shutdown: loads the configuration, composes, listens, and drains.
 * @param modules every module of the program
 * @returns the exit code of the process
 * @throws StartFailure
 */
export async function serve(modules: readonly AnyModule[], shutdown: Shutdown): Promise<number> {
  await run(modules, shutdown)
  return shutdown.crashed() ? 1 : 0
}

async function run(modules: readonly AnyModule[], shutdown: Shutdown): Promise<void> {
  refuseArguments()
  const config = loadConfig(process.env, modules)
  const shape = config.hosted.length === modules.length ? 'one process' : config.hosted.join(', ')
  const logOptions = { level: config.logLevel, human: !config.production && process.stdout.isTTY === true }
  const service = shape === 'one process' ? 'all' : config.hosted.join(',')
  const metrics = createMetrics()
  addProcessMetrics(metrics)
  const logger = await createLogger({ ...logOptions, service, metrics })
  shutdown.reportTo(logger)
  const tracing = await startTracing(process.env, service, logger)
  const { signal, stopped } = shutdown
  for (const misnamed of config.misnamedSettings) logger.warn(misnamed, misnamedSettingWarning(misnamed))
  // The embedded MongoDB may have to be downloaded, and a port in use should be reported before that. With another
  // MongoDB the check is left out: it opens the port for a moment, which a load balancer could take for readiness.
  if (config.mongodb.uri === undefined)
    for (const address of addressesOf(config)) await refusePortsInUse([address], config.dataDir)

  const composition = await Promise.race([
    openComposition({ modules, config, logger, metrics, tracing }, operatorLog(logger, logOptions)),
    stopped,
  ])
  // Nothing that runs so far needs an orderly shutdown, so that Ctrl-C can end a download at once.
  if ('reason' in composition) return
  void composition.mongodb.lost.then((message) => shutdown.crash('the embedded MongoDB has ended', message))
  exitAfterDrainTimeout(stopped, config, logger)
  let removePidFiles = async () => {}
  let listeners: Listeners | undefined
  let endsAtMs = performance.now() + closeTimeoutMs
  try {
    const preparing = composition.prepare(signal)
    // If `listen` fails first, its error is reported. A later failure of the preparation must not count as an unhandled
    // rejection.
    preparing.catch(() => undefined)
    await Promise.race([preparing, sleep(maxPortDelayMs)])
    listeners = await openListeners(composition, { config, modules, logger, metrics })
    void listeners.failed.then((error) => shutdown.crash('the listener failed', error))
    const { port, managementPort } = listeners
    await preparing
    // A parent process (`npm run split`, `npm run dev`, a test) prints the banner for its children.
    const isForked = process.send !== undefined
    const brief = isBrief(logOptions) && !isForked
    const printsBanner = !config.production && !isForked
    if (printsBanner) {
      removePidFiles = await writePidFiles(
        config.dataDir,
        { host: config.host, ports: [port, managementPort ?? []].flat() },
        logger,
      )
    }
    process.send?.({ port, managementPort } satisfies ReadyMessage)
    logger.info({ hosted: config.hosted, port, managementPort }, 'ready')
    const own = managementFact(config, managementPort)
    const facts = [...own, ...(await factsOf(composition, logger, stopped))]
    // The parent process may have ended in the meantime.
    if (!signal.aborted) process.send?.({ facts } satisfies FactsMessage, () => undefined)
    const mongodb = ['MongoDB', composition.mongodb.description] as const
    const all = [mongodb, ...facts, ...(brief ? [briefLogFact] : [])]
    if (printsBanner && !signal.aborted) console.log(banner(shape, urlOf({ host: config.host, port }), all))

    const { reason } = await stopped
    endsAtMs = performance.now() + config.drain.timeoutMs - exitMarginMs
    logger.info({ reason }, 'draining')
    if (brief) console.log(stoppingMessage)
    composition.drain()
    listeners.drain()
    await sleep(config.drain.delayMs)
    await listeners.close(config.drain.timeoutMs - config.drain.delayMs - closeTimeoutMs)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await removePidFiles()
    await composition.close()
    await listeners?.closeManagement()
    await tracing?.close(Math.max(0, endsAtMs - performance.now()))
  }
  logger.info('stopped')
}

const managementFact = ({ host }: Config, port: number | undefined): BannerFact[] =>
  port === undefined ? [] : [['Management', urlOf({ host, port })]]

/** Returns the lines of the modules for the banner. The process runs on without them. */
async function factsOf(
  composition: Composition,
  logger: Logger,
  stopped: Promise<unknown>,
): Promise<BannerFact[]> {
  try {
    return await Promise.race([composition.bannerFacts(), stopped.then(() => [])])
  } catch (error) {
    logger.warn({ err: error }, 'the banner is incomplete')
    return []
  }
}

/** The message to the parent process when this process is ready. */
export interface ReadyMessage {
  port: number
  managementPort?: number | undefined
}

/** The next message: lines for the banner. A process that is ready may still compute them. */
export interface FactsMessage {
  facts: readonly BannerFact[]
}

function exitAfterDrainTimeout(stopped: Promise<unknown>, { drain }: Config, logger: Logger): void {
  void stopped.then(async () => {
    await sleep(drain.timeoutMs)
    logger.error({ timeoutMs: drain.timeoutMs }, 'did not drain in time')
    process.exit(1)
  })
}
