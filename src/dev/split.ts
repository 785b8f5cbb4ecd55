import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ConfigError, StartFailure } from '#kernel/config/config-error.ts'
import { urlVariable } from '#kernel/config/general-settings.ts'
import { type Config, loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createLogger, isBrief, type Logger } from '#kernel/logger.ts'
import { createMongo } from '#kernel/mongo/connection.ts'

import { refuseNewerData } from '#kernel/mongo/migrations.ts'
import { freePort } from '../embedded/free-port.ts'
import { banner, briefLog, stopping } from '../host/banner.ts'
import { openMongodb } from '../host/database.ts'
import { refuseArguments } from '../host/refuse-arguments.ts'
import { createShutdown } from '../host/shutdown.ts'
import { reportFailure } from '../host/start-failure.ts'
import { type ListenAddress, refuseTaken, urlOf } from '../http/listen-address.ts'
import { noteListening } from '../http/listening-note.ts'
import { listen } from '../http/server.ts'
import { registry } from '../registry.ts'
import { createGateway } from './gateway.ts'

/**
 * `npm run split`: the embedded MongoDB, one process per module, and a gateway that routes as the ingress will. A
 * service that dies is started again, as Kubernetes would: kill one and see.
 */
async function main(): Promise<number> {
  refuseArguments()
  const config = loadConfig({ ...process.env, SERVICE: 'all' }, registry)
  const shown = { level: config.logLevel, human: !config.production && process.stdout.isTTY === true }
  const logger = await createLogger({ ...shown, service: 'gateway' })
  for (const misnamed of config.misnamedSettings) logger.warn(misnamed, misnamedSettingWarning(misnamed))
  const addresses = addressesOf(config)
  await refuseTaken(addresses, config.dataDir)
  const mongodb = await openMongodb(config, (line) => console.log(line))
  const shutdown = createShutdown()
  shutdown.reportTo(logger)
  const { stopped } = shutdown
  void mongodb.lost.then((message) => shutdown.crash('the embedded MongoDB has ended', message))
  if (config.mongodb.uri !== undefined) {
    const connected = await Promise.race([canBeUsed(config, mongodb.uri, logger, shutdown.signal), stopped])
    if (connected !== true) return Number(shutdown.crashed())
  }
  const ports = new Map<string, number>()
  for (const [at, { name }] of registry.entries()) {
    ports.set(name, config.port === 0 ? await freePort() : config.port + 1 + at)
  }
  const urls = Object.fromEntries([...ports].map(([name, port]) => [name, `http://127.0.0.1:${port}`]))

  const own: Record<string, string> = {
    HOST: '127.0.0.1',
    MONGODB_URI: mongodb.uri,
    INTERNAL_SECRET: config.internalSecrets?.join(',') ?? randomBytes(32).toString('base64url'),
    DEMO: String(config.demo),
    DATA_DIR: config.dataDir,
    // The gateway says which client a request comes from, and has decided which proxies it believes.
    TRUSTED_PROXIES: '127.0.0.1',
    // It answers other origins, too.
    CORS_ORIGINS: '',
    ...Object.fromEntries(Object.entries(urls).map(([name, url]) => [urlVariable(name), url])),
  }
  // What was given as a file is settled by the value.
  const files = Object.keys(own).map((variable) => [`${variable}_FILE`, ''])
  // A warning of these has been given.
  const misnamed = config.misnamedSettings.map(({ variable }) => [variable, ''])
  const shared = { ...process.env, ...Object.fromEntries([...misnamed, ...files]), ...own }
  const services = [...ports].map(([name, port]) =>
    startService(name, { ...shared, SERVICE: name, PORT: String(port) }, config.drain.timeoutMs, logger),
  )
  let forget = async () => {}
  try {
    const allReady = Promise.all(services.map((service) => service.ready))
    const ready = await Promise.race([allReady, stopped])
    if ('reason' in ready) return Number(shutdown.crashed())
    const lines = ready.flat()
    // A service answers 503 by itself when its time is over; the gateway waits a little longer than that.
    const gateway = createGateway({
      modules: registry,
      urls,
      timeoutMs: config.requestTimeoutMs + 500,
      trustedProxies: config.trustedProxies,
      corsOrigins: config.corsOrigins,
      logger,
    })
    const listener = await listen(gateway.fetch, config)
    void listener.failed.then((error) => shutdown.crash('the listener failed', error))
    process.send?.({
      port: listener.port,
      lines,
      pids: Object.fromEntries(services.map(({ name, pid }) => [name, pid()])),
    })
    if (!process.send) {
      const { host, dataDir } = config
      const all = [listener.port, ...ports.values()]
      forget = await noteListening(dataDir, { host, ports: all }, logger)
      const processes = services.map(
        ({ name, pid }) => `${name.padEnd(10)} http://localhost:${ports.get(name)}   (process ${pid()})`,
      )
      const log = isBrief(shown) ? [briefLog] : []
      const facts = [`MongoDB    ${mongodb.description}`, ...processes, ...lines, ...log]
      console.log(banner('split', urlOf({ host, port: listener.port }), facts))
    }
    const { reason } = await stopped
    logger.info({ reason }, 'draining')
    if (isBrief(shown) && !process.send) console.log(stopping)
    await listener.close(config.drain.timeoutMs)
    return Number(shutdown.crashed())
  } finally {
    await forget()
    await Promise.all(services.map((service) => service.stop()))
    await mongodb.close()
    logger.info('stopped')
  }
}

/** Looked at once for all: otherwise each service would say the same of a MongoDB that cannot be used. */
async function canBeUsed(config: Config, uri: string, logger: Logger, signal: AbortSignal): Promise<true> {
  const { mongodb, requestTimeoutMs } = config
  const mongo = createMongo({ ...mongodb, uri, requestTimeoutMs, logger })
  try {
    await mongo.connect(signal, async () => {
      await mongo.verifyWriteAccess(registry.map(({ name }) => name))
      await refuseNewerData(mongo, registry)
    })
    return true
  } finally {
    await mongo.close()
  }
}

/**
 * Where the gateway and the services listen.
 * @throws ConfigError if there are not as many ports
 */
function addressesOf({ host, port }: Config): ListenAddress[] {
  const last = 65_535 - registry.length
  if (port > last)
    throw new ConfigError([
      `PORT must be ${last} or less: the services listen on the ${registry.length} ports after it`,
    ])
  if (port === 0) return [{ host, port }]
  const services = registry.map((_, at) => ({ host: '127.0.0.1', port: port + 1 + at }))
  return [{ host, port }, ...services]
}

const restartDelayMs = 500

/** Keeps one service running until it is told to stop; its first start has to succeed by itself. */
function startService(name: string, env: NodeJS.ProcessEnv, drainTimeoutMs: number, logger: Logger) {
  const stopping = new AbortController()
  let child: ChildProcess
  const run = (onReady: (lines: string[]) => void): Promise<string> =>
    new Promise((resolve) => {
      // A group of its own: Ctrl-C in a terminal is for the parent, which ends its services in order.
      child = fork(fileURLToPath(new URL('../main.ts', import.meta.url)), { env, detached: true })
      child.on('message', (message) => onReady((message as { lines: string[] }).lines))
      child.once('exit', (code, killed) => resolve(killed ?? `code ${code}`))
    })

  let ended = Promise.resolve()
  const ready = new Promise<string[]>((resolve, reject) => {
    let started = false
    const keepRunning = async () => {
      while (!stopping.signal.aborted) {
        const end = await run((lines) => {
          // The line tells an operator that the process runs again, and its new id.
          if (started) logger.warn({ ready: name, pid: child.pid }, 'ready again')
          started = true
          resolve(lines)
        })
        if (stopping.signal.aborted || !started) {
          reject(
            new StartFailure(`${name} ended with ${end} before it was ready: its own message stands above`),
          )
          return
        }
        logger.warn({ ended: name, with: end }, 'a service ended: starting it again')
        await sleep(restartDelayMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      }
    }
    ended = keepRunning()
  })
  const stop = async () => {
    stopping.abort()
    child.kill('SIGTERM')
    const patience = setTimeout(() => child.kill('SIGKILL'), drainTimeoutMs + 1_000)
    await ended
    clearTimeout(patience)
  }
  return { name, ready, stop, pid: () => child.pid }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    reportFailure(error)
    process.exit(1)
  },
)
