import mongoose, { type Schema } from 'mongoose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

// What stands between what was not checked and the database: the schema of every model that the program has.
let shop: Shop
let models: mongoose.Model<unknown>[]
beforeAll(async () => {
  shop = await startShop()
  // Of the databases that share a connection, which mongoose does not tell its types of.
  const connections = mongoose.connections.flatMap((connection) => {
    const { otherDbs } = connection as unknown as { otherDbs: mongoose.Connection[] }
    return [connection, ...otherDbs]
  })
  const own = connections.filter(({ name }) => name?.startsWith(`${shop.database}_`))
  models = own.flatMap((connection) => Object.values(connection.models))
})
afterAll(() => shop.close())

/** A schema, and those of the documents inside its documents. */
const withInner = (schema: Schema): Schema[] => [
  schema,
  ...schema.childSchemas.flatMap((child) => withInner(child.schema as Schema)),
]

// Written without a model: what is in them is the program's own, or goes through a library that is given text alone.
const withoutModel = ['locks', 'migrations', 'throttles']

describe('every model', () => {
  it('is looked at: each collection of each module has one', async () => {
    const modelled = models.map((model) => `${model.db.name}.${model.collection.name}`)
    const found: string[] = []
    for (const { name } of registry) {
      const db = await shop.collections(name)
      const collections = await db.listCollections({}, { nameOnly: true }).toArray()
      for (const collection of collections.filter((each) => !withoutModel.includes(each.name))) {
        found.push(`${db.databaseName}.${collection.name}`)
      }
    }
    expect(found.length).toBeGreaterThanOrEqual(8)
    expect(modelled.sort()).toEqual(found.sort())
  })

  it('throws on what its schema does not name, in documents, documents inside them, and conditions', () => {
    for (const { modelName, schema } of models) {
      expect(schema.options.strictQuery, modelName).toBe('throw')
      for (const { options } of withInner(schema as Schema)) expect(options.strict, modelName).toBe('throw')
    }
  })

  it.each([
    ['an operator as a field', { $where: '1' }],
    ['a field with a dot', { 'a.b': 1 }],
    ['an unknown field', { isAdmin: true }],
  ])('takes no %s, in a document or in a condition', async (_, fields) => {
    for (const model of models) {
      expect(() => new model(fields), model.modelName).toThrow(/not in schema/)
      if ('$where' in fields) continue
      await expect(model.findOne(fields).lean().exec(), model.modelName).rejects.toThrow(/strictQuery/)
    }
  })
})
