import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createBulkhead } from './bulkhead.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Creates a bulkhead with one place, which a request holds. `arrive` lets a request arrive each 5 ms, and returns how long each waits. */
function start() {
  const enteredAt = new Map<ServerResponse, number>()
  const waits: number[] = []
  const limits = { inProgress: { targetMs: 1_000, min: 1, max: 1 }, maxWaiting: 1_000 }
  const bulkhead = createBulkhead(
    { ...limits, maxWaitMs: 10, maxBurstWaitMs: 500 },
    {
      start: () => new Promise(() => {}),
      refuse: (response) => waits.push(performance.now() - (enteredAt.get(response) ?? 0)),
    },
  )
  const enter = () => {
    const response = { destroyed: false, req: { method: 'GET' } } as ServerResponse
    enteredAt.set(response, performance.now())
    void bulkhead.enter(response)
  }
  enter()
  return {
    async arrive(durationMs: number) {
      waits.length = 0
      for (let passedMs = 0; passedMs < durationMs; passedMs += 5) {
        enter()
        await vi.advanceTimersByTimeAsync(5)
      }
      return waits
    },
    pass: async (durationMs: number) => {
      waits.length = 0
      await vi.advanceTimersByTimeAsync(durationMs)
      return waits
    },
  }
}

it('a burst waits for half a second before it is refused', async () => {
  const { arrive, pass } = start()
  expect(await arrive(50)).toEqual([])
  expect(await pass(440)).toEqual([])
  const waits = await pass(100)
  expect(waits).toHaveLength(10)
})

it('requests are refused after some milliseconds while others are being refused', async () => {
  const { arrive } = start()
  await arrive(600)
  const waits = await arrive(1_000)
  expect(waits.length).toBeGreaterThan(190)
  expect(Math.max(...waits)).toBeLessThanOrEqual(25)
})

it('a burst waits again when none was refused for five seconds', async () => {
  const { arrive, pass } = start()
  await arrive(1_000)
  await pass(4_000)
  expect((await arrive(400)).length).toBeGreaterThan(70)
  await pass(6_000)
  expect(await arrive(400)).toEqual([])
})
