import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from '@hono/node-server'
import { compose } from './compose.ts'
import { type Config, ConfigError, loadConfig } from './kernel/config.ts'
import { createLogger } from './kernel/logger.ts'
import { registry } from './registry.ts'

/** The process: config, compose, listen, drain on SIGTERM; nothing else. */
async function main(): Promise<void> {
  const config = loadConfig(process.env, registry)
  const logger = await createLogger({
    level: config.logLevel,
    human: !config.production && process.stdout.isTTY === true,
  })

  const stop = new AbortController()
  const signalled = new Promise<string>((resolve) => {
    // 'disconnect' is the end of the parent of `npm run split`: its services do not outlive it.
    for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
      process.on(signal, () => {
        // A second signal is from somebody who does not want to wait.
        if (stop.signal.aborted) process.exit(1)
        stop.abort()
        resolve(signal)
      })
    }
  })

  const embedded = config.mongodb.uri === undefined ? await openEmbedded(config) : undefined
  const uri = embedded?.uri ?? config.mongodb.uri ?? ''
  const composition = await compose({
    config: { ...config, mongodb: { ...config.mongodb, uri } },
    modules: registry,
    logger,
  })
  const server = await listen(composition.app.fetch, config)
  try {
    const lines = await composition.prepare(stop.signal)
    announce(config, server, lines)
    logger.info({ hosted: config.hosted }, 'ready')
    const signal = await signalled
    logger.info({ signal }, 'draining')
    composition.drain()
    const deadline = setTimeout(() => {
      logger.error({ timeout: config.drain.timeout }, 'did not drain in time')
      process.exit(1)
    }, config.drain.timeout)
    await sleep(config.drain.delay)
    await closed(server)
    clearTimeout(deadline)
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    await composition.close()
    await embedded?.close()
  }
  logger.info('stopped')
}

async function openEmbedded(config: Config) {
  const { openEmbeddedMongo } = await import('./embedded/mongod.ts')
  return openEmbeddedMongo({ dataDir: config.dataDir, log: (line) => console.log(line) })
}

function listen(fetch: (request: Request) => Response | Promise<Response>, config: Config): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port: config.port, hostname: config.host }, () => resolve(server)) as Server
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(
        taken
          ? new ConfigError([`PORT ${config.port} is in use by another program: set another one`])
          : error,
      )
    })
  })
}

/** Answers what is in flight; keep-alive connections go as soon as they are idle, which `close` alone waits for. */
async function closed(server: Server): Promise<void> {
  const closing = new Promise<void>((resolve) => server.close(() => resolve()))
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  server.closeIdleConnections()
  await closing
  clearInterval(idle)
}

function announce(config: Config, server: Server, lines: string[]): void {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : config.port
  // A parent that started this process (npm run split, tests) learns that it is ready and where.
  process.send?.({ ready: true, port, lines })
  if (config.production || process.send) return
  const url = `http://localhost:${port}`
  const shape =
    config.hosted.length === registry.length ? 'all modules in one process' : config.hosted.join(', ')
  console.log(
    [
      '',
      `Trivet is ready: ${shape}.`,
      '',
      `  API        ${url}`,
      `  Reference  ${url}/docs`,
      ...lines.map((line) => `  ${line}`),
      '',
    ].join('\n'),
  )
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof ConfigError ? error.message : error)
    process.exit(1)
  },
)
