import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Answer } from '#test/support/client.ts'

/** The outcome of one request: an answer, or the reason why no answer came. Then the request may have taken effect or not. */
export type Outcome = Answer | { status: 0; lost: string }

/** Sends a request once. A cut connection or a missing answer is an outcome, and no error. */
export async function attempt(send: () => Promise<Answer>): Promise<Outcome> {
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

/** Whether each repetition of the same request must get the same answer. */
export const isFinal = (outcome: Outcome): outcome is Answer =>
  outcome.status !== 0 &&
  outcome.status !== 202 &&
  outcome.status < 500 &&
  !('body' in outcome && outcome.body.code === 'request_in_progress')

/** An answer without the members that differ between requests. */
export const contentOf = ({ status, body: { requestId, ...content } }: Answer) => ({ status, ...content })

/** Compares final answers to the same request. @returns a complaint about each answer that differs from the first one */
export function findDifferentAnswers(name: string, answers: readonly Answer[]): string[] {
  const [first, ...others] = answers.map(contentOf)
  return others
    .filter((other) => !isDeepStrictEqual(other, first))
    .map((other) => `${name}: answered ${JSON.stringify(first)}, then ${JSON.stringify(other)}`)
}

const pauseMs = 100

/**
 * Repeats a request until its answer is final.
 * @param onOutcome is called with each outcome, including the last one
 * @throws if no answer is final within `timeoutMs`
 */
export async function persist(
  send: () => Promise<Answer>,
  timeoutMs: number,
  onOutcome: (outcome: Outcome) => void = () => undefined,
): Promise<Answer> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const outcome = await attempt(send)
    onOutcome(outcome)
    if (isFinal(outcome)) return outcome
    if (Date.now() > deadline) {
      throw new Error(`no final answer within ${timeoutMs} ms; the last one: ${JSON.stringify(outcome)}`)
    }
    await sleep(pauseMs)
  }
}
