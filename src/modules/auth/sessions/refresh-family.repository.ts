import { Schema, Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { insertOne, strictSchema } from '#kernel/mongo/inserts.ts'
import type { RefreshFamily, SpentToken } from './refresh-family.ts'

interface RefreshFamilyDocument extends Omit<RefreshFamily, 'familyId' | 'userId'> {
  _id: string
  userId: Types.ObjectId
}

const refreshFamilySchema = new Schema<RefreshFamilyDocument>(
  {
    _id: { type: String, required: true },
    userId: { type: Schema.Types.ObjectId, required: true },
    sessionEpoch: { type: Number, required: true },
    tokenHash: { type: String, required: true },
    spent: {
      type: [
        new Schema<SpentToken>(
          {
            hash: { type: String, required: true },
            salt: { type: String, required: true },
            at: { type: Date, required: true },
          },
          { ...strictSchema, _id: false },
        ),
      ],
      required: true,
    },
    expiresAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'refreshFamilies' },
)

function familyOf(document: RefreshFamilyDocument | null): RefreshFamily | undefined {
  if (!document) return undefined
  const { _id, userId, ...family } = document
  return { familyId: _id, userId: userId.toHexString(), ...family }
}

export type RefreshFamilyRepository = ReturnType<typeof createRefreshFamilyRepository>

export function createRefreshFamilyRepository(database: Database) {
  const families = database.connection.model<RefreshFamilyDocument>('RefreshFamily', refreshFamilySchema)

  const findOne = async (familyId: string, level: 'majority' | 'linearizable', call: Call) =>
    familyOf(
      await database.run('families.find', call, (maxTimeMS) =>
        families.findOne({ _id: familyId }).read('primary').readConcern(level).maxTimeMS(maxTimeMS).lean(),
      ),
    )

  return {
    async add({ familyId, userId, ...family }: RefreshFamily, call: Call): Promise<void> {
      const fields = { _id: familyId, userId: new Types.ObjectId(userId), ...family }
      await database.run('families.insert', call, (maxTimeMS) => insertOne(families, fields, { maxTimeMS }))
    },

    find: (familyId: string, call: Call) => findOne(familyId, 'majority', call),

    /**
     * Reads the latest state, even during an election (`linearizable`). The decision to end a family needs such a read. It
     * costs a write.
     */
    findLatest: (familyId: string, call: Call) => findOne(familyId, 'linearizable', call),

    /** Compare-and-set on the unspent token. @returns false if that token has been spent meanwhile */
    async rotate(
      { familyId, tokenHash }: RefreshFamily,
      next: Pick<RefreshFamily, 'tokenHash' | 'spent'>,
      call: Call,
    ): Promise<boolean> {
      const { modifiedCount } = await database.run('families.rotate', call, (maxTimeMS) =>
        families.updateOne({ _id: familyId, tokenHash }, { $set: next }, { maxTimeMS }),
      )
      return modifiedCount === 1
    },

    /** @returns the family if it existed; only one of several concurrent calls gets it */
    end: async (familyId: string, call: Call): Promise<RefreshFamily | undefined> =>
      familyOf(
        await database.run('families.delete', call, (maxTimeMS) =>
          families.findOneAndDelete({ _id: familyId }).maxTimeMS(maxTimeMS).lean(),
        ),
      ),
  }
}
