import type mongoose from 'mongoose'
import { describe, expect, it, vi } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { type Counter, callOf, useCounters } from '#test/support/counters.ts'
import { createGate } from '#test/support/gate.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'

const shop = useCounters()

describe('a transaction', () => {
  /** Reads a counter and writes its value plus one, so that a lost update is detected. */
  const increment = async (session: mongoose.ClientSession, before: () => Promise<void> | void) => {
    const found = await shop.counters().findOne({ _id: 'a' }, { session })
    await before()
    await shop.counters().updateOne({ _id: 'a' }, { $set: { n: (found?.n ?? 0) + 1 } }, { session })
    return (found?.n ?? 0) + 1
  }

  /** An open transaction would block this one. After its commit, no earlier transaction can take effect. */
  const settled = async () => {
    await shop.database.transaction('test', callOf(10_000), (session) =>
      shop.counters().updateOne({ _id: 'a' }, { $inc: { n: 100 } }, { session }),
    )
    return shop.counters().find().sort({ _id: 1 }).toArray()
  }

  const openTransactions = () => {
    const own = { 'clientMetadata.application.name': `trivet ${shop.prefix}`, transaction: { $exists: true } }
    const admin = shop.mongo.database('things').connection.getClient().db('admin')
    const sessions = [{ $currentOp: { idleSessions: true } }, { $match: own }]
    return admin.aggregate(sessions, { readConcern: { level: 'local' } }).toArray()
  }

  it('a transaction takes effect as a whole', async () => {
    const result = await shop.database.transaction('test', callOf(5_000), async (session) => {
      await shop.counters().insertOne({ _id: 'a', n: 1 }, { session })
      await shop.counters().insertOne({ _id: 'b', n: 2 }, { session })
      // Other sessions do not see the writes before the commit.
      expect(await shop.counters().countDocuments()).toBe(0)
      return 'done'
    })
    expect(result).toBe('done')
    expect(await shop.counters().countDocuments()).toBe(2)
  })

  it('a transaction is repeated after a write conflict, so that both effects are stored', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 0 })
    const bothHaveRead = createGate()
    let attempts = 0
    const both = await Promise.all(
      [1, 2].map(() =>
        shop.database.transaction('test', callOf(10_000), (session) =>
          increment(session, () => {
            attempts += 1
            if (attempts === 2) bothHaveRead.open()
            return bothHaveRead.pass()
          }),
        ),
      ),
    )
    expect(both.toSorted()).toEqual([1, 2])
    expect(attempts).toBeGreaterThan(2)
    expect(await shop.counters().findOne({ _id: 'a' })).toEqual({ _id: 'a', n: 2 })
  })

  it('a transaction is repeated after a duplicate key, on the present data', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 0 })
    let attempts = 0
    const result = await shop.database.transaction('test', callOf(5_000), async (session) => {
      attempts += 1
      // The insert fails with a duplicate key, as after a concurrent insert by another process.
      if (attempts === 1) await shop.counters().insertOne({ _id: 'a', n: 1 }, { session })
      return (await shop.counters().findOne({ _id: 'a' }, { session }))?.n
    })
    expect({ result, attempts }).toEqual({ result: 0, attempts: 2 })
  })

  it('a transaction is repeated if another process killed it before its commit', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 0 })
    let attempts = 0
    await shop.database.transaction('test', callOf(10_000), async (session) => {
      attempts += 1
      await shop.counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
      // This is how a process kills a stalled transaction that it waits for.
      if (attempts === 1) await shop.db.admin().command({ killSessions: [{ id: session.id?.id }] })
    })
    expect(attempts).toBe(2)
    expect(await shop.counters().findOne({ _id: 'a' })).toEqual({ _id: 'a', n: 1 })
  })

  it('a transaction fails at the deadline as dependency_unavailable if every attempt conflicts', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 0 })
    const started = performance.now()
    const hopeless = shop.database.transaction('test', callOf(300), (session) =>
      shop.counters().insertOne({ _id: 'a', n: 1 }, { session }),
    )
    await expect(hopeless).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(600)
  })

  it('a transaction has no effect if its deadline passes during its work, even if the work continues', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 0 })
    const gate = createGate()
    let carriedOn: Promise<unknown> = Promise.resolve()
    const late = shop.database.transaction('test', callOf(150), async (session) => {
      await shop.counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
      await gate.pass()
      carriedOn = shop.counters().insertOne({ _id: 'b', n: 1 }, { session })
      await carriedOn
    })
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(await settled()).toEqual([{ _id: 'a', n: 100 }])
    gate.open()
    await Promise.resolve()
    await expect(carriedOn).rejects.toThrow()
    expect(await settled()).toEqual([{ _id: 'a', n: 200 }])
  })

  it('a transaction is not left open if its deadline passes before its first command arrives', async () => {
    const proxy = await startMongodbProxy(shop.uri)
    const far = await shop.open(proxy.uri)
    await far.connect(new AbortController().signal)
    const { connection, transaction } = far.database('things')
    // Existing connections stop here. A later command opens a new connection and arrives first.
    proxy.freeze()
    let inserted: Promise<unknown> = Promise.resolve()
    const late = transaction('test', callOf(150), (session) => {
      inserted = connection.collection<Counter>('counters').insertOne({ _id: 'a', n: 1 }, { session })
      return inserted
    })
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await far.ping()
    proxy.thaw()
    await inserted
    await vi.waitFor(async () => expect(await openTransactions()).toEqual([]), { timeout: 5_000 })
    expect(await settled()).toEqual([])
    await far.close()
    await proxy.disconnect()
  })

  it('a transaction has no effect if its deadline passes between its work and its commit', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 0 })
    vi.useFakeTimers({ toFake: ['Date'] })
    const late = shop.database.transaction('test', callOf(60_000), async (session) => {
      await shop.counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
      vi.setSystemTime(Date.now() + 60_000)
    })
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(await settled()).toEqual([{ _id: 'a', n: 100 }])
  })

  it('a transaction does not start after the deadline', async () => {
    const work = vi.fn(async () => 1)
    await expect(shop.database.transaction('test', callOf(0), work)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(work).not.toHaveBeenCalled()
  })

  it.each([new DomainError('insufficient_stock', 'too few', { items: [] }), new RangeError('a mistake')])(
    'a transaction whose work throws %s has no effect, and throws the error unchanged',
    async (fault) => {
      await shop.counters().insertOne({ _id: 'a', n: 0 })
      const refused = shop.database.transaction('test', callOf(5_000), async (session) => {
        await shop.counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
        throw fault
      })
      await expect(refused).rejects.toBe(fault)
      expect(await settled()).toEqual([{ _id: 'a', n: 100 }])
    },
  )

  it('a transaction reads one snapshot from start to end', async () => {
    await shop.counters().insertMany([
      { _id: 'a', n: 1 },
      { _id: 'b', n: 1 },
    ])
    const seen = await shop.database.transaction('test', callOf(5_000), async (session) => {
      const a = await shop.counters().findOne({ _id: 'a' }, { session })
      await shop.counters().updateMany({}, { $set: { n: 2 } })
      return [a?.n, (await shop.counters().findOne({ _id: 'b' }, { session }))?.n]
    })
    expect(seen).toEqual([1, 1])
  })
})
