import { setTimeout as sleep } from 'node:timers/promises'
import { loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createLogger, isBrief } from '#kernel/logger.ts'
import { refuseTaken, urlOf } from '../http/listen-address.ts'
import { noteListening } from '../http/listening-note.ts'
import { listen } from '../http/server.ts'
import { registry } from '../registry.ts'
import { banner, briefLog, stopping } from './banner.ts'
import { openComposition } from './open-composition.ts'
import { refuseArguments } from './refuse-arguments.ts'
import type { Shutdown } from './shutdown.ts'

// What balances without probing sends as soon as the port is open: it opens when the process is ready. Not later than
// this, since those that probe want to hear what is missing.
const portOpensAfterMs = 2_000

// Of DRAIN_TIMEOUT, what is kept for the end of jobs and of the database's connections.
const closeTimeoutMs = 1_000

/**
 * What a process does: config, compose, listen, drain on SIGTERM; nothing else.
 * @returns its exit code
 * @throws StartFailure
 */
export async function serve(shutdown: Shutdown): Promise<number> {
  await run(shutdown)
  return shutdown.crashed() ? 1 : 0
}

async function run(shutdown: Shutdown): Promise<void> {
  refuseArguments()
  const config = loadConfig(process.env, registry)
  const all = config.hosted.length === registry.length
  const shown = { level: config.logLevel, human: !config.production && process.stdout.isTTY === true }
  const logger = await createLogger({
    ...shown,
    service: all ? 'all' : config.hosted.join(','),
  })
  shutdown.reportTo(logger)
  const { signal, stopped } = shutdown
  for (const misnamed of config.misnamedSettings) logger.warn(misnamed, misnamedSettingWarning(misnamed))
  // Where the embedded MongoDB may have to be fetched first. Elsewhere a balancer could take this for the open port.
  if (config.mongodb.uri === undefined) await refuseTaken([config], config.dataDir)

  const composition = await Promise.race([
    openComposition(config, logger, (line) => console.log(line)),
    stopped,
  ])
  // There is nothing yet to end in order: Ctrl-C ends a download at once.
  if ('reason' in composition) return
  void composition.lost.then((message) => shutdown.crash('the embedded MongoDB has ended', message))
  void stopped.then(async () => {
    await sleep(config.drain.timeoutMs)
    logger.error({ timeoutMs: config.drain.timeoutMs }, 'did not drain in time')
    process.exit(1)
  })
  let forget = async () => {}
  try {
    const preparing = composition.prepare(signal)
    // It goes on when the process cannot listen; its failure is then not what is reported.
    preparing.catch(() => undefined)
    await Promise.race([preparing, sleep(portOpensAfterMs)])
    const listener = await listen(composition.app.fetch, config)
    void listener.failed.then((error) => shutdown.crash('the listener failed', error))
    const lines = await preparing
    // Only a process that was started by hand prints the short form: a parent process prints for its children.
    const brief = isBrief(shown) && !process.send
    // A parent (`npm run split`, tests) learns that its child is ready, and where.
    process.send?.({ port: listener.port, lines })
    if (!config.production && !process.send) {
      const { host, dataDir } = config
      const { port } = listener
      forget = await noteListening(dataDir, { host, ports: [port] }, logger)
      const facts = [`MongoDB    ${composition.mongodb}`, ...lines, ...(brief ? [briefLog] : [])]
      console.log(banner(all ? 'one process' : config.hosted.join(', '), urlOf({ host, port }), facts))
    }
    logger.info({ hosted: config.hosted, port: listener.port }, 'ready')

    const { reason } = await stopped
    logger.info({ reason }, 'draining')
    if (brief) console.log(stopping)
    composition.drain()
    listener.drain()
    await sleep(config.drain.delayMs)
    await listener.close(config.drain.timeoutMs - config.drain.delayMs - closeTimeoutMs)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await forget()
    await composition.close()
  }
  logger.info('stopped')
}
