import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { ConfigError } from '#kernel/config/config-error.ts'
import { listenFault } from './listen-address.ts'
import type {
  ManagementThread,
  ProbeLimits,
  ThreadCommand,
  ThreadMessage,
} from './management-listener.worker.ts'
import { type Listener, type ListenOptions, listen } from './server.ts'

// A load balancer or Kubernetes gives a probe a second at least. An event loop that has not run for three seconds must not count as
// alive.
const defaultLimits: ProbeLimits = {
  answerWithinMs: 20,
  keptForMs: 3_000,
  askEveryMs: 1_000,
  lingerMs: 1_000,
}
// The thread needs a moment to pass on the last bytes.
const endWithinMs = 100

type Fetch = Parameters<typeof listen>[0]

/**
 * Listens on the management port in a thread of its own, which passes each connection on to `fetch` in the main thread, through a port
 * of 127.0.0.1. The thread asks for both probes once a second itself. If the main thread does not answer a client's probe within 20 ms,
 * because its event loop is busy or MongoDB is slow, the client gets the last answer that the thread got, if that was 200 and is at most
 * three seconds old. A busy process therefore counts as alive and ready, and a process that hangs does not. This holds for the first
 * request of a connection, `GET` without a query by HTTP/1.1.
 * @throws ConfigError if the process cannot listen on this host and port
 */
export async function listenForManagement(
  fetch: Fetch,
  options: ListenOptions,
  limits = defaultLimits,
): Promise<Listener> {
  const { host, port } = options
  const main = await listen(fetch, { ...options, host: '127.0.0.1', port: 0 })
  const thread = startThread({ host, port, mainPort: main.port, limits })
  const tell = (command: ThreadCommand) => thread.postMessage(command)
  const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
  let isClosing = false
  const failed = new Promise<Error>((fail) => {
    thread.once('error', fail)
    void ended.then(() => {
      if (!isClosing) fail(new Error('the thread of the management port has ended'))
    })
  })
  const close = async (timeoutMs: number) => {
    isClosing = true
    tell('close')
    await main.close(timeoutMs)
    await Promise.race([ended, sleep(endWithinMs, undefined, { ref: false })])
    await thread.terminate()
  }
  const listening = new Promise<ThreadMessage>((resolve) => thread.once('message', resolve))
  const started = await Promise.race([listening, failed])
  if ('port' in started) {
    return {
      port: started.port,
      failed: Promise.race([main.failed, failed]),
      drain() {
        main.drain()
        tell('drain')
      },
      close,
    }
  }
  await close(0)
  if (started instanceof Error) throw started
  // An error that is sent between threads loses its code.
  const { message, ...system } = started.fault
  const fault = Object.assign(new Error(message), system)
  throw new ConfigError([await listenFault(fault, options, options.dataDir)])
}

/** Starts the thread with the compile cache of the process, which saves half of its memory. */
function startThread(workerData: ManagementThread): Worker {
  const compiled = getCompileCacheDir()
  return new Worker(new URL('./management-listener.worker.ts', import.meta.url), {
    name: 'management port',
    execArgv: [],
    workerData,
    env: compiled === undefined ? {} : { NODE_COMPILE_CACHE: dirname(compiled) },
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
  })
}
