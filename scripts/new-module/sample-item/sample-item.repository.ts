import type mongoose from 'mongoose'
import { Schema, Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { insertOne, strictSchema } from '#kernel/mongo/inserts.ts'
import type { SampleItem, SampleItemDraft } from './sample-item.ts'

/** A sample item as MongoDB stores it. */
interface SampleItemDocument {
  _id: Types.ObjectId
  userId: Types.ObjectId
  name: string
  createdAt: Date
}

const sampleItemSchema = new Schema<SampleItemDocument>(
  {
    userId: { type: Schema.Types.ObjectId, required: true },
    name: { type: String, required: true },
    createdAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'sampleItems' },
)

const sampleItemModel = (database: Database): mongoose.Model<SampleItemDocument> =>
  database.connection.models.SampleItem ??
  database.connection.model<SampleItemDocument>('SampleItem', sampleItemSchema)

export type SampleItemRepository = ReturnType<typeof createSampleItemRepository>

export function createSampleItemRepository(database: Database) {
  const sampleItems = sampleItemModel(database)

  return {
    async insert(draft: SampleItemDraft, userId: string, call: Call): Promise<SampleItem> {
      const fields = {
        ...draft,
        _id: new Types.ObjectId(),
        userId: new Types.ObjectId(userId),
        createdAt: new Date(),
      }
      const document = await database.run('sampleItems.insert', call, (maxTimeMS) =>
        insertOne(sampleItems, fields, { maxTimeMS }),
      )
      return toSampleItem(document)
    },

    /**
     * Reads a sample item by its id and, except for an admin, by its owner. With the owner, one shard has the answer.
     * @returns undefined if there is none
     */
    async find(
      { sampleItemId, userId }: { sampleItemId: string; userId?: string },
      call: Call,
    ): Promise<SampleItem | undefined> {
      const filter = { _id: sampleItemId, ...(userId !== undefined && { userId }) }
      const document = await database.run('sampleItems.find', call, (maxTimeMS) =>
        sampleItems.findOne(filter).maxTimeMS(maxTimeMS).lean(),
      )
      return document ? toSampleItem(document) : undefined
    },
  }
}

const toSampleItem = ({ _id, userId, name, createdAt }: SampleItemDocument): SampleItem => ({
  sampleItemId: _id.toHexString(),
  userId: userId.toHexString(),
  name,
  createdAt,
})
