import { expect, it, vi } from 'vitest'
import { type Counter, callOf, useCounters } from '#test/support/counters.ts'
import type { SnapshotOptions } from './database.ts'

const shop = useCounters()

/** Fixes the time of the snapshot, creates a collection, and reads it as of that time. */
async function readNewCollection(snapshot: SnapshotOptions, name: string) {
  await shop.counters().findOne({}, snapshot)
  await shop.db.collection<Counter>(name).insertOne({ _id: 'new', n: 1 })
  return shop.db.collection<Counter>(name).find({}, snapshot).toArray()
}

it('the reads of a snapshot are repeated on a later one if a collection was created after the first read', async () => {
  const failures: unknown[] = []
  const read = await shop.database.snapshot('test', callOf(10_000), async (snapshot) => {
    const isFirst = failures.length === 0
    const reading = isFirst
      ? readNewCollection(snapshot, 'new')
      : shop.db.collection<Counter>('new').find({}, snapshot).toArray()
    await reading.catch((error: unknown) => failures.push(error))
    return reading
  })
  expect(failures[0]).toMatchObject({ codeName: 'SnapshotUnavailable' })
  expect(read).toEqual([{ _id: 'new', n: 1 }])
})

it('the reads of a snapshot fail as dependency_unavailable at the deadline if collections are created all the time', async () => {
  let collections = 0
  const work = vi.fn((snapshot: SnapshotOptions) => readNewCollection(snapshot, `new-${++collections}`))
  await expect(shop.database.snapshot('test', callOf(1_500), work)).rejects.toMatchObject({
    code: 'dependency_unavailable',
  })
  expect(work.mock.calls.length).toBeGreaterThan(1)
})

it('the reads of a snapshot are not repeated after another error', async () => {
  const work = vi.fn(() => Promise.reject(new TypeError('a mistake')))
  await expect(shop.database.snapshot('test', callOf(1_500), work)).rejects.toThrow('a mistake')
  expect(work).toHaveBeenCalledOnce()
})
