import type { MessagePort } from 'node:worker_threads'
import { parentPort } from 'node:worker_threads'
import { type Names, weaknessOf } from './password-policy.ts'

/** The thread of `find-weakness.ts`. */

export interface Question {
  password: string
  account: Names
  /** Where the answer goes. */
  port: MessagePort
  /** Set to 1 once the answer is sent, for a thread that waits without its event loop. */
  answered: Int32Array
}

export interface Answer {
  weakness: string | undefined
}

parentPort?.on('message', ({ password, account, port, answered }: Question) => {
  const answer: Answer = { weakness: weaknessOf(password, account) }
  port.postMessage(answer)
  Atomics.store(answered, 0, 1)
  Atomics.notify(answered, 0)
})
