import { createRequire } from 'node:module'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { type Call, createCall, remainingMs, waitUntilDeadline } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { createQueue } from '#kernel/queue.ts'
import type { Answer, Failure, Question } from './find-weakness.worker.ts'
import type { Names } from './password-policy.ts'

/**
 * `weaknessOf` of `password-policy.ts`, in a thread of its own: its dictionaries take half a second to load and some
 * 50 MB, and one estimate may take 20 ms, which the event loop does not have. The thread starts when the first password is
 * chosen and does not keep the process running.
 */

// Milliseconds for one answer of the thread, and for its start before the first one.
const answerWithinMs = 20_000

const nameOfCheck = 'the check of the password'

const queue = createQueue({ name: nameOfCheck, maxConcurrent: 1, maxWaiting: 256 })

/**
 * Why the account should not have this password; undefined if nothing speaks against it.
 * @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline
 */
export const findWeakness = (password: string, account: Names, call: Call): Promise<string | undefined> =>
  queue(call, async () => {
    const { port, thread } = ask(password, account)
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    const ended = () => reject(dependencyUnavailable(`${nameOfCheck} ended early`, failure))
    thread.once('exit', ended)
    port.once('message', (answer: Answer) => {
      if ('failure' in answer) reject(dependencyUnavailable(`${nameOfCheck} failed`, failureOf(answer)))
      else resolve(answer.weakness)
    })
    // The queue ends the wait of the request. This limit ends a thread that hangs, which would keep its place for ever.
    const limit = createCall(answerWithinMs, call.requestId)
    try {
      return await waitUntilDeadline(limit, nameOfCheck, promise)
    } catch (error) {
      if (remainingMs(limit) <= 0) discard(thread)
      throw error
    } finally {
      thread.off('exit', ended)
      port.close()
    }
  })

/** The same for the configuration, which is read at once: waits without the event loop. */
export function findWeaknessNow(password: string, account: Names): string | undefined {
  const { port, answered } = ask(password, account)
  Atomics.wait(answered, 0, 0, answerWithinMs)
  const received = receiveMessageOnPort(port)
  port.close()
  if (!received) throw new Error(`${nameOfCheck} did not end in time`)
  const answer = received.message as Answer
  if ('failure' in answer) throw failureOf(answer)
  return answer.weakness
}

const require = createRequire(import.meta.url)

/**
 * Looks for the packages of `password-strength.ts` and does not load them.
 * @throws Error with code MODULE_NOT_FOUND if one is missing
 */
export function requireDictionaries(): void {
  require.resolve('@zxcvbn-ts/core')
  require.resolve('@zxcvbn-ts/language-common')
  for (const list of ['commonWords', 'firstnames'])
    require.resolve(`@zxcvbn-ts/language-en/dist/${list}.json.cjs`)
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
  requireDictionaries()
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

/** The next question starts a new thread. */
function discard(thread: Worker): void {
  if (running === thread) running = undefined
  void thread.terminate()
}

/** An error that is sent between threads loses its code. */
const failureOf = ({ failure, code }: Failure): unknown =>
  failure instanceof Error && code !== undefined ? Object.assign(failure, { code }) : failure
