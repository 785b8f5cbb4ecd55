import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { Call } from '../../kernel/call.ts'
import { dependencyUnavailable } from '../../kernel/errors.ts'
import { createQueue } from '../../kernel/queue.ts'
import type { Answer, Question } from './find-weakness.worker.ts'
import type { Names } from './password-policy.ts'

/**
 * `weaknessOf` of `password-policy.ts`, in a thread of its own: its dictionaries take half a second to load and some
 * 50 MB, and one estimate may take 20 ms, which the event loop does not have. The thread starts when the first password is
 * chosen and does not keep the process running.
 */

const startWithinMs = 20_000

const queue = createQueue({ name: 'the check of the password', concurrency: 1, bound: 256 })

/**
 * Why the account should not have this password; undefined if nothing speaks against it.
 * @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline
 */
export const findWeakness = (password: string, account: Names, call: Call): Promise<string | undefined> =>
  queue(call, async () => {
    const { port, thread } = ask(password, account)
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    const ended = () => reject(dependencyUnavailable('the check of the password ended early', failure))
    thread.once('exit', ended)
    port.once('message', ({ weakness }: Answer) => resolve(weakness))
    try {
      return await promise
    } finally {
      thread.off('exit', ended)
      port.close()
    }
  })

/** The same for the configuration, which is read at once: waits without the event loop. */
export function findWeaknessNow(password: string, account: Names): string | undefined {
  const { port, answered } = ask(password, account)
  Atomics.wait(answered, 0, 0, startWithinMs)
  const received = receiveMessageOnPort(port)
  port.close()
  if (!received) throw new Error('the check of the password did not end in time')
  return (received.message as Answer).weakness
}

let running: Worker | undefined
/** Why the thread ended last. */
let failure: unknown

function ask(password: string, account: Names) {
  const { port1: port, port2 } = new MessageChannel()
  const answered = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  running ??= startThread()
  const question: Question = { password, account, port: port2, answered }
  running.postMessage(question, [port2])
  return { port, answered, thread: running }
}

function startThread(): Worker {
  const started = new Worker(new URL('./find-weakness.worker.ts', import.meta.url), {
    name: 'find-weakness',
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 4 },
  })
  started.unref()
  started.once('error', (error) => {
    failure = error
  })
  started.once('exit', () => {
    if (running === started) running = undefined
  })
  return started
}
