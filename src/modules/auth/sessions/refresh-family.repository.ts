import { Schema, Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { insertOne, strictSchema } from '#kernel/mongo/inserts.ts'

/** A token that was spent, and the salt that makes its successor of it. */
export interface SpentToken {
  hash: string
  salt: string
  at: Date
}

/** What one sign-in goes on as. Its end is that it is not there any more. */
export interface RefreshFamily {
  familyId: string
  userId: string
  /** Of the account when it signed in: a family of an earlier epoch is over. */
  sessionEpoch: number
  /** Of the one token that has not been spent. */
  tokenHash: string
  /** In the order in which they were spent, the latest last. */
  spent: SpentToken[]
  expiresAt: Date
}

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
      await database.run(call, (limit) =>
        families.findOne({ _id: familyId }).read('primary').readConcern(level).maxTimeMS(limit).lean(),
      ),
    )

  return {
    async add({ familyId, userId, ...family }: RefreshFamily, call: Call): Promise<void> {
      const fields = { _id: familyId, userId: new Types.ObjectId(userId), ...family }
      await database.run(call, (maxTimeMS) => insertOne(families, fields, { maxTimeMS }))
    },

    find: (familyId: string, call: Call) => findOne(familyId, 'majority', call),

    /** As it is now, whatever server has answered: what a family may be ended by. It costs a write. */
    findLatest: (familyId: string, call: Call) => findOne(familyId, 'linearizable', call),

    /** Compare-and-set on the token that is spent. @returns whether it was the one not yet spent */
    async rotate(
      { familyId, tokenHash }: RefreshFamily,
      next: Pick<RefreshFamily, 'tokenHash' | 'spent'>,
      call: Call,
    ): Promise<boolean> {
      const { modifiedCount } = await database.run(call, (maxTimeMS) =>
        families.updateOne({ _id: familyId, tokenHash }, { $set: next }, { maxTimeMS }),
      )
      return modifiedCount === 1
    },

    /** @returns the family if there was one; of many who end it at once, to one */
    end: async (familyId: string, call: Call): Promise<RefreshFamily | undefined> =>
      familyOf(
        await database.run(call, (limit) =>
          families.findOneAndDelete({ _id: familyId }).maxTimeMS(limit).lean(),
        ),
      ),
  }
}
