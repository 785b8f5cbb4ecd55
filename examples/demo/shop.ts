import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { ServiceState } from './sale.ts'

const pathOf = (script: string) => fileURLToPath(new URL(`../../src/${script}`, import.meta.url))

export const admin = { username: 'boss', email: 'boss@example.com', password: 'the owner of all cups' }

interface Ready {
  port: number
  pids: Record<string, number>
}

/** A line of the log with which `npm run split` reports that it starts a service again. */
interface RestartLine {
  msg: 'service exited, restarting' | 'service restarted'
  module: string
  pid?: number
}

/** The result of `npm run audit -- --json`. */
export interface AuditReport {
  checked: Record<string, number>
  complete: boolean
  findings: { message: string }[]
}

export type DemoShop = Awaited<ReturnType<typeof startShop>>

/**
 * Starts a shop as `npm run split` does: a gateway and one process per module, on free ports, with a MongoDB and a data folder of its
 * own.
 * @param options.onState is called for each change of a process
 * @param options.interrupted rejects when the demo must end
 * @throws Error with the output of the shop if it does not start
 */
export async function startShop(options: {
  onState: (service: string, state: ServiceState, pid?: number) => void
  interrupted: Promise<never>
}) {
  const { onState, interrupted } = options
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-demo-'))
  const environment = environmentOf(dataDir)
  // A process group of its own keeps Ctrl-C from ending the shop before the demo has finished with it.
  const child = fork(pathOf('dev/split.ts'), { env: environment, silent: true, execArgv: [], detached: true })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const output = collectOutput(child)
  const ready = new Promise<Ready>((resolve) => child.once('message', (message) => resolve(message as Ready)))
  let audit: ChildProcess | undefined
  /** Ends all processes, and removes the data. */
  const close = async (): Promise<void> => {
    audit?.kill('SIGKILL')
    // The shop drains when its parent disconnects, on every system.
    if (child.connected) child.disconnect()
    await ended
    // On Windows, files stay in use for a moment.
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 })
  }
  const failed = ended.then(() => {
    throw new Error(`the shop has not started:\n${output()}`)
  })
  const started = await Promise.race([ready, failed, interrupted]).catch(async (error: unknown) => {
    await close()
    throw error
  })

  const pids = new Map(Object.entries(started.pids))
  onState('gateway', 'ready', child.pid)
  for (const [service, pid] of pids) onState(service, 'ready', pid)
  watchRestarts(child, ({ msg, module, pid }) => {
    if (msg === 'service exited, restarting') onState(module, 'starting')
    if (msg === 'service restarted' && pid !== undefined) {
      pids.set(module, pid)
      onState(module, 'ready', pid)
    }
  })

  return {
    url: `http://127.0.0.1:${started.port}`,

    /** Kills the process of a service with SIGKILL. @returns its id */
    kill(service: string): number {
      const pid = pids.get(service)
      if (pid === undefined) throw new Error(`${service} is no service`)
      onState(service, 'killed', pid)
      process.kill(pid, 'SIGKILL')
      return pid
    },

    async audit(): Promise<AuditReport> {
      audit = fork(pathOf('cli/audit.ts'), ['--json'], { env: environment, silent: true, execArgv: [] })
      return reportOf(audit)
    },
    close,
  }
}

/** What the system, and the download of MongoDB, need of the environment. */
const passedOn =
  /^(PATH|HOME|TMPDIR|TEMP|SYSTEMROOT|USERPROFILE|LOCALAPPDATA|MONGOD_BINARY|XDG_CACHE_HOME|(HTTPS?|NO)_PROXY|NODE_EXTRA_CA_CERTS)$/i

/** The settings of the demo alone, so that those of the operator's shop do not matter. */
const environmentOf = (dataDir: string): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => passedOn.test(name))),
  DATA_DIR: dataDir,
  PORT: '0',
  DEMO: 'false',
  LOG_LEVEL: 'warn',
  // The services of a demo may end at once.
  DRAIN_DELAY: '0s',
  DRAIN_TIMEOUT: '1s',
  // Registering many buyers would take most of the time otherwise.
  BCRYPT_COST: '4',
  REGISTRATIONS_PER_ADDRESS: '1000/1h',
  ADMIN_USERNAME: admin.username,
  ADMIN_EMAIL: admin.email,
  ADMIN_PASSWORD: admin.password,
})

/** @returns a function that returns the output so far */
function collectOutput(child: ChildProcess): () => string {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  return () => output
}

function watchRestarts(child: ChildProcess, onLine: (line: RestartLine) => void): void {
  if (!child.stdout) return
  createInterface(child.stdout).on('line', (text) => {
    const line = parseLine(text)
    if (line) onLine(line)
  })
}

/** Four processes write into one pipe, so that a line may be torn. */
function parseLine(text: string): RestartLine | undefined {
  try {
    return JSON.parse(text) as RestartLine
  } catch {
    return undefined
  }
}

async function reportOf(audit: ChildProcess): Promise<AuditReport> {
  const output = collectOutput(audit)
  await new Promise((resolve) => audit.once('close', resolve))
  const json = output()
    .split('\n')
    .find((line) => line.startsWith('{'))
  if (json === undefined) throw new Error(`the audit has not run:\n${output()}`)
  return JSON.parse(json) as AuditReport
}
