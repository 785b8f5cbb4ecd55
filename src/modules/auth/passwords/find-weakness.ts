import { createRequire } from 'node:module'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { type Call, createCall, remainingMs, waitUntilDeadline } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { createQueue } from '#kernel/queue.ts'
import type { Answer, CheckRequest, Failure } from './find-weakness.worker.ts'
import type { Names } from './password-policy.ts'

/**
 * Runs `weaknessOf` of `password-policy.ts` in a worker thread, because it would block the event loop: its dictionaries take half
 * a second to load, and one estimate may take 20 ms. The dictionaries take about 50 MB of memory. The thread starts when the first
 * password is chosen, and does not keep the process running.
 */

/** The time for one answer of the thread. Before the first answer, it includes the start of the thread. */
const answerWithinMs = 20_000

const checkName = 'the password strength check'

const queue = createQueue({ name: checkName, maxConcurrent: 1, maxWaiting: 256 })

/**
 * Says why a password is too weak for an account. Undefined if it is strong enough.
 * @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline
 */
export const findWeakness = (password: string, account: Names, call: Call): Promise<string | undefined> =>
  queue(call, async () => {
    const { port, thread } = requestCheck(password, account)
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    const onExit = () => reject(dependencyUnavailable(`${checkName} ended early`, failure))
    thread.once('exit', onExit)
    port.once('message', (answer: Answer) => {
      if ('failure' in answer) reject(dependencyUnavailable(`${checkName} failed`, failureOf(answer)))
      else resolve(answer.weakness)
    })
    // The queue applies the deadline of the request. This limit ends a thread that hangs, which would block the queue for ever.
    const limit = createCall(answerWithinMs, call.requestId)
    try {
      return await waitUntilDeadline(limit, checkName, promise)
    } catch (error) {
      if (remainingMs(limit) <= 0) discard(thread)
      throw error
    } finally {
      thread.off('exit', onExit)
      port.close()
    }
  })

/** Like `findWeakness`, but blocks until the thread has answered, because the configuration is read synchronously. */
export function findWeaknessNow(password: string, account: Names): string | undefined {
  const { port, answered } = requestCheck(password, account)
  Atomics.wait(answered, 0, 0, answerWithinMs)
  const received = receiveMessageOnPort(port)
  port.close()
  if (!received) throw new Error(`${checkName} did not end in time`)
  const answer = received.message as Answer
  if ('failure' in answer) throw failureOf(answer)
  return answer.weakness
}

const require = createRequire(import.meta.url)

/**
 * Checks that the packages of `password-strength.ts` are installed, without loading them.
 * @throws Error with code MODULE_NOT_FOUND if one is missing
 */
export function requireDictionaries(): void {
  require.resolve('@zxcvbn-ts/core')
  require.resolve('@zxcvbn-ts/language-common')
  for (const list of ['commonWords', 'firstnames'])
    require.resolve(`@zxcvbn-ts/language-en/dist/${list}.json.cjs`)
}

let running: Worker | undefined
/** The error that ended the previous thread. */
let failure: unknown

function requestCheck(password: string, account: Names) {
  const { port1: port, port2 } = new MessageChannel()
  const answered = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  running ??= startThread()
  const request: CheckRequest = { password, account, port: port2, answered }
  running.postMessage(request, [port2])
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

/** Ends a thread that hangs. The next check starts a new thread. */
function discard(thread: Worker): void {
  if (running === thread) running = undefined
  void thread.terminate()
}

/** Restores the error's code, which is lost when the error is sent between threads. */
const failureOf = ({ failure, code }: Failure): unknown =>
  failure instanceof Error && code !== undefined ? Object.assign(failure, { code }) : failure
