import { type MessagePort, parentPort } from 'node:worker_threads'

import type { Names } from './password-policy.ts'

/** The worker thread of `find-weakness.ts`. */

export interface CheckRequest {
  password: string
  account: Names
  /** The answer is sent to this port. */
  port: MessagePort
  /** The worker sets this to 1 after the answer. A thread that blocks its event loop waits for this change. */
  answered: Int32Array
}

export type Answer = { weakness: string | undefined } | Failure

export interface Failure {
  failure: unknown
  /** The error's code, if it is an error of Node.js. */
  code: string | undefined
}

/** Loads the policy only now, so that a failure to load it is answered too. */
async function execute({ password, account }: CheckRequest): Promise<Answer> {
  try {
    const { weaknessOf } = await import('./password-policy.ts')
    return { weakness: weaknessOf(password, account) }
  } catch (error) {
    return { failure: error, code: (error as NodeJS.ErrnoException).code }
  }
}

parentPort?.on('message', async (request: CheckRequest) => {
  const { port, answered } = request
  port.postMessage(await execute(request))
  Atomics.store(answered, 0, 1)
  Atomics.notify(answered, 0)
})
