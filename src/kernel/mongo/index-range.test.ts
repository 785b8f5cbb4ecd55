import { Types } from 'mongoose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { connectMongo } from '#test/support/shop.ts'
import type { Mongo } from './connection.ts'
import type { Database } from './database.ts'
import { indexRange, type RangeRequest } from './index-range.ts'

interface Row {
  _id: Types.ObjectId
  at: Date
}

let mongo: Mongo
let database: Database
const rows: Row[] = [1, 1, 1, 2, 3, 3, 4].map((second) => ({
  _id: new Types.ObjectId(),
  at: new Date(second * 1_000),
}))
beforeAll(async () => {
  mongo = await connectMongo()
  database = mongo.database('ranges')
  await collection().createIndexes([{ key: { at: 1, _id: 1 } }, { key: { at: -1, _id: -1 } }])
  await collection().insertMany(rows)
})
afterAll(async () => {
  await database.connection.dropDatabase()
  await mongo.close()
})

const collection = () => database.connection.collection<Row>('rows')
const second = (at: number) => new Date(at * 1_000)
const placeOf = ({ at, _id }: Row) => ({ at, id: _id.toHexString() })

/** Reads a range through its index, and by its filter alone. */
async function read(direction: 1 | -1, request: Partial<RangeRequest>) {
  const index = { at: direction, _id: direction } as const
  const range = indexRange({ index, equal: {}, ...request })
  if (!range) return { throughIndex: [], byFilter: [] }
  const find = (filter: object, options: object) =>
    database.run('test', createCall(20_000, 'test'), () =>
      collection()
        .find(filter, { sort: index, ...options })
        .toArray(),
    )
  return {
    throughIndex: await find({}, { hint: index, ...range.bounds }),
    byFilter: await find(range.filter, {}),
  }
}

const after = rows[1] as Row
const from = second(2)
const until = second(4)
const cases: [string, Partial<RangeRequest>, ascending: Row[], descending: Row[]][] = [
  ['without bounds', {}, rows, rows],
  ['behind a row', { after: placeOf(after) }, rows.slice(2), rows.slice(0, 1)],
  ['from a time', { from }, rows.slice(3), rows.slice(3)],
  ['until a time', { until }, rows.slice(0, 6), rows.slice(0, 6)],
  ['between times', { from, until }, rows.slice(3, 6), rows.slice(3, 6)],
  [
    'between times and behind a row',
    { from, until, after: placeOf(rows[4] as Row) },
    rows.slice(5, 6),
    rows.slice(3, 4),
  ],
  ['of no time', { from: until, until: from }, [], []],
  ['behind a row that is not between its times', { from, until, after: placeOf(after) }, [], []],
  [
    'after the first possible id',
    { after: { at: second(2), id: '0'.repeat(24) } },
    rows.slice(3),
    rows.slice(0, 3),
  ],
  [
    'after the last possible id',
    { after: { at: second(2), id: 'f'.repeat(24) } },
    rows.slice(4),
    rows.slice(0, 4),
  ],
]
it.each(cases)(
  'a range %s has the same rows through the index and by its filter, in both directions',
  async (_what, request, ascending, descending) => {
    expect(await read(1, request)).toEqual({ throughIndex: ascending, byFilter: ascending })
    const backwards = descending.toReversed()
    expect(await read(-1, request)).toEqual({ throughIndex: backwards, byFilter: backwards })
  },
)

it('the bounds of a range end with its last row', async () => {
  const { throughIndex } = await read(1, { last: placeOf(after) })
  expect(throughIndex).toEqual(rows.slice(0, 2))
})
