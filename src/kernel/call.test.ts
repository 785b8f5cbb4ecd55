import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createCall, retryOnTimeout, waitUntilDeadline } from './call.ts'
import { atDeadline } from './deadline-timers.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  // The one timer of all waits is gone with the last of them.
  vi.advanceTimersByTime(20)
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

it('ends each wait at its own deadline, in whatever order they came, and up to 10 ms later', () => {
  const ended: number[] = []
  for (const milliseconds of [300, 100, 200]) {
    atDeadline(createCall(milliseconds, 'a'), () => ended.push(milliseconds))
  }
  vi.advanceTimersByTime(99)
  expect(ended).toEqual([])
  vi.advanceTimersByTime(11)
  expect(ended).toEqual([100])
  vi.advanceTimersByTime(200)
  expect(ended).toEqual([100, 200, 300])
})

it('ends no wait that was taken back, also by another that ended with it', () => {
  const ended: string[] = []
  const takeBack: (() => void)[] = []
  takeBack.push(atDeadline(createCall(50, 'a'), () => ended.push('taken back at once')))
  takeBack[0]?.()
  takeBack[0]?.()
  atDeadline(createCall(50, 'b'), () => {
    ended.push('first')
    takeBack[1]?.()
  })
  takeBack.push(atDeadline(createCall(50, 'c'), () => ended.push('taken back by the first')))
  atDeadline(createCall(50, 'd'), () => ended.push('last'))
  vi.advanceTimersByTime(60)
  expect(ended).toEqual(['first', 'last'])
})

it('waits for no work beyond the deadline, also if that has passed already', async () => {
  for (const milliseconds of [100, -100]) {
    const answer = waitUntilDeadline(createCall(milliseconds, 'a'), 'it', new Promise(() => undefined))
    const refused = expect(answer).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'it did not answer in time',
    })
    await vi.advanceTimersByTimeAsync(110)
    await refused
  }
})

it('gives the outcome of work that is done in time', async () => {
  expect(await waitUntilDeadline(createCall(100, 'a'), 'it', Promise.resolve(1))).toBe(1)
  const failed = waitUntilDeadline(createCall(100, 'a'), 'it', Promise.reject(new Error('no')))
  await expect(failed).rejects.toThrow('no')
})

it('waits no longer than the deadline for work that is begun once more', async () => {
  let begun = 0
  const work = () => {
    begun += 1
    return new Promise(() => undefined)
  }
  const refused = expect(retryOnTimeout(createCall(300, 'a'), 100, 'it', work)).rejects.toMatchObject({
    code: 'dependency_unavailable',
  })
  await vi.advanceTimersByTimeAsync(330)
  await refused
  expect(begun).toBe(2)
})
