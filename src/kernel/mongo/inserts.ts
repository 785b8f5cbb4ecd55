import type mongoose from 'mongoose'

/** Options of every schema: an unknown field or operator is an error, and is never stored or ignored. */
export const strictSchema = { strict: 'throw', strictQuery: 'throw', versionKey: false } as const

/**
 * Casts and validates a document by its schema, and inserts it with a time limit. Mongoose's own `save` and `create` ignore a
 * time limit.
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
