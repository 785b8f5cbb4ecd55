import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { countRepeats } from './repeats.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const intervalMs = 1_000

/** Counts the events of a test, and records what is written about them. */
function record() {
  const repeats = countRepeats(intervalMs)
  const written: [event: string, count: number][] = []
  return {
    written,
    flush: repeats.flush,
    add: (kind: string, event = kind) => repeats.add(kind, (count) => written.push([event, count])),
  }
}

it('the first event of a kind is written at once, and one line for all others at the end of each interval', () => {
  const { add, written } = record()
  expect(add('a', 'first')).toBe(true)
  for (const event of ['second', 'third']) expect(add('a', event)).toBe(false)
  expect(written).toEqual([['first', 1]])
  vi.advanceTimersByTime(intervalMs)
  expect(written.splice(0)).toEqual([
    ['first', 1],
    ['third', 2],
  ])
  add('a', 'fourth')
  expect(written).toEqual([])
  vi.advanceTimersByTime(intervalMs)
  expect(written).toEqual([['fourth', 1]])
})

it('a kind starts anew after an interval without an event', () => {
  const { add, written } = record()
  add('a')
  vi.advanceTimersByTime(intervalMs)
  expect(add('a')).toBe(true)
  expect(written).toHaveLength(2)
})

it('events of different kinds are counted apart, and those of more than a hundred kinds together', () => {
  const { add, written } = record()
  for (let round = 0; round < 3; round++) for (let n = 0; n < 1_000; n++) add(`kind ${n}`)
  // One line for each of the hundred kinds, and one for all others.
  expect(written.splice(0)).toHaveLength(101)
  vi.advanceTimersByTime(intervalMs)
  expect(written).toHaveLength(101)
  expect(written.filter(([, count]) => count === 2)).toHaveLength(100)
  expect(written.reduce((sum, [, count]) => sum + count, 0)).toBe(3_000 - 101)
})

it('the counts of an unfinished interval are written by `flush`, once', () => {
  const { add, flush, written } = record()
  for (const event of ['first', 'second', 'third']) add('a', event)
  flush()
  expect(written).toEqual([
    ['first', 1],
    ['third', 2],
  ])
  vi.advanceTimersByTime(10 * intervalMs)
  expect(written).toHaveLength(2)
})

it('the sum of the counts is the number of events, whenever they come', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(120), fc.nat(intervalMs / 2))), (events) => {
      const { add, flush, written } = record()
      for (const [kind, pauseMs] of events) {
        add(`kind ${kind}`)
        vi.advanceTimersByTime(pauseMs)
      }
      flush()
      expect(written.reduce((sum, [, count]) => sum + count, 0)).toBe(events.length)
    }),
  )
})
