import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ReadyMessage } from '../host/serve.ts'

/** A child process that runs the program. */
export interface ProgramProcess {
  pid: number | undefined
  /** Resolves once the process is ready. It never settles if the process ends before that. */
  ready: Promise<ReadyMessage>
  /** Resolves with how the process ended: the name of a signal, or `code 1`. */
  ended: Promise<string>
  /** Sends SIGTERM to the process, and kills it if it has not ended one second after its drain timeout. */
  stop(): Promise<void>
}

const killDelayMs = 1_000

/** @param program the main file of the program */
export function startProgram(program: URL, env: NodeJS.ProcessEnv, drainTimeoutMs: number): ProgramProcess {
  // The child gets a process group of its own, so that Ctrl-C signals only the parent process, which stops its children in order.
  const child = fork(fileURLToPath(program), { env, detached: true })
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`))
  })
  return {
    pid: child.pid,
    ready: new Promise((resolve) => child.once('message', (message) => resolve(message as ReadyMessage))),
    ended,
    async stop() {
      child.kill('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), drainTimeoutMs + killDelayMs)
      await ended
      clearTimeout(kill)
    },
  }
}
