import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import mongoose from 'mongoose'
import { describe, expect, it, type TestContext, vi } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { type Counter, callOf, useCounters } from '#test/support/counters.ts'
import { createGate } from '#test/support/gate.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { isDuplicateKey } from './errors.ts'
import { sendWrites } from './plain-commands.ts'

const shop = useCounters()

/** Returns the error of a write to a socket that the other side has closed. */
async function writeAfterItsEnd(): Promise<unknown> {
  const server = createServer((socket) => socket.end())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').resume()
  await once(socket, 'end')
  const failed = once(socket, 'drain').catch((error: unknown) => error)
  socket.write('late')
  server.close()
  return failed
}

describe('an operation', () => {
  it('an operation returns its result and gets its time limit', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 1 })
    const seen: number[] = []
    const found = await shop.database.run('test', callOf(5_000), (maxTimeMS) => {
      seen.push(maxTimeMS)
      return shop.counters().findOne({ _id: 'a' }, { maxTimeMS })
    })
    expect(found).toEqual({ _id: 'a', n: 1 })
    expect(seen[0]).toBeGreaterThan(4_000)
    expect(seen[0]).toBeLessThanOrEqual(5_000)
  })

  it('an operation does not start after the deadline', async () => {
    const work = vi.fn(async () => 1)
    await expect(shop.database.run('test', callOf(0), work)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(work).not.toHaveBeenCalled()
  })

  it('a slow operation fails at the deadline', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 1 })
    const started = performance.now()
    const slow = shop.database.run('test', callOf(150), () =>
      shop.counters().findOne({ $where: 'sleep(1500) || true' }),
    )
    await expect(slow).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(600)
  })

  it('an operation that exceeds the time limit of the server fails as dependency_unavailable', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 1 })
    const slow = shop.database.run('test', callOf(5_000), () =>
      shop.counters().findOne({ $where: 'sleep(5000) || true' }, { maxTimeMS: 20 }),
    )
    await expect(slow).rejects.toMatchObject({
      code: 'dependency_unavailable',
      cause: { codeName: 'MaxTimeMSExpired' },
    })
  })

  it('an operation throws a duplicate key error unchanged', async () => {
    await shop.counters().insertOne({ _id: 'a', n: 1 })
    const error = await shop.database
      .run('test', callOf(5_000), () => shop.counters().insertOne({ _id: 'a', n: 2 }))
      .catch((error: unknown) => error)
    expect(isDuplicateKey(error)).toBe(true)
  })

  it('an operation throws the errors of its work unchanged', async () => {
    const faults = [new TypeError('a mistake'), new DomainError('version_conflict', 'it has changed')]
    for (const fault of faults) {
      await expect(shop.database.run('test', callOf(5_000), () => Promise.reject(fault))).rejects.toBe(fault)
    }
    const wrong = shop.database.run('test', callOf(5_000), () =>
      shop.counters().updateOne({}, { $nonsense: { n: 1 } } as never),
    )
    await expect(wrong).rejects.toBeInstanceOf(mongoose.mongo.MongoServerError)
  })

  it.each([
    [187, 'LinearizableReadConcernError'],
    [189, 'PrimarySteppedDown'],
    [237, 'CursorKilled'],
    [43, 'CursorNotFound'],
    [239, 'SnapshotTooOld'],
    [246, 'SnapshotUnavailable'],
    [11601, 'Interrupted'],
    [11602, 'InterruptedDueToReplStateChange'],
    [10107, 'NotWritablePrimary'],
  ])(
    'an operation fails as dependency_unavailable at the temporary server error %i (%s)',
    async (code, codeName) => {
      const passing = new mongoose.mongo.MongoServerError({ message: codeName, code, codeName })
      const failed = shop.database.run('test', callOf(5_000), () => Promise.reject(passing))
      await expect(failed).rejects.toMatchObject({ code: 'dependency_unavailable', cause: passing })
    },
  )

  it('an operation fails as dependency_unavailable if no majority acknowledges its write', async () => {
    const unsatisfied = { w: 7, wtimeout: 1 } as const
    const written = (id: string) =>
      shop.database.run('test', callOf(5_000), () =>
        shop.counters().insertOne({ _id: id, n: 1 }, { writeConcern: unsatisfied }),
      )
    await expect(written('a')).rejects.toMatchObject({
      code: 'dependency_unavailable',
      cause: { name: 'MongoWriteConcernError' },
    })
  })

  it('an operation fails as dependency_unavailable at the deadline if the database was never reached', async () => {
    const unreached = await shop.open()
    const { connection, run } = unreached.database('things')
    const asked = run('test', callOf(50), () => connection.collection('counters').findOne({}))
    await expect(asked).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await unreached.close()
  })
})

describe('the loss of the server', () => {
  it('an operation whose command is written to a closed socket fails as dependency_unavailable, and a transaction is repeated', async () => {
    // The driver passes on Node.js's socket error if the connection is cut during a handshake, about once in a hundred cuts.
    const error = await writeAfterItsEnd()
    expect(error).toMatchObject({ code: 'EPIPE' })
    const failed = shop.database.run('test', callOf(5_000), () => Promise.reject(error))
    await expect(failed).rejects.toMatchObject({ code: 'dependency_unavailable', cause: error })
    let attempts = 0
    await shop.database.transaction('test', callOf(5_000), async (session) => {
      attempts += 1
      await shop.counters().insertOne({ _id: 'a', n: attempts }, { session })
      if (attempts === 1) throw error
    })
    // The second attempt may conflict with the first one, which is aborted in the background.
    expect(attempts).toBeGreaterThan(1)
    expect(await shop.counters().find().toArray()).toEqual([{ _id: 'a', n: attempts }])
  })

  it('a commit that is written to a closed socket is repeated without its transaction', async () => {
    const error = await writeAfterItsEnd()
    let attempts = 0
    await shop.database.transaction('test', callOf(5_000), async (session) => {
      attempts += 1
      const commitTransaction = session.commitTransaction.bind(session)
      vi.spyOn(session, 'commitTransaction').mockImplementationOnce(async () => {
        await commitTransaction()
        throw error
      })
      await shop.counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session, upsert: true })
    })
    expect(attempts).toBe(1)
    expect(await shop.counters().find().toArray()).toEqual([{ _id: 'a', n: 1 }])
  })

  it('operations fail in time as dependency_unavailable while the server is lost, and the same connection finds it again', async () => {
    const proxy = await startMongodbProxy(shop.uri)
    const far = await shop.open(proxy.uri)
    await far.connect(new AbortController().signal)
    const { connection, run, transaction } = far.database('things')
    const find = (milliseconds: number) =>
      run('test', callOf(milliseconds), () =>
        connection.collection('counters').findOne({ _id: 'a' as never }),
      )
    expect(await find(5_000)).toBeNull()

    await proxy.disconnect()
    const started = performance.now()
    await expect(find(200)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    const bought = transaction('test', callOf(200), (session) =>
      connection.collection('counters').insertOne({ n: 1 }, { session }),
    )
    await expect(bought).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(800)

    await proxy.reconnect()
    await vi.waitFor(() => far.ping(), { timeout: 10_000 })
    expect(await find(5_000)).toBeNull()
    await far.close()
    await proxy.disconnect()
  })

  it('transactions that lose the server are repeated when the server is back', async () => {
    const proxy = await startMongodbProxy(shop.uri)
    const far = await shop.open(proxy.uri)
    await far.connect(new AbortController().signal)
    const { connection, transaction } = far.database('things')
    const allHaveRead = createGate()
    const allAreWriting = createGate()
    let reading = 0
    let writing = 0
    const bought = Array.from({ length: 8 }, (_, n) =>
      transaction('test', callOf(20_000), async (session, maxTimeMS) => {
        await connection.collection<Counter>('counters').findOne({ _id: 'a' }, { session })
        reading += 1
        if (reading === 8) {
          proxy.freeze()
          allHaveRead.open()
        }
        await allHaveRead.pass()
        // When the first connection fails, the driver closes the others, and labels their errors less precisely.
        const insert = { insert: 'counters', documents: [{ _id: `a${n}`, n }] }
        const inserted = sendWrites(connection, insert, { session, maxTimeMS, ordered: true })
        writing += 1
        if (writing === 8) allAreWriting.open()
        await inserted
      }),
    )
    await allAreWriting.pass()
    await proxy.disconnect()
    await proxy.reconnect()
    await Promise.all(bought)
    expect(await shop.counters().countDocuments()).toBe(8)
    await far.close()
    await proxy.disconnect()
  })

  it('an operation fails at the deadline as dependency_unavailable if the server hangs with open connections', async () => {
    const proxy = await startMongodbProxy(shop.uri)
    const far = await shop.open(proxy.uri)
    await far.connect(new AbortController().signal)
    const { connection, run } = far.database('things')
    const find = () => run('test', callOf(200), () => connection.collection('counters').findOne({}))
    await find()
    proxy.freeze()
    const started = performance.now()
    await expect(find()).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(500)
    proxy.thaw()
    await far.close()
    await proxy.disconnect()
  })
})

describe.concurrent('an outage of MongoDB', () => {
  async function openBehindProxy({ onTestFinished }: TestContext) {
    const proxy = await startMongodbProxy(shop.uri)
    const far = await shop.open(proxy.uri)
    await far.connect(new AbortController().signal)
    onTestFinished(async () => {
      proxy.thaw()
      await far.close()
      await proxy.disconnect()
    })
    const { connection, run, refusal } = far.database('things')
    const find = () =>
      run('counters.find', callOf(20_000), () => connection.collection('counters').findOne({}))
    return { proxy, far, find, refusal }
  }
  const unavailable = { code: 'dependency_unavailable', message: 'the database is not available' }
  const succeedsSoon = async (work: () => Promise<unknown>) => {
    const began = performance.now()
    await vi.waitFor(work, { timeout: 20_000, interval: 20 })
    expect(performance.now() - began).toBeLessThan(3_000)
  }

  it('operations fail within three seconds of a freeze, then at once, and succeed soon after it', async (context) => {
    const { proxy, far, find, refusal } = await openBehindProxy(context)
    expect(await find()).toBeNull()
    proxy.freeze('all')
    const began = performance.now()
    const waiting = await Promise.allSettled([find(), find(), find()])
    expect(performance.now() - began).toBeLessThan(3_500)
    for (const outcome of waiting) expect(outcome).toMatchObject({ reason: unavailable })
    expect(far.isAway()).toBe(true)
    expect(refusal()).toMatchObject(unavailable)
    const openedAt = performance.now()
    for (let n = 0; n < 100; n++) await expect(find()).rejects.toMatchObject(unavailable)
    await expect(far.ping()).rejects.toMatchObject(unavailable)
    expect(performance.now() - openedAt).toBeLessThan(1_000)
    proxy.thaw()
    await succeedsSoon(find)
    expect([far.isAway(), refusal()]).toEqual([false, undefined])
    await far.ping()
  })

  it('operations fail at once while nothing listens, and succeed soon after MongoDB is back', async (context) => {
    const { proxy, far, find } = await openBehindProxy(context)
    await find()
    await proxy.disconnect()
    await find().catch(() => undefined)
    await vi.waitFor(() => expect(far.isAway()).toBe(true), { timeout: 10_000 })
    const began = performance.now()
    await expect(find()).rejects.toMatchObject(unavailable)
    expect(performance.now() - began).toBeLessThan(500)
    await proxy.reconnect()
    await succeedsSoon(find)
  })

  it('a command that hangs does not count as an outage', async (context) => {
    const { proxy, far, find } = await openBehindProxy(context)
    await find()
    const arrived = proxy.hangNext('find', 'counters')
    const outcome = find().catch((error: unknown) => error)
    await arrived
    await sleep(3_000)
    expect(far.isAway()).toBe(false)
    expect(await find()).toBeNull()
    await proxy.disconnect()
    expect(await outcome).toMatchObject({ code: 'dependency_unavailable' })
    await proxy.reconnect()
  })
})
