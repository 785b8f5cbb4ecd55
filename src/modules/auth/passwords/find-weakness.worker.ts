import { type MessagePort, parentPort } from 'node:worker_threads'

import type { Names } from './password-policy.ts'

/** The worker thread of `find-weakness.ts`. */

export interface Question {
  password: string
  account: Names
  /** The answer is sent to this port. */
  port: MessagePort
  /** The worker sets this to 1 after the answer, for a thread that waits without its event loop. */
  answered: Int32Array
}

export type Answer = { weakness: string | undefined } | Failure

export interface Failure {
  failure: unknown
  /** The error's code, if it is an error of Node.js. */
  code: string | undefined
}

/** Loads the policy only now, so that a failure to load it is answered too. */
async function answerTo({ password, account }: Question): Promise<Answer> {
  try {
    const { weaknessOf } = await import('./password-policy.ts')
    return { weakness: weaknessOf(password, account) }
  } catch (error) {
    return { failure: error, code: (error as NodeJS.ErrnoException).code }
  }
}

parentPort?.on('message', async (question: Question) => {
  const { port, answered } = question
  port.postMessage(await answerTo(question))
  Atomics.store(answered, 0, 1)
  Atomics.notify(answered, 0)
})
