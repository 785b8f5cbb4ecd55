import mongoose, { Schema, type Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isDuplicateKey } from '#kernel/mongo/errors.ts'
import { insertOne, strictSchema } from '#kernel/mongo/inserts.ts'
import type { Role } from '#kernel/principal.ts'
import type { User } from './user.ts'

interface UserDocument extends Omit<User, 'userId' | 'sessionEpoch'> {
  _id: Types.ObjectId
  /** Not on accounts from before there was one. */
  sessionEpoch?: number
  /** Lower case: what is unique and looked up. The originals keep their case. */
  usernameKey: string
  emailKey: string
}

const userSchema = new Schema<UserDocument>(
  {
    username: { type: String, required: true },
    usernameKey: { type: String, required: true },
    email: { type: String, required: true },
    emailKey: { type: String, required: true },
    role: { type: String, enum: ['customer', 'admin'], required: true },
    passwordHash: { type: String, required: true },
    sessionEpoch: { type: Number },
    createdAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'users' },
)

/** One document, written by whoever takes the role from an admin: two that do so at once cannot both be first. */
interface RoleChangesDocument {
  _id: 'admin'
  count: number
}

const roleChangesSchema = new Schema<RoleChangesDocument>(
  { _id: { type: String, required: true }, count: { type: Number, required: true } },
  { ...strictSchema, collection: 'roleChanges' },
)

const userOf = (document: UserDocument): User => ({
  userId: document._id.toHexString(),
  username: document.username,
  email: document.email,
  role: document.role,
  passwordHash: document.passwordHash,
  sessionEpoch: document.sessionEpoch ?? 0,
  createdAt: document.createdAt,
})

export type UserRepository = ReturnType<typeof createUserRepository>

export function createUserRepository(database: Database) {
  const users = database.connection.model<UserDocument>('User', userSchema)
  const roleChanges = database.connection.model<RoleChangesDocument>('RoleChanges', roleChangesSchema)

  const findOne = async (
    filter: mongoose.QueryFilter<UserDocument>,
    call: Call,
  ): Promise<User | undefined> => {
    const document = await database.run(call, (limit) => users.findOne(filter).maxTimeMS(limit).lean())
    return document ? userOf(document) : undefined
  }

  const setHash = async (
    { userId, passwordHash }: User,
    to: string,
    more: mongoose.UpdateQuery<UserDocument>,
    call: Call,
  ): Promise<boolean> => {
    const update = { $set: { passwordHash: to }, ...more }
    const { modifiedCount } = await database.run(call, (maxTimeMS) =>
      users.updateOne({ _id: userId, passwordHash }, update, { maxTimeMS }),
    )
    return modifiedCount === 1
  }

  return {
    find: (userId: string, call: Call) => findOne({ _id: userId }, call),
    findByEmail: (email: string, call: Call) => findOne({ emailKey: email.toLowerCase() }, call),
    findByUsername: (username: string, call: Call) => findOne({ usernameKey: username.toLowerCase() }, call),
    isEmpty: async (call: Call) => (await findOne({}, call)) === undefined,

    /** @returns which of the two is taken if one is; the unique indexes decide among those that come together */
    async add(
      user: Omit<User, 'userId' | 'sessionEpoch' | 'createdAt'>,
      call: Call,
    ): Promise<User | 'email' | 'username'> {
      const keys = { usernameKey: user.username.toLowerCase(), emailKey: user.email.toLowerCase() }
      try {
        const fields = { ...user, ...keys, sessionEpoch: 0, createdAt: new Date() }
        return userOf(await database.run(call, (maxTimeMS) => insertOne(users, fields, { maxTimeMS })))
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
        return error.keyPattern?.emailKey ? 'email' : 'username'
      }
    },

    /** Another password, which ends every session. @returns false if it was changed meanwhile */
    changePassword: (user: User, hash: string, call: Call) =>
      setHash(user, hash, { $inc: { sessionEpoch: 1 } }, call),

    /** Ends every session, and changes nothing else. */
    async endSessions(userId: string, call: Call): Promise<void> {
      const update = { $inc: { sessionEpoch: 1 } }
      await database.run(call, (maxTimeMS) => users.updateOne({ _id: userId }, update, { maxTimeMS }))
    },

    /** The same password, hashed anew. */
    upgradeHash: (user: User, hash: string, call: Call) => setHash(user, hash, {}, call),

    /** Up to `most`, the oldest first. */
    async admins(most: number, call: Call): Promise<User[]> {
      const documents = await database.run(call, (maxTimeMS) =>
        users.find({ role: 'admin' }).sort({ createdAt: 1, _id: 1 }).limit(most).maxTimeMS(maxTimeMS).lean(),
      )
      return documents.map(userOf)
    },

    /**
     * Another role, which ends every session. There is always an admin left.
     * @returns `last` if it would take the role from the only admin; `unchanged` if the account has it already
     */
    setRole: (userId: string, role: Role, call: Call): Promise<'changed' | 'unchanged' | 'last'> =>
      database.transaction(call, async (session, maxTimeMS) => {
        const options = { session, maxTimeMS }
        if (role !== 'admin') {
          await roleChanges.updateOne({ _id: 'admin' }, { $inc: { count: 1 } }, { ...options, upsert: true })
          const others = { role: 'admin' as const, _id: { $ne: userId } }
          if (!(await users.exists(others).session(session).maxTimeMS(maxTimeMS))) return 'last'
        }
        const { modifiedCount } = await users.updateOne(
          { _id: userId, role: { $ne: role } },
          { $set: { role }, $inc: { sessionEpoch: 1 } },
          options,
        )
        return modifiedCount === 1 ? 'changed' : 'unchanged'
      }),
  }
}
