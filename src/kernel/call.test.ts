import { afterEach, beforeEach, expect, it, vi } from 'vitest'

// Test files share their modules, and an earlier file may have left a timer in the one list of timers.
vi.resetModules()
const { createCall, retryOnTimeout, waitUntilDeadline } = await import('./call.ts')
const { atDeadline } = await import('./deadline-timers.ts')

// Other timers stay real: programs that earlier test files started use them.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] }))
afterEach(() => {
  // The next test would wait for the interval of this one.
  vi.advanceTimersByTime(20)
  vi.restoreAllMocks()
  vi.useRealTimers()
})

it('each timer fires at its own deadline, or up to 10 ms later, in any order of creation', () => {
  const fired: number[] = []
  for (const timeoutMs of [300, 100, 200]) {
    atDeadline(createCall(timeoutMs, 'a'), () => fired.push(timeoutMs))
  }
  vi.advanceTimersByTime(99)
  expect(fired).toEqual([])
  vi.advanceTimersByTime(11)
  expect(fired).toEqual([100])
  vi.advanceTimersByTime(200)
  expect(fired).toEqual([100, 200, 300])
})

it('a cancelled timer does not fire, even if another timer that fires with it cancels it', () => {
  const fired: string[] = []
  const cancel: (() => void)[] = []
  cancel.push(atDeadline(createCall(50, 'a'), () => fired.push('cancelled at once')))
  cancel[0]?.()
  cancel[0]?.()
  atDeadline(createCall(50, 'b'), () => {
    fired.push('first')
    cancel[1]?.()
  })
  cancel.push(atDeadline(createCall(50, 'c'), () => fired.push('cancelled by the first')))
  atDeadline(createCall(50, 'd'), () => fired.push('last'))
  vi.advanceTimersByTime(60)
  expect(fired).toEqual(['first', 'last'])
})

it('the interval that serves all timers ends with the last of them', () => {
  const started = vi.spyOn(globalThis, 'setInterval')
  const ended = vi.spyOn(globalThis, 'clearInterval')
  atDeadline(createCall(50, 'a'), () => undefined)
  const cancel = atDeadline(createCall(60, 'b'), () => undefined)
  expect(started).toHaveBeenCalledTimes(1)
  cancel()
  vi.advanceTimersByTime(40)
  expect(ended).not.toHaveBeenCalled()
  vi.advanceTimersByTime(20)
  expect(ended).toHaveBeenCalledExactlyOnceWith(started.mock.results[0]?.value)
})

it('waiting for work stops at the deadline, even if the deadline has passed before', async () => {
  for (const timeoutMs of [100, -100]) {
    const answer = waitUntilDeadline(createCall(timeoutMs, 'a'), 'it', new Promise(() => undefined))
    const refused = expect(answer).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'it did not answer in time',
    })
    await vi.advanceTimersByTimeAsync(110)
    await refused
  }
})

it('the result or the error of work that ends before the deadline is passed on', async () => {
  expect(await waitUntilDeadline(createCall(100, 'a'), 'it', Promise.resolve(1))).toBe(1)
  const failed = waitUntilDeadline(createCall(100, 'a'), 'it', Promise.reject(new Error('no')))
  await expect(failed).rejects.toThrow('no')
})

it('a read that hangs is started a second time, and waiting for it stops at the deadline', async () => {
  let reads = 0
  const read = () => {
    reads += 1
    return new Promise(() => undefined)
  }
  const refused = expect(retryOnTimeout(createCall(300, 'a'), 100, 'it', read)).rejects.toMatchObject({
    code: 'dependency_unavailable',
  })
  await vi.advanceTimersByTimeAsync(330)
  await refused
  expect(reads).toBe(2)
})
