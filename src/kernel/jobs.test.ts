import { expect, it, vi } from 'vitest'
import { createGate } from '#test/support/gate.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { type Job, startJobs } from './jobs.ts'
import { createMetrics } from './metrics.ts'

const logger = await quiet

/** Runs a job with these rounds. Each is 'done', 'more' or an error, and the last one is repeated. */
function startCounting(intervalMs: number, ...rounds: ('done' | 'more' | Error)[]) {
  const at: number[] = []
  const job: Job = {
    name: 'count',
    intervalMs,
    async round() {
      at.push(performance.now())
      const round = rounds[Math.min(at.length, rounds.length) - 1]
      if (round instanceof Error) throw round
      return { done: 1, more: round === 'more' }
    },
  }
  return { at, jobs: startJobs([job], logger, createMetrics()) }
}
const gaps = (at: readonly number[]) => at.slice(1).map((time, n) => time - (at[n] ?? 0))

it('a job is repeated after its interval, and at once while there is more to do', async () => {
  const { at, jobs } = startCounting(200, 'more', 'more', 'done')
  await vi.waitFor(() => expect(at.length).toBeGreaterThan(3), { timeout: 10_000 })
  await jobs.stop()
  const [first = 0, second = 0, third = 0] = gaps(at)
  expect(Math.min(first, second)).toBeLessThan(149)
  expect(third).toBeGreaterThanOrEqual(149)
})

it('the delay of a job doubles after each failure, and returns to the interval after a success', async () => {
  const failed = new Error('not now')
  const { at, jobs } = startCounting(100, failed, failed, failed, 'done')
  await vi.waitFor(() => expect(at.length).toBeGreaterThan(4), { timeout: 20_000 })
  await jobs.stop()
  const [first = 0, second = 0, third = 0] = gaps(at)
  expect(first).toBeGreaterThanOrEqual(149)
  expect(second).toBeGreaterThanOrEqual(299)
  expect(third).toBeGreaterThanOrEqual(599)
})

it('stopping the jobs aborts the signal of the round in progress, waits for its end and starts no other round', async () => {
  const gate = createGate()
  let isAborted = false
  let rounds = 0
  const job: Job = {
    name: 'wait',
    intervalMs: 1,
    async round(signal) {
      rounds += 1
      await gate.pass()
      isAborted = signal.aborted
      return { done: 0, more: true }
    },
  }
  const jobs = startJobs([job], logger, createMetrics())
  await gate.reached
  let stopped = false
  const stopping = jobs.stop().then(() => {
    stopped = true
  })
  await Promise.resolve()
  expect(stopped).toBe(false)
  gate.open()
  await stopping
  expect({ rounds, isAborted }).toEqual({ rounds: 1, isAborted: true })
})
