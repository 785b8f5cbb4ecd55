import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from '#test/support/client.ts'

/** What came of one request: an answer, or why none came and nobody knows what it did. */
export type Outcome = Answer | { status: 0; lost: string }

/** Sends once. Connections that are cut and answers that do not come are outcomes here. */
export async function attempt(send: () => Promise<Answer>): Promise<Outcome> {
  try {
    return await send()
  } catch (error) {
    // `fetch` says so of every failure of the network, and its signal of the time that is over.
    if (error instanceof TypeError || (error as Error).name === 'TimeoutError') {
      return { status: 0, lost: String((error as Error).cause ?? error) }
    }
    throw error
  }
}

/** Whether repeating the same request may be answered otherwise. */
export const isFinal = (outcome: Outcome): outcome is Answer =>
  outcome.status !== 0 &&
  outcome.status !== 202 &&
  outcome.status < 500 &&
  !('body' in outcome && outcome.body.code === 'request_in_progress')

const pause = 100

/**
 * Repeats a request until its answer is final.
 * @param heed hears of every outcome on the way
 * @throws if that takes longer than `limit` milliseconds
 */
export async function persist(
  send: () => Promise<Answer>,
  limit: number,
  heed: (outcome: Outcome) => void = () => undefined,
): Promise<Answer> {
  const patience = Date.now() + limit
  for (;;) {
    const outcome = await attempt(send)
    heed(outcome)
    if (isFinal(outcome)) return outcome
    if (Date.now() > patience) {
      throw new Error(`no final answer within ${limit} ms; the last one: ${JSON.stringify(outcome)}`)
    }
    await sleep(pause)
  }
}
