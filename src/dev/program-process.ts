import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ReadyMessage } from '../host/serve.ts'

/** A child process that runs the program. */
export interface ProgramProcess {
  pid: number | undefined
  /** Resolves once the process is ready, and never if it ends before that. */
  ready: Promise<ReadyMessage>
  /** Resolves with how the process ended: the name of a signal, or `code 1`. */
  ended: Promise<string>
  /** Asks the process to end, and kills it if it takes longer than it may take to drain. */
  stop(): Promise<void>
}

const killDelayMs = 1_000

/** @param program the main file of the program */
export function startProgram(program: URL, env: NodeJS.ProcessEnv, drainTimeoutMs: number): ProgramProcess {
  // In a process group of its own. Ctrl-C in a terminal is for the parent process, which stops its children in order.
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
