import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { Span, Tracing } from './span.ts'
import { ended } from './tracing.ts'

/** Background work of a module. Every process that hosts the module does it while the process is ready. */
export interface Job {
  name: string
  /** The time from the end of a round to the next round. */
  intervalMs: number
  /**
   * Does one round of work, which must take a limited time.
   * @param span the span of the round, while tracing is on
   * @returns how much was done, for the log, and whether the next round should start at once
   * @throws Error if the round fails. Each failure doubles the delay until the next round, up to `maxBackoffMs`
   */
  round(signal: AbortSignal, span?: Span): Promise<{ done: number; more: boolean }>
}

const maxBackoffMs = 5_000

const doneCount = {
  name: 'trivet_job_done_total',
  help: 'What the rounds of a job did, such as orders finished',
}
const roundDuration = {
  name: 'trivet_job_round_duration_seconds',
  help: 'Time that a round of a job took, by its outcome',
  buckets: [0.01, 0.1, 1, 10, 60],
}

/** Runs the jobs until they are stopped. `stop` waits for the rounds in progress. */
export function startJobs(
  jobs: readonly Job[],
  logger: Logger,
  metrics: Metrics,
  tracing?: Tracing,
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping

  const runRepeatedly = async ({ name, intervalMs, round }: Job): Promise<void> => {
    const succeeded = metrics.histogram(roundDuration, { task: name, outcome: 'success' })
    const failed = metrics.histogram(roundDuration, { task: name, outcome: 'failure' })
    const doneInAll = metrics.counter(doneCount, { task: name })
    let failures = 0
    let delayMs = intervalMs
    while (await pause(delayMs, signal)) {
      const startedAt = performance.now()
      const took = () => (performance.now() - startedAt) / 1_000
      try {
        const span = tracing?.start(name)
        const { done, more } = await (span ? ended(span, round(signal, span)) : round(signal))
        succeeded.observe(took())
        doneInAll.add(done)
        if (done > 0) logger.info({ job: name, done }, 'job done')
        failures = 0
        delayMs = more ? 0 : intervalMs
      } catch (error) {
        failed.observe(took())
        failures += 1
        delayMs = Math.min(intervalMs * 2 ** failures, maxBackoffMs)
        logger.warn({ job: name, err: error, retryInMs: delayMs }, 'job failed')
      }
    }
  }

  const allEnded = Promise.all(jobs.map(runRepeatedly))
  return {
    async stop() {
      stopping.abort()
      await allEnded
    },
  }
}

/** Waits, with jitter, so that replicas that started together do not run their jobs together. @returns false once stopped */
async function pause(delayMs: number, signal: AbortSignal): Promise<boolean> {
  await sleep(delayMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
  return !signal.aborted
}
