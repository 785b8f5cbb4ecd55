import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './logger.ts'

/** Background work of a module. Every process that hosts the module does it while the process is ready. */
export interface Job {
  name: string
  /** The time from the end of a round to the next round. */
  intervalMs: number
  /**
   * Does one round of work, which must take a limited time.
   * @returns how much was done, for the log, and whether the next round should start at once
   * @throws Error if the round fails. Each failure doubles the delay until the next round, up to `maxBackoffMs`
   */
  round(signal: AbortSignal): Promise<{ done: number; more: boolean }>
}

const maxBackoffMs = 5_000

/** Runs the jobs until they are stopped. `stop` waits for the rounds in progress. */
export function startJobs(jobs: readonly Job[], logger: Logger): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping

  const runRepeatedly = async ({ name, intervalMs, round }: Job): Promise<void> => {
    let failures = 0
    let delayMs = intervalMs
    while (await pause(delayMs, signal)) {
      try {
        const { done, more } = await round(signal)
        if (done > 0) logger.info({ job: name, done }, 'job done')
        failures = 0
        delayMs = more ? 0 : intervalMs
      } catch (error) {
        failures += 1
        delayMs = Math.min(intervalMs * 2 ** failures, maxBackoffMs)
        logger.warn({ job: name, error: String(error), retryInMs: delayMs }, 'job failed')
      }
    }
  }

  const ended = Promise.all(jobs.map(runRepeatedly))
  return {
    async stop() {
      stopping.abort()
      await ended
    },
  }
}

/** Waits, with jitter, so that replicas that started together do not run their jobs together. @returns false once stopped */
async function pause(delayMs: number, signal: AbortSignal): Promise<boolean> {
  await sleep(delayMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
  return !signal.aborted
}
