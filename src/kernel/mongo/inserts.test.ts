import mongoose from 'mongoose'
import { describe, expect, it } from 'vitest'
import { callOf, useCounters } from '#test/support/counters.ts'
import { insertOne, strictSchema } from './inserts.ts'

const shop = useCounters()

describe('an insert', () => {
  interface Named {
    name: string
    n: number
  }
  const schema = new mongoose.Schema<Named>({ name: { type: String, required: true }, n: Number })
  const named = () => {
    const { connection } = shop.database
    return connection.models.Named ?? connection.model<Named>('Named', schema, 'named')
  }

  it('an insert stores and returns the document as cast by the schema', async () => {
    const stored = await insertOne(named(), { name: 'a', n: '7' as unknown as number }, { maxTimeMS: 5_000 })
    expect(stored).toMatchObject({ name: 'a', n: 7 })
    expect(await shop.db.collection('named').findOne({ name: 'a' })).toEqual(stored)
  })

  it('an insert stores nothing if the schema refuses the document', async () => {
    await expect(insertOne(named(), { n: 1 }, { maxTimeMS: 5_000 })).rejects.toBeInstanceOf(
      mongoose.Error.ValidationError,
    )
    expect(await shop.db.collection('named').countDocuments({ n: 1 })).toBe(0)
  })

  it('an insert sends its time limit to the server', async () => {
    await shop.db.command({ profile: 2 })
    await insertOne(named(), { name: 'limited' }, { maxTimeMS: 4_321 })
    await shop.db.command({ profile: 0 })
    const seen = await shop.db
      .collection('system.profile')
      .findOne({ op: 'insert', ns: `${shop.prefix}_things.named` })
    expect(seen).toMatchObject({ command: { maxTimeMS: 4_321 } })
  })

  it('an insert is undone with its transaction', async () => {
    const undone = shop.database.transaction('test', callOf(5_000), async (session, maxTimeMS) => {
      await insertOne(named(), { name: 'undone' }, { session, maxTimeMS })
      throw new RangeError('a mistake')
    })
    await expect(undone).rejects.toBeInstanceOf(RangeError)
    expect(await shop.db.collection('named').countDocuments({ name: 'undone' })).toBe(0)
  })
})

it('a strict schema refuses unknown fields and filters', async () => {
  const { connection } = shop.database
  const schema = new mongoose.Schema<{ name: string }>(
    { name: String },
    { ...strictSchema, collection: 'things' },
  )
  const things = connection.model<{ name: string }>('Thing', schema)
  const unknown = { name: 'cup', role: 'admin' }
  await expect(insertOne(things, unknown, { maxTimeMS: 1_000 })).rejects.toThrow(/role/)
  await expect(things.findOne({ role: 'admin' } as object)).rejects.toThrow(/role/)
  expect(await things.findOne({}).lean()).toBeNull()
})
