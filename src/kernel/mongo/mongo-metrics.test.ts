import { expect, it, vi } from 'vitest'
import { callOf, useCounters } from '#test/support/counters.ts'
import { seriesOf } from '#test/support/metrics.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import type { Database } from './database.ts'

const shop = useCounters()

async function figuresOf({ metrics }: Database) {
  const series = seriesOf((await metrics.scrape()).text)
  const operations = (operation: string, outcome: string) =>
    series.get(
      `trivet_mongodb_operation_duration_seconds_count{operation="${operation}",outcome="${outcome}"}`,
    ) ?? 0
  return {
    inUse: series.get('trivet_mongodb_pool_in_use_connections'),
    waiting: series.get('trivet_mongodb_pool_waiting_operations'),
    primary: series.get('trivet_mongodb_primary'),
    operations,
  }
}

it('a connection is in use while an operation runs, and operations count by their name and outcome', async () => {
  const { database, counters } = shop
  await counters().insertOne({ _id: 'a', n: 1 })
  expect(await figuresOf(database)).toMatchObject({ inUse: 0, waiting: 0 })
  const slow = database.run('counters.slow', callOf(300), () =>
    counters().findOne({ $where: 'sleep(1000) || true' }),
  )
  const refused = expect(slow).rejects.toMatchObject({ code: 'dependency_unavailable' })
  await vi.waitFor(async () => expect(await figuresOf(database)).toMatchObject({ inUse: 1, waiting: 0 }))
  await refused
  await database.run('counters.find', callOf(5_000), () => counters().findOne({}))
  // MongoDB has answered, with a refusal.
  await expect(
    database.run('counters.insert', callOf(5_000), () => counters().insertOne({ _id: 'a', n: 2 })),
  ).rejects.toThrow('duplicate key')
  await database.transaction('counters.transaction', callOf(5_000), (session) =>
    counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session }),
  )
  const { operations } = await figuresOf(database)
  expect(operations('counters.slow', 'failure')).toBe(1)
  expect(operations('counters.slow', 'success')).toBe(0)
  for (const name of ['find', 'insert', 'transaction']) {
    expect(operations(`counters.${name}`, 'success'), name).toBe(1)
  }
  await vi.waitFor(async () => expect(await figuresOf(database)).toMatchObject({ inUse: 0, waiting: 0 }), {
    timeout: 5_000,
  })
})

it('the metrics show whether the driver knows a primary', async () => {
  const proxy = await startMongodbProxy(shop.uri)
  const far = await shop.open(proxy.uri)
  const database = far.database('things')
  expect((await figuresOf(database)).primary).toBe(0)
  await far.connect(new AbortController().signal)
  expect((await figuresOf(database)).primary).toBe(1)
  await proxy.disconnect()
  await vi.waitFor(async () => expect((await figuresOf(database)).primary).toBe(0), { timeout: 20_000 })
  await proxy.reconnect()
  await vi.waitFor(async () => expect((await figuresOf(database)).primary).toBe(1), { timeout: 20_000 })
  await far.close()
  await proxy.disconnect()
})
