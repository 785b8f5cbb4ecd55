import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { outputOf } from '#test/support/output.ts'
import type { FaultyProxy } from './faulty-proxy.ts'
import type { Message, Watch } from './kill-at-step.ts'

/** One service of the fleet. After a kill, it restarts as another process at the same address. */
export interface Service {
  name: string
  /** The proxy that clients and the other services reach the service through. */
  proxy: FaultyProxy
  /** Starts a spare process, so that the next `start` takes no time. */
  startSpare(): Promise<void>
  /** Resolves when the process is ready and the proxy forwards to it. The previous process must be dead. */
  start(): Promise<void>
  /** Sends SIGKILL, and resolves when the process and its connections have ended. */
  kill(): Promise<void>
  /** Stops the process with SIGSTOP: its sockets stay open, and messages wait in them. */
  freeze(): void
  thaw(): void
  /** Resolves when the current process has ended for any reason. */
  ended(): Promise<void>
  /** Watches a request in the current process (see kill-at-step.ts). It needs `watchSteps`. */
  watch(watch: Watch): Promise<WatchedRequest>
  /** The output of all processes of the service. */
  output(): string
}

export interface WatchedRequest {
  /** The steps of the request so far. */
  steps(): Promise<string[]>
  /**
   * Ends the watch, so that the step no longer kills the process.
   * @returns true if the request had reached the step, and the process is dead
   */
  endWatch(): Promise<boolean>
}

/** One process of a service, from its fork to its end. */
interface ServiceProcess {
  child: ChildProcess
  /** Resolves to the port once the process is ready. */
  ready: Promise<number>
  ended: Promise<void>
}

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const killAtStep = new URL('kill-at-step.ts', import.meta.url).href

export function createService(
  name: string,
  proxy: FaultyProxy,
  env: Record<string, string>,
  { watchSteps }: { watchSteps: boolean },
): Service & { stop(): Promise<void> } {
  const living = new Set<ServiceProcess>()
  const outputs: (() => string)[] = []
  const output = () => outputs.map((each) => each()).join('')
  let current: ServiceProcess | undefined
  let spare: ServiceProcess | undefined

  const launch = (): ServiceProcess => {
    const child = fork(main, { env, silent: true, execArgv: watchSteps ? ['--import', killAtStep] : [] })
    outputs.push(outputOf(child))
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const ready = new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve((message as { port: number }).port))
      child.once('exit', (code, signal) =>
        reject(new Error(`${name} ended (${code ?? signal}):\n${output()}`)),
      )
    })
    // Callers that await `ready` still see the failure.
    ready.catch(() => undefined)
    const launched = { child, ready, ended }
    living.add(launched)
    void ended.then(() => {
      living.delete(launched)
      if (current === launched) proxy.forwardTo(undefined)
    })
    return launched
  }

  const running = (): ServiceProcess => {
    if (!current) throw new Error(`${name} has not been started`)
    return current
  }

  /** Sends a message to kill-at-step.ts in the process, and resolves to its reply. */
  const send = async <Reply>({ child, ended }: ServiceProcess, message: Message): Promise<Reply> => {
    const reply = new Promise<Reply>((resolve, reject) => {
      const onMessage = (answer: object) => {
        // The program sends the lines of its banner at some time after it is ready.
        if ('facts' in answer) return
        child.off('message', onMessage)
        resolve(answer as Reply)
      }
      child.on('message', onMessage)
      child.send(message, (error) => error && reject(error))
    })
    const dead = ended.then(() => Promise.reject(new Error(`${name} died before it answered`)))
    return Promise.race([reply, dead])
  }

  return {
    name,
    proxy,
    async startSpare() {
      spare ??= launch()
      await spare.ready
    },
    async start() {
      if (current && living.has(current)) throw new Error(`${name} still runs`)
      const started = spare ?? launch()
      spare = undefined
      current = started
      proxy.forwardTo(await started.ready)
    },
    async kill() {
      const { child, ended } = running()
      child.kill('SIGKILL')
      await ended
    },
    freeze() {
      running().child.kill('SIGSTOP')
    },
    thaw() {
      running().child.kill('SIGCONT')
    },
    ended: () => running().ended,
    async watch(watch) {
      const watching = running()
      await send(watching, { watch })
      return {
        steps: async () => (await send<{ steps: string[] }>(watching, { report: true })).steps,
        // A message finds out whether the process is dead, because the end of a process is known later than the end of its
        // connections.
        endWatch: () =>
          send(watching, { watch: null }).then(
            () => false,
            () => watching.ended.then(() => true),
          ),
      }
    },
    output,
    async stop() {
      const all = [...living]
      for (const { child } of all) child.kill('SIGKILL')
      await Promise.all(all.map(({ ended }) => ended))
    },
  }
}
