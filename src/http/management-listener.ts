import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ConfigError } from '#kernel/config/config-error.ts'
import { listenFault } from './listen-address.ts'
import type { ManagementThread, ProbeLimits, ThreadMessage } from './management-listener.worker.ts'
import { type Listener, type ListenOptions, listen } from './server.ts'

// A load balancer or Kubernetes gives a probe a second at least. An event loop that has not run for three seconds must not count as
// alive.
const defaultLimits: ProbeLimits = { answerWithinMs: 20, keptForMs: 3_000, askEveryMs: 1_000 }

type Fetch = Parameters<typeof listen>[0]

/**
 * Listens on the management port in a thread of its own, which passes each connection on to `fetch` in the main thread. If the main
 * thread does not answer a probe within 20 ms, because its event loop is busy, the thread repeats the last answer to that probe. It
 * does so only if that answer was 200 and is at most three seconds old. A busy process therefore counts as alive and ready, and a
 * process that hangs does not.
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
  let isClosing = false
  const failed = new Promise<Error>((fail) => {
    thread.once('error', fail)
    thread.once('exit', () => {
      if (!isClosing) fail(new Error('the thread of the management port has ended'))
    })
  })
  const close = async (timeoutMs: number) => {
    isClosing = true
    await main.close(timeoutMs)
    await thread.terminate()
  }
  const listening = new Promise<ThreadMessage>((resolve) => thread.once('message', resolve))
  const started = await Promise.race([listening, failed])
  if ('port' in started) {
    return {
      port: started.port,
      failed: Promise.race([main.failed, failed]),
      drain: () => thread.postMessage('drain'),
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
