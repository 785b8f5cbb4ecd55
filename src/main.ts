import { setTimeout as sleep } from 'node:timers/promises'
import { announcement } from './announcement.ts'
import { ConfigError, loadConfig } from './kernel/config.ts'
import { createLogger } from './kernel/logger.ts'
import { listen } from './listen.ts'
import { openComposition } from './open-composition.ts'
import { registry } from './registry.ts'
import { stopSignal } from './stop-signal.ts'

/** The process: config, compose, listen, drain on SIGTERM; nothing else. */
async function main(): Promise<void> {
  const config = loadConfig(process.env, registry)
  const all = config.hosted.length === registry.length
  const logger = await createLogger({
    level: config.logLevel,
    human: !config.production && process.stdout.isTTY === true,
    service: all ? 'all' : config.hosted.join(','),
  })

  const composition = await openComposition(config, logger, (line) => console.log(line))
  // Only from here on is there something to end in order: Ctrl-C ends a download at once.
  const { signal, stopped } = stopSignal()
  try {
    const listener = await listen(composition.app.fetch, config)
    const lines = await composition.prepare(signal)
    // A parent (`npm run split`, tests) learns that its child is ready, and where.
    process.send?.({ port: listener.port, lines })
    if (!config.production && !process.send)
      console.log(announcement(all ? 'one process' : config.hosted.join(', '), listener.port, lines))
    logger.info({ hosted: config.hosted, port: listener.port }, 'ready')

    const reason = await stopped
    logger.info({ reason }, 'draining')
    composition.drain()
    listener.drain()
    setTimeout(() => {
      logger.error({ timeout: config.drain.timeout }, 'did not drain in time')
      process.exit(1)
    }, config.drain.timeout)
    await sleep(config.drain.delay)
    await listener.close(config.drain.timeout - config.drain.delay - 500)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await composition.close()
  }
  logger.info('stopped')
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof ConfigError ? error.message : error)
    process.exit(1)
  },
)
