import { setTimeout as sleep } from 'node:timers/promises'
import type mongoose from 'mongoose'
import { mongo } from 'mongoose'
import { expect, it, onTestFinished } from 'vitest'
import { callOf, useCounters } from '#test/support/counters.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { findByIds, sendWrites } from './plain-commands.ts'

const shop = useCounters()
const insertOf = (...ids: string[]) => ({
  insert: 'counters',
  documents: ids.map((_id) => ({ _id, n: 1, other: undefined })),
})
const send = (command: Parameters<typeof sendWrites>[1], ordered = false) =>
  sendWrites(shop.database.connection, command, { maxTimeMS: 4_321, ordered })
const stored = async () =>
  (await shop.counters().find().sort({ _id: 1 }).toArray()).map(({ _id, ...fields }) => [_id, fields])

it('writes are stored without undefined fields, durably and with a time limit', async () => {
  await shop.db.command({ profile: 2 })
  expect(await send(insertOf('a', 'b'))).toEqual({ count: 2, failures: new Map() })
  await shop.db.command({ profile: 0 })
  expect(await stored()).toEqual([
    ['a', { n: 1 }],
    ['b', { n: 1 }],
  ])
  const seen = await shop.db.collection('system.profile').findOne({ op: 'insert', ns: /counters$/ })
  expect(seen?.command).toMatchObject({ maxTimeMS: 4_321, writeConcern: { w: 'majority', j: true } })
})

it('updates count the documents that matched', async () => {
  await send(insertOf('a', 'b'))
  const updates = [
    { q: { _id: 'a', n: 1 }, u: { $inc: { n: 1 } } },
    { q: { _id: 'b', n: 2 }, u: { $inc: { n: 1 } } },
    // An update that changes nothing has matched too.
    { q: { _id: 'b', n: 1 }, u: { $set: { n: 1 } }, hint: { _id: 1 } },
  ]
  expect(await send({ update: 'counters', updates })).toEqual({ count: 2, failures: new Map() })
  expect(await stored()).toEqual([
    ['a', { n: 2 }],
    ['b', { n: 1 }],
  ])
})

it.each([
  [false, ['a', 'b', 'c']],
  [true, ['a', 'b']],
])(
  'a write that fails is reported by its position, and ends the writes if they are ordered: %s',
  async (ordered, ids) => {
    await send(insertOf('a'))
    const { count, failures } = await send(insertOf('b', 'a', 'c'), ordered)
    expect(count).toBe(ids.length - 1)
    expect([...failures]).toMatchObject([
      [1, { code: 11000, message: expect.stringContaining(' index: _id_ ') }],
    ])
    expect((await stored()).map(([id]) => id)).toEqual(ids)
  },
)

it('writes are undone with their transaction', async () => {
  const undone = shop.database.transaction('test', callOf(5_000), async (session, maxTimeMS) => {
    const options = { session, maxTimeMS, ordered: true }
    expect((await sendWrites(shop.database.connection, insertOf('a'), options)).count).toBe(1)
    throw new RangeError('a mistake')
  })
  await expect(undone).rejects.toBeInstanceOf(RangeError)
  expect(await stored()).toEqual([])
})

/** Connects through a proxy. `change` is called with each answer. */
async function connectByProxy(change?: (answer: Buffer) => Buffer) {
  const proxy = await startMongodbProxy(shop.uri, change)
  const far = await shop.open(proxy.uri)
  onTestFinished(async () => {
    await far.close()
    await proxy.disconnect()
  })
  await far.connect(new AbortController().signal)
  return { proxy, connection: far.database('things').connection }
}

it('writes whose answer is lost are sent again, and are found to have taken effect', async () => {
  let isToBeLost = false
  const { proxy, connection } = await connectByProxy((answer) => {
    const isOfWrite = answer.includes('opTime') && !answer.includes('topologyVersion')
    if (!isToBeLost || !isOfWrite) return answer
    isToBeLost = false
    void proxy.disconnect().then(proxy.reconnect)
    return answer
  })
  const options = { maxTimeMS: 5_000, ordered: false }
  isToBeLost = true
  const { count, failures } = await sendWrites(connection, insertOf('lost'), options)
  expect([count, ...failures.keys()]).toEqual([0, 0])
  expect(failures.get(0)).toMatchObject({ code: 11000 })
  const updates = [{ q: { _id: 'lost', n: 1 }, u: { $set: { n: 2 } } }]
  isToBeLost = true
  expect(await sendWrites(connection, { update: 'counters', updates }, options)).toMatchObject({ count: 0 })
  expect(await stored()).toEqual([['lost', { n: 2 }]])
})

/** Sends an insert, and loses its connection when it has arrived. */
async function sendOverLostConnection(maxTimeMS: number, beforeLoss: () => Promise<unknown>) {
  const { proxy, connection } = await connectByProxy()
  const arrived = proxy.hangNext('insert', 'lost')
  const outcome = sendWrites(connection, insertOf('lost'), { maxTimeMS, ordered: false }).catch(
    (error: unknown) => error,
  )
  await arrived
  await beforeLoss()
  await proxy.disconnect()
  await proxy.reconnect()
  return outcome
}

it('writes whose connection is lost are sent again', async () => {
  expect(await sendOverLostConnection(5_000, async () => {})).toEqual({ count: 1, failures: new Map() })
  expect((await stored()).map(([id]) => id)).toEqual(['lost'])
})

it('writes whose time is over are not sent again', async () => {
  const maxTimeMS = 100
  expect(await sendOverLostConnection(maxTimeMS, () => sleep(maxTimeMS))).toBeInstanceOf(Error)
  expect(await stored()).toEqual([])
})

it('documents are read by their ids, and an id without a document is left out', async () => {
  await send(insertOf('a', 'b', 'c'))
  const find = (...ids: string[]) =>
    findByIds<{ _id: string }>(shop.database.connection, 'counters', ids, { maxTimeMS: 1_000 })
  expect((await find('c', 'x', 'a')).map(({ _id }) => _id).sort()).toEqual(['a', 'c'])
  expect(await find('b')).toEqual([{ _id: 'b', n: 1 }])
  expect(await find('x')).toEqual([])
  expect(await find()).toEqual([])
})

it('a read in a transaction sees the writes of the transaction', async () => {
  const seen = await shop.database.transaction('test', callOf(5_000), async (session, maxTimeMS) => {
    const options = { session, maxTimeMS }
    await sendWrites(shop.database.connection, insertOf('a'), { ...options, ordered: true })
    return findByIds(shop.database.connection, 'counters', ['a'], options)
  })
  expect(seen).toEqual([{ _id: 'a', n: 1 }])
})

it('any number of documents is read by their ids', async () => {
  const ids = Array.from({ length: 1_201 }, (_, n) => `n${n}`)
  await send(insertOf(...ids.slice(1)))
  const found = await findByIds<{ _id: string }>(shop.database.connection, 'counters', ids, {
    maxTimeMS: 2_000,
  })
  expect(new Set(found.map(({ _id }) => _id))).toEqual(new Set(ids.slice(1)))
})

it('a read fails if its documents do not fit into one answer, so that none of them counts as missing', async () => {
  const ids = ['a', 'b', 'c', 'd', 'e']
  for (const _id of ids) {
    await send({ insert: 'counters', documents: [{ _id, n: 1, text: 'x'.repeat(4 * 1_048_576) }] })
  }
  const read = findByIds(shop.database.connection, 'counters', ids, { maxTimeMS: 4_000 })
  await expect(read).rejects.toThrow('the documents of counters do not fit into one answer')
})

const unsatisfied = (code: number) =>
  new mongo.MongoWriteConcernError({ ok: 1, writeConcernError: { code, errmsg: 'not satisfied' } })

it.each([
  ['an election interrupts the wait for the majority', unsatisfied(189), true],
  ['the server shuts down during the wait for the majority', unsatisfied(91), true],
  ['the majority does not confirm them in time', unsatisfied(64), false],
  ['the server has ended them at their time limit', new mongo.MongoServerError({ code: 50 }), false],
  ['the server is not the primary any more', new mongo.MongoServerError({ code: 10107 }), true],
  ['the server refuses them', new mongo.MongoServerError({ code: 13 }), false],
])('writes are sent again only if they were interrupted: %s', async (_what, error, isRepeated) => {
  let attempts = 0
  const command = async () => {
    attempts += 1
    if (attempts === 1) throw error
    return { n: 1 }
  }
  const client = { db: () => ({ command }) }
  const connection = { name: 'things', getClient: () => client } as unknown as mongoose.Connection
  const written = sendWrites(connection, insertOf('a'), { maxTimeMS: 1_000, ordered: false })
  if (isRepeated) expect((await written).count).toBe(1)
  else await expect(written).rejects.toBe(error)
  expect(attempts).toBe(isRepeated ? 2 : 1)
})
