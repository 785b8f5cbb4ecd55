import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { BannerFact } from '#kernel/module.ts'
import type { FactsMessage, ReadyMessage } from '../host/serve.ts'

/** A child process that runs the program. */
export interface ProgramProcess {
  pid: number | undefined
  /** Resolves once the process is ready. It never settles if the process ends before that. */
  ready: Promise<ReadyMessage>
  /** Resolves after `ready` with the lines of the process for the banner. It never settles if the process ends before that. */
  facts: Promise<readonly BannerFact[]>
  /** Resolves with how the process ended: the name of a signal, or `code 1`. */
  ended: Promise<string>
  /** Sends SIGTERM to the process, and kills it if it has not ended one second after its drain timeout. */
  stop(): Promise<void>
}

/** A child process that has loaded the packages, and not yet the program. */
export interface SpareProcess extends ProgramProcess {
  /** Starts the program in the process. */
  start(): void
}

const killDelayMs = 1_000

const spareProcess = new URL('spare-process.ts', import.meta.url)

/** @param program the main file of the program */
export function startProgram(program: URL, env: NodeJS.ProcessEnv, drainTimeoutMs: number): ProgramProcess {
  return programProcess(forkProgram(program, { env }), drainTimeoutMs)
}

/** @param program as for `startProgram` */
export function createSpareProcess(
  program: URL,
  env: NodeJS.ProcessEnv,
  drainTimeoutMs: number,
): SpareProcess {
  const child = forkProgram(program, { env, execArgv: [...process.execArgv, '--import', spareProcess.href] })
  return {
    ...programProcess(child, drainTimeoutMs),
    // A process that has ended before is reported by `ended`.
    start: () => child.send('start', () => undefined),
  }
}

/** The child gets a process group of its own, so that Ctrl-C signals only the parent process, which stops its children in order. */
const forkProgram = (program: URL, options: ForkOptions): ChildProcess =>
  fork(fileURLToPath(program), { ...options, detached: true })

function programProcess(child: ChildProcess, drainTimeoutMs: number): ProgramProcess {
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`))
  })
  const ready = Promise.withResolvers<ReadyMessage>()
  const facts = Promise.withResolvers<readonly BannerFact[]>()
  child.on('message', (message: ReadyMessage | FactsMessage) => {
    if ('facts' in message) facts.resolve(message.facts)
    else ready.resolve(message)
  })
  return {
    pid: child.pid,
    ready: ready.promise,
    facts: facts.promise,
    ended,
    async stop() {
      child.kill('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), drainTimeoutMs + killDelayMs)
      await ended
      clearTimeout(kill)
    },
  }
}
