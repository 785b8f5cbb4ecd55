// `npm run dev`: the program, restarted when a source file is saved. MongoDB keeps running in the meantime.
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Config, loadConfig } from '#kernel/config/load-config.ts'
import { createLogger, isBrief, type Logger, operatorLog } from '#kernel/logger.ts'
import { banner, briefLogFact, stoppingMessage } from '../host/banner.ts'
import { type OpenMongodb, openMongodb } from '../host/database.ts'
import { refuseArguments } from '../host/refuse-arguments.ts'
import type { FactsMessage, ReadyMessage } from '../host/serve.ts'
import { createShutdown, type Shutdown } from '../host/shutdown.ts'
import { reportFailure } from '../host/start-failure.ts'
import { refusePortsInUse, urlOf } from '../http/listen-address.ts'
import { writePidFiles } from '../http/pid-file.ts'
import { createSpareProcess, type SpareProcess } from './program-process.ts'
import { type SourceChange, watchSources } from './source-changes.ts'

const program = new URL('../main.ts', import.meta.url)
const sources = fileURLToPath(new URL('..', import.meta.url))

async function main(): Promise<number> {
  refuseArguments()
  // The program itself checks SERVICE and the settings of its modules. This process does not load the modules, so that a
  // fault in one of them does not end it.
  const config = loadConfig({ ...process.env, SERVICE: 'all' }, [])
  const logOptions = { level: config.logLevel, human: process.stdout.isTTY === true }
  const logger = await createLogger({ ...logOptions, service: 'dev' })
  await refusePortsInUse([config], config.dataDir)
  const mongodb = await openMongodb(config, operatorLog(logger, logOptions))
  const shutdown = createShutdown()
  shutdown.reportTo(logger)
  void mongodb.lost.then((message) => shutdown.crash('the embedded MongoDB has ended', message))
  const { host, port, dataDir } = config
  const removePidFiles = await writePidFiles(dataDir, { host, ports: [port] }, logger)
  try {
    await restartOnChange({ config, mongodb, shutdown, logger, brief: isBrief(logOptions) })
  } finally {
    await removePidFiles()
    await mongodb.close()
  }
  return shutdown.crashed() ? 1 : 0
}

/**
 * Runs the program until the shutdown, and starts it again at each change of a source file. The next process is started while
 * this one runs, so that a restart waits only for what may have changed.
 */
async function restartOnChange(options: {
  config: Config
  mongodb: OpenMongodb
  shutdown: Shutdown
  logger: Logger
  brief: boolean
}): Promise<void> {
  const { config, mongodb, shutdown, logger, brief } = options
  const { signal } = shutdown
  const stopped = shutdown.stopped.then(() => undefined)
  const env = programEnvironment(config, mongodb)
  const changes = watchSources(sources)
  let spare: SpareProcess | undefined
  const createSpare = () => {
    const created = createSpareProcess(program, env, config.drain.timeoutMs)
    void created.ended.then(() => {
      if (spare === created) spare = undefined
    })
    return created
  }
  let lastChange: SourceChange | undefined
  let isBannerPrinted = false
  while (!signal.aborted) {
    const change = lastChange
    const nextChange = changes.next()
    const child = spare ?? createSpare()
    spare = undefined
    child.start()
    let isStopping = false
    void child.ended.then((end) => {
      if (!isStopping) logger.error({ end }, 'the program has exited: it starts again at the next change')
    })
    void child.ready.then(async ({ port }) => {
      if (!isStopping) spare = createSpare()
      if (isBannerPrinted && change) return console.log(restartLine(change))
      console.log(bannerOf(config, mongodb, { port, facts: await child.facts }, brief))
      isBannerPrinted = true
    })
    lastChange = await Promise.race([nextChange, stopped])
    isStopping = true
    if (signal.aborted && brief) console.log(stoppingMessage)
    await child.stop()
  }
  changes.close()
  await spare?.stop()
}

/** The program uses the MongoDB of this process. All its other settings are those of `npm start`. */
function programEnvironment({ demo, dataDir }: Config, { uri }: OpenMongodb): NodeJS.ProcessEnv {
  return {
    ...process.env,
    MONGODB_URI: uri,
    MONGODB_URI_FILE: '',
    DEMO: String(demo),
    DEMO_FILE: '',
    // The compile cache halves the time of a restart, because Node.js then compiles only the files that have changed.
    NODE_COMPILE_CACHE: resolve(dataDir, 'compile-cache'),
  }
}

const restartLine = ({ file, at }: SourceChange): string =>
  `${file} has changed: Trivet restarted in ${Math.round(performance.now() - at)} ms`

function bannerOf(
  { host }: Config,
  mongodb: OpenMongodb,
  { port, facts }: ReadyMessage & FactsMessage,
  brief: boolean,
): string {
  const log = brief ? [briefLogFact] : []
  const restarts = ['Restarts', 'each time a file in src/ is saved'] as const
  const all = [['MongoDB', mongodb.description] as const, restarts, ...facts, ...log]
  return banner('development', urlOf({ host, port }), all)
}

const code = await main().catch((error: unknown) => {
  reportFailure(error)
  return 1
})
process.exit(code)
