import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Answer } from '#test/support/client.ts'

/** The outcome of one request: an answer, or the reason why no answer came. Then the request may have taken effect or not. */
export type Outcome = Answer | { status: 0; lost: string }

/** Sends a request. A cut connection or a missing answer is an outcome, and no error. */
export async function sendOnce(send: () => Promise<Answer>): Promise<Outcome> {
  try {
    return await send()
  } catch (error) {
    // `fetch` throws TypeError for each failure of the network; its signal throws TimeoutError.
    if (error instanceof TypeError || (error as Error).name === 'TimeoutError') {
      return { status: 0, lost: String((error as Error).cause ?? error) }
    }
    throw error
  }
}

const pauseMs = 100

/**
 * Repeats a request until its answer is final.
 * @param onOutcome is called with each outcome, including the last one
 * @throws if no answer is final within `timeoutMs`
 */
export async function sendUntilFinal(
  send: () => Promise<Answer>,
  timeoutMs: number,
  onOutcome: (outcome: Outcome) => void = () => undefined,
): Promise<Answer> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const outcome = await sendOnce(send)
    onOutcome(outcome)
    if (isFinal(outcome)) return outcome
    if (Date.now() > deadline) {
      throw new Error(`no final answer within ${timeoutMs} ms; the last one: ${JSON.stringify(outcome)}`)
    }
    await sleep(pauseMs)
  }
}

/** Whether each repetition of the same request must get the same answer. */
export const isFinal = (outcome: Outcome): outcome is Answer =>
  outcome.status !== 0 &&
  outcome.status !== 202 &&
  outcome.status < 500 &&
  !('body' in outcome && outcome.body.code === 'request_in_progress')

/** Whether the request may or may not have taken effect. */
export const isUnknown = ({ status }: Outcome): boolean => status === 0 || status >= 500

/** The error code in the answer, or else the status of the order in it, or `lost`. */
export const codeOf = (outcome: Outcome): string =>
  'body' in outcome ? (outcome.body?.code ?? outcome.body?.status ?? '') : 'lost'

/** Compares final answers to the same request. @returns a complaint about each answer that differs from the first one */
export function findDifferentAnswers(name: string, answers: readonly Answer[]): string[] {
  const [first, ...others] = answers.map(withoutRequestId)
  return others
    .filter((other) => !isDeepStrictEqual(other, first))
    .map((other) => `${name}: answered ${JSON.stringify(first)}, then ${JSON.stringify(other)}`)
}

const withoutRequestId = ({ status, body: { requestId, ...content } }: Answer) => ({ status, ...content })
