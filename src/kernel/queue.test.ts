import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { createCall } from './call.ts'
import { createQueue } from './queue.ts'

const createLine = (maxWaiting = 10, isUniform = false) =>
  createQueue({ name: 'the work', maxConcurrent: 1, maxWaiting, isUniform })
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: { code?: string }) => error.code,
  )

it('a task is refused as overloaded if too many tasks wait', async () => {
  const queue = createLine(2)
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const outcomes = Array.from({ length: 4 }, () => codeOf(queue(createCall(10_000, 'a'), () => gate)))
  expect(await outcomes[3]).toBe('overloaded')
  expect(() => queue.requirePlace(createCall(10_000, 'b'))).toThrow('2 requests are waiting for the work')
  open()
  expect(await Promise.all(outcomes)).toEqual(['done', 'done', 'done', 'overloaded'])
  queue.requirePlace(createCall(10_000, 'c'))
})

it('a task of a uniform queue is refused at once if it could not start before its deadline', async () => {
  const queue = createLine(10, true)
  await queue(createCall(10_000, 'first'), () => sleep(100))
  const earlier = Array.from({ length: 4 }, () => queue(createCall(10_000, 'earlier'), () => sleep(100)))
  const startedAt = performance.now()
  expect(await codeOf(queue(createCall(150, 'late'), async () => 'never'))).toBe('overloaded')
  expect(performance.now() - startedAt).toBeLessThan(100)
  expect(() => queue.requirePlace(createCall(150, 'late'))).toThrow('are waiting')
  expect(await codeOf(queue(createCall(10_000, 'in time'), async () => 'done'))).toBe('done')
  await Promise.all(earlier)
})

it('a long task does not let a queue of other tasks refuse any', async () => {
  const queue = createLine()
  await queue(createCall(10_000, 'long'), () => sleep(600))
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const before = Array.from({ length: 4 }, () => queue(createCall(10_000, 'before'), () => gate))
  const short = queue(createCall(1_000, 'short'), async () => 'done')
  open()
  expect(await short).toBe('done')
  await Promise.all(before)
})

it('a task that is still waiting at its deadline fails, and is not carried out', async () => {
  const queue = createLine()
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const first = queue(createCall(10_000, 'first'), () => gate)
  let isCarriedOut = false
  const late = queue(createCall(50, 'late'), async () => {
    isCarriedOut = true
  })
  expect(await codeOf(late)).toBe('dependency_unavailable')
  open()
  await first
  await queue(createCall(10_000, 'next'), async () => undefined)
  expect(isCarriedOut).toBe(false)
})
