import { expect, it, vi } from 'vitest'
import { createGate } from '#test/support/gate.ts'
import { quiet } from '#test/support/shop.ts'
import { type Job, startJobs } from './jobs.ts'

const logger = await quiet

/** Runs a job of these rounds; each is 'done', 'more' or an error, the last one again and again. */
function running(intervalMs: number, ...rounds: ('done' | 'more' | Error)[]) {
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
  return { at, jobs: startJobs([job], logger) }
}
const gaps = (at: readonly number[]) => at.slice(1).map((time, n) => time - (at[n] ?? 0))

it('a job comes round again after its interval, and at once while there is more to do', async () => {
  const { at, jobs } = running(200, 'more', 'more', 'done')
  await vi.waitFor(() => expect(at.length).toBeGreaterThan(3), { timeout: 10_000 })
  await jobs.stop()
  const [first = 0, second = 0, third = 0] = gaps(at)
  expect(Math.min(first, second)).toBeLessThan(149)
  expect(third).toBeGreaterThanOrEqual(149)
})

it('a job that fails comes round later each time, and as before once it succeeds', async () => {
  const failed = new Error('not now')
  const { at, jobs } = running(100, failed, failed, failed, 'done')
  await vi.waitFor(() => expect(at.length).toBeGreaterThan(4), { timeout: 20_000 })
  await jobs.stop()
  const [first = 0, second = 0, third = 0] = gaps(at)
  expect(first).toBeGreaterThanOrEqual(149)
  expect(second).toBeGreaterThanOrEqual(299)
  expect(third).toBeGreaterThanOrEqual(599)
})

it('stopping waits for the round at work, which is told, and no other begins', async () => {
  const gate = createGate()
  let told = false
  let rounds = 0
  const job: Job = {
    name: 'wait',
    intervalMs: 1,
    async round(signal) {
      rounds += 1
      await gate.pass()
      told = signal.aborted
      return { done: 0, more: true }
    },
  }
  const jobs = startJobs([job], logger)
  await gate.reached
  let stopped = false
  const stopping = jobs.stop().then(() => {
    stopped = true
  })
  await Promise.resolve()
  expect(stopped).toBe(false)
  gate.open()
  await stopping
  expect({ rounds, told }).toEqual({ rounds: 1, told: true })
})
