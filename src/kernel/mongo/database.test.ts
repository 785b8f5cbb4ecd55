import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { PassThrough } from 'node:stream'
import { inspect } from 'node:util'
import mongoose from 'mongoose'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { createLogger } from '#kernel/logger.ts'
import { databaseName, quiet } from '#test/support/shop.ts'
import { wayToMongodb } from '#test/support/way-to-mongodb.ts'
import { createMongo, type Mongo } from './connection.ts'
import type { Database, Db } from './database.ts'
import { isDuplicateKey } from './errors.ts'
import { insertOne, strictSchema } from './inserts.ts'

const uri = inject('mongodbUri')
const logger = await quiet
const prefix = databaseName()

interface Counter {
  _id: string
  n: number
}

let mongo: Mongo
let database: Database
let db: Db

const open = (address = uri) =>
  createMongo({ uri: address, database: prefix, requestTimeoutMs: 10_000, logger })

beforeAll(async () => {
  mongo = open()
  await mongo.connect(new AbortController().signal)
  database = mongo.database('things')
  if (!database.connection.db) throw new Error('a connected database has a handle')
  db = database.connection.db
  await db.createCollection('counters')
})

afterAll(async () => {
  await db.dropDatabase()
  await mongo.close()
})

afterEach(async () => {
  vi.useRealTimers()
  await counters().deleteMany({})
})

const counters = () => db.collection<Counter>('counters')
const withPassword = (address: string, password: string) =>
  address.replace('mongodb://', `mongodb://user:${password}@`)
const inTime = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'request-1' })

/** The error of a socket that the other side has ended. */
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

function latch() {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return { release, released }
}

describe('one operation', () => {
  it('gives its result, and gets to know how long it may take', async () => {
    await counters().insertOne({ _id: 'a', n: 1 })
    const seen: number[] = []
    const found = await database.run(inTime(5_000), (limit) => {
      seen.push(limit)
      return counters().findOne({ _id: 'a' }, { maxTimeMS: limit })
    })
    expect(found).toEqual({ _id: 'a', n: 1 })
    expect(seen[0]).toBeGreaterThan(4_000)
    expect(seen[0]).toBeLessThanOrEqual(5_000)
  })

  it('is not begun after the deadline', async () => {
    const work = vi.fn(async () => 1)
    await expect(database.run(inTime(0), work)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(work).not.toHaveBeenCalled()
  })

  it('that is slow ends at the deadline', async () => {
    await counters().insertOne({ _id: 'a', n: 1 })
    const started = performance.now()
    const slow = database.run(inTime(150), () => counters().findOne({ $where: 'sleep(1500) || true' }))
    await expect(slow).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(600)
  })

  it('that the server itself ends for taking too long is dependency_unavailable', async () => {
    await counters().insertOne({ _id: 'a', n: 1 })
    const slow = database.run(inTime(5_000), () =>
      counters().findOne({ $where: 'sleep(5000) || true' }, { maxTimeMS: 20 }),
    )
    await expect(slow).rejects.toMatchObject({
      code: 'dependency_unavailable',
      cause: { codeName: 'MaxTimeMSExpired' },
    })
  })

  it('passes on a duplicate key, which says something about the data', async () => {
    await counters().insertOne({ _id: 'a', n: 1 })
    const error = await database
      .run(inTime(5_000), () => counters().insertOne({ _id: 'a', n: 2 }))
      .catch((error: unknown) => error)
    expect(isDuplicateKey(error)).toBe(true)
  })

  it('passes on what is thrown within it unchanged', async () => {
    const faults = [new TypeError('a mistake'), new DomainError('version_conflict', 'it has changed')]
    for (const fault of faults) {
      await expect(database.run(inTime(5_000), () => Promise.reject(fault))).rejects.toBe(fault)
    }
    const wrong = database.run(inTime(5_000), () =>
      counters().updateOne({}, { $nonsense: { n: 1 } } as never),
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
    'that the server cannot carry out just now (%i, %s) is dependency_unavailable',
    async (code, codeName) => {
      const passing = new mongoose.mongo.MongoServerError({ message: codeName, code, codeName })
      const failed = database.run(inTime(5_000), () => Promise.reject(passing))
      await expect(failed).rejects.toMatchObject({ code: 'dependency_unavailable', cause: passing })
    },
  )

  it('whose write is not acknowledged by a majority is dependency_unavailable', async () => {
    const unsatisfied = { w: 7, wtimeout: 1 } as const
    const written = (id: string) =>
      database.run(inTime(5_000), () =>
        counters().insertOne({ _id: id, n: 1 }, { writeConcern: unsatisfied }),
      )
    await expect(written('a')).rejects.toMatchObject({
      code: 'dependency_unavailable',
      cause: { name: 'MongoWriteConcernError' },
    })
  })

  it('of a database that was never reached is dependency_unavailable at the deadline', async () => {
    const unreached = open()
    const { connection, run } = unreached.database('things')
    const asked = run(inTime(50), () => connection.collection('counters').findOne({}))
    await expect(asked).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await unreached.close()
  })
})

describe('a server that goes away', () => {
  it('while a command is being written is dependency_unavailable, and has transactions decided anew', async () => {
    // The driver passes on what Node.js says of the socket: in the middle of a handshake, about once in a hundred cuts.
    const error = await writeAfterItsEnd()
    expect(error).toMatchObject({ code: 'EPIPE' })
    const failed = database.run(inTime(5_000), () => Promise.reject(error))
    await expect(failed).rejects.toMatchObject({ code: 'dependency_unavailable', cause: error })
    let attempts = 0
    await database.transaction(inTime(5_000), async (session) => {
      attempts += 1
      await counters().insertOne({ _id: 'a', n: attempts }, { session })
      if (attempts === 1) throw error
    })
    expect(await counters().find().toArray()).toEqual([{ _id: 'a', n: 2 }])
  })

  it('while a commit is being written has the commit repeated, not the transaction', async () => {
    const error = await writeAfterItsEnd()
    let attempts = 0
    await database.transaction(inTime(5_000), async (session) => {
      attempts += 1
      const commitTransaction = session.commitTransaction.bind(session)
      vi.spyOn(session, 'commitTransaction').mockImplementationOnce(async () => {
        await commitTransaction()
        throw error
      })
      await counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session, upsert: true })
    })
    expect(attempts).toBe(1)
    expect(await counters().find().toArray()).toEqual([{ _id: 'a', n: 1 }])
  })

  it('is dependency_unavailable in time, and the same connection finds it again', async () => {
    const way = await wayToMongodb(uri)
    const far = open(way.uri)
    await far.connect(new AbortController().signal)
    const { connection, run, transaction } = far.database('things')
    const find = (milliseconds: number) =>
      run(inTime(milliseconds), () => connection.collection('counters').findOne({ _id: 'a' as never }))
    expect(await find(5_000)).toBeNull()

    await way.cut()
    const started = performance.now()
    await expect(find(200)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    const bought = transaction(inTime(200), (session) =>
      connection.collection('counters').insertOne({ n: 1 }, { session }),
    )
    await expect(bought).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(800)

    await way.mend()
    await vi.waitFor(() => far.ping(), { timeout: 10_000 })
    expect(await find(5_000)).toBeNull()
    await far.close()
    await way.cut()
  })

  it('in the middle of transactions has them decided anew once it is back', async () => {
    const way = await wayToMongodb(uri)
    const far = open(way.uri)
    await far.connect(new AbortController().signal)
    const { connection, transaction } = far.database('things')
    const allHaveRead = latch()
    const allAreWriting = latch()
    let reading = 0
    let writing = 0
    const bought = Array.from({ length: 8 }, (_, n) =>
      transaction(inTime(20_000), async (session) => {
        const collection = connection.collection<Counter>('counters')
        await collection.findOne({ _id: 'a' }, { session })
        reading += 1
        if (reading === 8) {
          way.freeze()
          allHaveRead.release()
        }
        await allHaveRead.released
        // The first to be cut off makes the driver give up the others' connections: it says less of them then.
        const inserted = collection.insertMany([{ _id: `a${n}`, n }], { session })
        writing += 1
        if (writing === 8) allAreWriting.release()
        await inserted
      }),
    )
    await allAreWriting.released
    await way.cut()
    await way.mend()
    await Promise.all(bought)
    expect(await counters().countDocuments()).toBe(8)
    await far.close()
    await way.cut()
  })

  it('without closing its connections is dependency_unavailable at the deadline', async () => {
    const way = await wayToMongodb(uri)
    const far = open(way.uri)
    await far.connect(new AbortController().signal)
    const { connection, run } = far.database('things')
    const find = () => run(inTime(200), () => connection.collection('counters').findOne({}))
    await find()
    way.freeze()
    const started = performance.now()
    await expect(find()).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(500)
    way.thaw()
    await far.close()
    await way.cut()
  })
})

describe('a transaction', () => {
  /** Reads, then writes what it read plus one: lost updates would show. */
  const increment = async (session: mongoose.ClientSession, before: () => Promise<void> | void) => {
    const found = await counters().findOne({ _id: 'a' }, { session })
    await before()
    await counters().updateOne({ _id: 'a' }, { $set: { n: (found?.n ?? 0) + 1 } }, { session })
    return (found?.n ?? 0) + 1
  }

  /** What is left open would make this wait: once it is through, nothing earlier can still take effect. */
  const settled = async () => {
    await database.transaction(inTime(10_000), (session) =>
      counters().updateOne({ _id: 'a' }, { $inc: { n: 100 } }, { session }),
    )
    return counters().find().sort({ _id: 1 }).toArray()
  }

  const openTransactions = () => {
    const own = { 'clientMetadata.application.name': `trivet ${prefix}`, transaction: { $exists: true } }
    const admin = mongo.database('things').connection.getClient().db('admin')
    const sessions = [{ $currentOp: { idleSessions: true } }, { $match: own }]
    return admin.aggregate(sessions, { readConcern: { level: 'local' } }).toArray()
  }

  it('takes effect as a whole', async () => {
    const result = await database.transaction(inTime(5_000), async (session) => {
      await counters().insertOne({ _id: 'a', n: 1 }, { session })
      await counters().insertOne({ _id: 'b', n: 2 }, { session })
      // Nobody else sees it before the commit.
      expect(await counters().countDocuments()).toBe(0)
      return 'done'
    })
    expect(result).toBe('done')
    expect(await counters().countDocuments()).toBe(2)
  })

  it('that meets a write conflict is decided anew, and both effects are there', async () => {
    await counters().insertOne({ _id: 'a', n: 0 })
    const bothHaveRead = latch()
    let attempts = 0
    const both = await Promise.all(
      [1, 2].map(() =>
        database.transaction(inTime(10_000), (session) =>
          increment(session, () => {
            attempts += 1
            if (attempts === 2) bothHaveRead.release()
            return bothHaveRead.released
          }),
        ),
      ),
    )
    expect(both.toSorted()).toEqual([1, 2])
    expect(attempts).toBeGreaterThan(2)
    expect(await counters().findOne({ _id: 'a' })).toEqual({ _id: 'a', n: 2 })
  })

  it('that meets a duplicate key is decided anew, on what is there now', async () => {
    await counters().insertOne({ _id: 'a', n: 0 })
    let attempts = 0
    const result = await database.transaction(inTime(5_000), async (session) => {
      attempts += 1
      // As if somebody else had inserted it after this transaction had looked.
      if (attempts === 1) await counters().insertOne({ _id: 'a', n: 1 }, { session })
      return (await counters().findOne({ _id: 'a' }, { session }))?.n
    })
    expect({ result, attempts }).toEqual({ result: 0, attempts: 2 })
  })

  it('that somebody has ended before its commit is decided anew', async () => {
    await counters().insertOne({ _id: 'a', n: 0 })
    let attempts = 0
    await database.transaction(inTime(10_000), async (session) => {
      attempts += 1
      await counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
      // As those do who have waited for it too long.
      if (attempts === 1) await db.admin().command({ killSessions: [{ id: session.id?.id }] })
    })
    expect(attempts).toBe(2)
    expect(await counters().findOne({ _id: 'a' })).toEqual({ _id: 'a', n: 1 })
  })

  it('that keeps meeting conflicts ends at the deadline, as dependency_unavailable', async () => {
    await counters().insertOne({ _id: 'a', n: 0 })
    const started = performance.now()
    const hopeless = database.transaction(inTime(300), (session) =>
      counters().insertOne({ _id: 'a', n: 1 }, { session }),
    )
    await expect(hopeless).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(performance.now() - started).toBeLessThan(600)
  })

  it('whose deadline passes while it works leaves nothing, even if the work goes on', async () => {
    await counters().insertOne({ _id: 'a', n: 0 })
    const { release, released } = latch()
    let carriedOn: Promise<unknown> = Promise.resolve()
    const late = database.transaction(inTime(150), async (session) => {
      await counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
      await released
      carriedOn = counters().insertOne({ _id: 'b', n: 1 }, { session })
      await carriedOn
    })
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(await settled()).toEqual([{ _id: 'a', n: 100 }])
    release()
    await Promise.resolve()
    await expect(carriedOn).rejects.toThrow()
    expect(await settled()).toEqual([{ _id: 'a', n: 200 }])
  })

  it('whose deadline passes while its first command is on its way is not left open', async () => {
    const way = await wayToMongodb(uri)
    const far = open(way.uri)
    await far.connect(new AbortController().signal)
    const { connection, transaction } = far.database('things')
    // What has been connected stands still from here on; whatever else is sent connects anew, and overtakes it.
    way.freeze()
    let inserted: Promise<unknown> = Promise.resolve()
    const late = transaction(inTime(150), (session) => {
      inserted = connection.collection<Counter>('counters').insertOne({ _id: 'a', n: 1 }, { session })
      return inserted
    })
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    await far.ping()
    way.thaw()
    await inserted
    await vi.waitFor(async () => expect(await openTransactions()).toEqual([]), { timeout: 5_000 })
    expect(await settled()).toEqual([])
    await far.close()
    await way.cut()
  })

  it('whose deadline passes between its work and its commit leaves nothing', async () => {
    await counters().insertOne({ _id: 'a', n: 0 })
    vi.useFakeTimers({ toFake: ['Date'] })
    const late = database.transaction(inTime(60_000), async (session) => {
      await counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
      vi.setSystemTime(Date.now() + 60_000)
    })
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(await settled()).toEqual([{ _id: 'a', n: 100 }])
  })

  it('is not begun after the deadline', async () => {
    const work = vi.fn(async () => 1)
    await expect(database.transaction(inTime(0), work)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(work).not.toHaveBeenCalled()
  })

  it.each([new DomainError('insufficient_stock', 'too few', { items: [] }), new RangeError('a mistake')])(
    'in which %s is thrown leaves nothing and passes it on unchanged',
    async (fault) => {
      await counters().insertOne({ _id: 'a', n: 0 })
      const refused = database.transaction(inTime(5_000), async (session) => {
        await counters().updateOne({ _id: 'a' }, { $inc: { n: 1 } }, { session })
        throw fault
      })
      await expect(refused).rejects.toBe(fault)
      expect(await settled()).toEqual([{ _id: 'a', n: 100 }])
    },
  )

  it('reads one snapshot from beginning to end', async () => {
    await counters().insertMany([
      { _id: 'a', n: 1 },
      { _id: 'b', n: 1 },
    ])
    const seen = await database.transaction(inTime(5_000), async (session) => {
      const a = await counters().findOne({ _id: 'a' }, { session })
      await counters().updateMany({}, { $set: { n: 2 } })
      return [a?.n, (await counters().findOne({ _id: 'b' }, { session }))?.n]
    })
    expect(seen).toEqual([1, 1])
  })
})

describe('an insert', () => {
  interface Named {
    name: string
    n: number
  }
  const schema = new mongoose.Schema<Named>({ name: { type: String, required: true }, n: Number })
  const named = () => {
    const { connection } = database
    return connection.models.Named ?? connection.model<Named>('Named', schema, 'named')
  }

  it('stores what the schema makes of it, and gives it back', async () => {
    const stored = await insertOne(named(), { name: 'a', n: '7' as unknown as number }, { maxTimeMS: 5_000 })
    expect(stored).toMatchObject({ name: 'a', n: 7 })
    expect(await db.collection('named').findOne({ name: 'a' })).toEqual(stored)
  })

  it('of what the schema refuses does not reach the database', async () => {
    await expect(insertOne(named(), { n: 1 }, { maxTimeMS: 5_000 })).rejects.toBeInstanceOf(
      mongoose.Error.ValidationError,
    )
    expect(await db.collection('named').countDocuments({ n: 1 })).toBe(0)
  })

  it('carries its time limit to the server', async () => {
    await db.command({ profile: 2 })
    await insertOne(named(), { name: 'limited' }, { maxTimeMS: 4_321 })
    await db.command({ profile: 0 })
    const seen = await db.collection('system.profile').findOne({ op: 'insert', ns: `${prefix}_things.named` })
    expect(seen).toMatchObject({ command: { maxTimeMS: 4_321 } })
  })

  it('belongs to its transaction', async () => {
    const undone = database.transaction(inTime(5_000), async (session, maxTimeMS) => {
      await insertOne(named(), { name: 'undone' }, { session, maxTimeMS })
      throw new RangeError('a mistake')
    })
    await expect(undone).rejects.toBeInstanceOf(RangeError)
    expect(await db.collection('named').countDocuments({ name: 'undone' })).toBe(0)
  })
})

it("a module's database carries the module's name", () => {
  expect(mongo.database('order').connection.name).toBe(`${prefix}_order`)
})

it('a connection that has been closed is dependency_unavailable', async () => {
  const mongo = createMongo({ uri, database: databaseName(), requestTimeoutMs: 1_000, logger })
  await mongo.connect(new AbortController().signal)
  const { run, connection } = mongo.database('things')
  await mongo.close()
  const refused = run(inTime(500), () => connection.collection('a').findOne({}))
  await expect(refused).rejects.toMatchObject({ code: 'dependency_unavailable' })
})

describe('a URI', () => {
  const password = 'hunter2S3cret'

  /** What a process would print of it, which gives up as soon as it has said that it waits. */
  async function printed(uri: string): Promise<{ log: string; error: string }> {
    const output = new PassThrough()
    const giveUp = new AbortController()
    let log = ''
    output.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes('waiting for MongoDB')) giveUp.abort()
    })
    const noisy = await createLogger({ level: 'trace', human: false, service: 'test', output })
    const mongo = createMongo({ uri, database: databaseName(), requestTimeoutMs: 1_000, logger: noisy })
    const error = await mongo.connect(giveUp.signal).catch((thrown: unknown) => thrown)
    await mongo.close()
    expect(error).toBeInstanceOf(Error)
    return { log, error: inspect(error, { depth: 10, showHidden: true }) }
  }

  it.each([
    'mongodb://',
    'mongodb://127.0.0.1:1/?bogus=1',
    `mongodb://user:${password}`,
    `mongodb://user:${password},127.0.0.1:1`,
    `mongodb://user:${password}@`,
    `mongodb://user:${password}@127.0.0.1:99999`,
    `mongodb://user:a@${password}@127.0.0.1:1`,
    `mongodb://user:a/${password}@127.0.0.1:1`,
    `mongodb://user:a%${password}@127.0.0.1:1`,
    `mongodb://user:a?${password}=1@127.0.0.1:1`,
    `mongodb://127.0.0.1:1/?user=a&${password}`,
    `mongodb://127.0.0.1:1/?user=a&${password}=1`,
    `mongodb://127.0.0.1:1/?compressors=${password}`,
    `mongodb+srv://user:${password}@`,
    `mongodb+srv://user:${password}@db.example,${password}`,
  ])('that cannot be read ends the wait for a server at once, and is not repeated: %s', async (wrong) => {
    const { log, error } = await printed(wrong)
    expect(error).toMatch(/ConfigError: .*\n.*MONGODB_URI is not valid/)
    expect(log).toBe('')
    expect(error.toLowerCase()).not.toContain(password.toLowerCase())
  })

  it.each([
    [
      'a server that does not answer',
      'mongodb://user:hunter2S3cret@127.0.0.1:1/?replicaSet=rs',
      /ECONNREFUSED/,
    ],
    ['a server that refuses its password', withPassword(uri, password), /Authentication failed/],
  ])('of %s is waited for, and its password not shown', async (_what, uri, reason) => {
    const { log, error } = await printed(uri)
    expect(log).toMatch(reason)
    expect(log + error).not.toContain(password)
  })
})

it('a strict schema takes no field and no filter that it does not know', async () => {
  const mongo = createMongo({ uri, database: databaseName(), requestTimeoutMs: 5_000, logger })
  await mongo.connect(new AbortController().signal)
  const { connection } = mongo.database('things')
  const schema = new mongoose.Schema<{ name: string }>(
    { name: String },
    { ...strictSchema, collection: 'things' },
  )
  const things = connection.model<{ name: string }>('Thing', schema)
  const unknown = { name: 'cup', role: 'admin' }
  await expect(insertOne(things, unknown, { maxTimeMS: 1_000 })).rejects.toThrow(/role/)
  await expect(things.findOne({ role: 'admin' } as object)).rejects.toThrow(/role/)
  expect(await things.findOne({}).lean()).toBeNull()
  await mongo.close()
})
