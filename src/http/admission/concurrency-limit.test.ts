import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createConcurrencyLimit } from './concurrency-limit.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Creates a limit, and a function that lets requests be answered for some seconds while a number of them is in progress. */
function start() {
  const limit = createConcurrencyLimit({ targetMs: 100, min: 10, max: 1_000 })
  const answer = (options: { durationMs: number; inProgress: number; seconds: number }) => {
    for (let i = 0; i < options.seconds * 100; i++) {
      vi.advanceTimersByTime(10)
      limit.count(options.durationMs, options.inProgress)
    }
  }
  return { limit, answer }
}

it('the limit falls to its minimum while answers take longer than the target, and rises to its maximum while they take less', () => {
  const { limit, answer } = start()
  const atFirst = limit.current()
  expect(atFirst).toBe(100)
  answer({ durationMs: 101, inProgress: 1_000, seconds: 1 })
  expect(limit.current()).toBeLessThan(atFirst)
  answer({ durationMs: 101, inProgress: 1_000, seconds: 10 })
  expect(limit.current()).toBe(10)
  answer({ durationMs: 20, inProgress: 1_000, seconds: 1 })
  expect(limit.current()).toBeGreaterThan(10)
  answer({ durationMs: 20, inProgress: 1_000, seconds: 10 })
  expect(limit.current()).toBe(1_000)
})

it('the limit stays where the answers take almost as long as the target', () => {
  const { limit, answer } = start()
  answer({ durationMs: 90, inProgress: 1_000, seconds: 10 })
  expect(limit.current()).toBe(100)
})

it.each([1, 200])(
  'the limit stays while at most half of it is in use, and answers take %i ms',
  (durationMs) => {
    const { limit, answer } = start()
    answer({ durationMs, inProgress: 50, seconds: 10 })
    expect(limit.current()).toBe(100)
    answer({ durationMs, inProgress: 51, seconds: 1 })
    expect(limit.current()).not.toBe(100)
  },
)
