import mongoose, { type Schema } from 'mongoose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

// The schema of every model refuses unknown fields, in case a check before it is missing.
let shop: Shop
let models: mongoose.Model<unknown>[]
beforeAll(async () => {
  shop = await startShop()
  // The types of mongoose do not mention `otherDbs`, the databases that share a connection.
  const connections = mongoose.connections.flatMap((connection) => {
    const { otherDbs } = connection as unknown as { otherDbs: mongoose.Connection[] }
    return [connection, ...otherDbs]
  })
  const own = connections.filter(({ name }) => name?.startsWith(`${shop.database}_`))
  models = own.flatMap((connection) => Object.values(connection.models))
})
afterAll(() => shop.close())

/** Returns a schema and the schemas of its embedded documents. */
const withEmbedded = (schema: Schema): Schema[] => [
  schema,
  ...schema.childSchemas.flatMap((child) => withEmbedded(child.schema as Schema)),
]

// These collections have no model. Their values come from the program itself, or are text.
const withoutModel = ['holdSweeps', 'locks', 'migrations', 'throttles']

describe('every model', () => {
  it('every collection of every module has a model', async () => {
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

  it('every model throws on unknown fields in documents, embedded documents and filters', () => {
    for (const { modelName, schema } of models) {
      expect(schema.options.strictQuery, modelName).toBe('throw')
      for (const { options } of withEmbedded(schema as Schema))
        expect(options.strict, modelName).toBe('throw')
    }
  })

  it.each([
    ['an operator as a field', { $where: '1' }],
    ['a field with a dot', { 'a.b': 1 }],
    ['an unknown field', { isAdmin: true }],
  ])('every model refuses %s, in a document or in a filter', async (_, fields) => {
    for (const model of models) {
      expect(() => new model(fields), model.modelName).toThrow(/not in schema/)
      if ('$where' in fields) continue
      await expect(model.findOne(fields).lean().exec(), model.modelName).rejects.toThrow(/strictQuery/)
    }
  })
})
