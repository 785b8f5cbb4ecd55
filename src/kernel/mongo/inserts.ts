import type mongoose from 'mongoose'

/** Options of every schema: a field or an operator that it does not know is an error, never stored or ignored. */
export const strictSchema = { strict: 'throw', strictQuery: 'throw', versionKey: false } as const

/**
 * Casts and validates as the schema says and inserts with a time limit, which mongoose's own `save` and `create` drop.
 * @returns the document as stored
 */
export async function insertOne<Document>(
  model: mongoose.Model<Document>,
  fields: Partial<Document>,
  options: { maxTimeMS: number; session?: mongoose.ClientSession },
): Promise<Document> {
  const document = new model(fields)
  await document.validate()
  const plain = document.toObject({ flattenMaps: true }) as mongoose.mongo.OptionalUnlessRequiredId<
    Document & object
  >
  await model.collection.insertOne(plain, options)
  return plain as Document
}

/**
 * Inserts documents as they are, in one command: who writes many has made them himself, from what was checked before.
 * A field that is undefined is left out.
 */
export async function insertMany<Document extends { _id: unknown }>(
  model: mongoose.Model<Document>,
  documents: readonly Document[],
  options: { maxTimeMS: number; session?: mongoose.ClientSession; ordered?: boolean },
): Promise<void> {
  const plain = documents as readonly mongoose.mongo.OptionalUnlessRequiredId<Document>[]
  await model.collection.insertMany([...plain], { ...options, ignoreUndefined: true })
}
