import mongoose, { Schema, type Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isDuplicateKey } from '#kernel/mongo/errors.ts'
import { insertOne, strictSchema } from '#kernel/mongo/inserts.ts'
import type { Role } from '#kernel/principal.ts'
import type { User } from './user.ts'

interface UserDocument extends Omit<User, 'userId' | 'sessionEpoch'> {
  _id: Types.ObjectId
  /** Missing on accounts that an earlier version created. */
  sessionEpoch?: number
  /** In lower case, for the unique indexes and for lookups. The originals keep their case. */
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

/**
 * One document, which every transaction that demotes an admin writes. So two such transactions at once conflict, and cannot
 * both see the other's admin.
 */
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

  const findOne = async (
    filter: mongoose.QueryFilter<UserDocument>,
    call: Call,
  ): Promise<User | undefined> => {
    const document = await database.run('users.find', call, (maxTimeMS) =>
      users.findOne(filter).maxTimeMS(maxTimeMS).lean(),
    )
    return document ? userOf(document) : undefined
  }

  /** Replaces the hash by compare-and-set. */
  const setHash = async (
    { userId, passwordHash }: User,
    newHash: string,
    furtherUpdate: mongoose.UpdateQuery<UserDocument>,
    call: Call,
  ): Promise<boolean> => {
    const update = { $set: { passwordHash: newHash }, ...furtherUpdate }
    const { modifiedCount } = await database.run('users.update', call, (maxTimeMS) =>
      users.updateOne({ _id: userId, passwordHash }, update, { maxTimeMS }),
    )
    return modifiedCount === 1
  }

  return {
    find: (userId: string, call: Call) => findOne({ _id: userId }, call),
    findByEmail: (email: string, call: Call) => findOne({ emailKey: email.toLowerCase() }, call),
    findByUsername: (username: string, call: Call) => findOne({ usernameKey: username.toLowerCase() }, call),
    hasOthers: async (usernames: readonly string[], call: Call) => {
      const usernameKey = { $nin: usernames.map((username) => username.toLowerCase()) }
      return (await findOne({ usernameKey }, call)) !== undefined
    },

    /** @returns the new user, or the field whose value is taken. The unique indexes decide between concurrent calls. */
    async add(
      user: Omit<User, 'userId' | 'sessionEpoch' | 'createdAt'>,
      call: Call,
    ): Promise<User | 'email' | 'username'> {
      const keys = { usernameKey: user.username.toLowerCase(), emailKey: user.email.toLowerCase() }
      try {
        const fields = { ...user, ...keys, sessionEpoch: 0, createdAt: new Date() }
        return userOf(
          await database.run('users.insert', call, (maxTimeMS) => insertOne(users, fields, { maxTimeMS })),
        )
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
        return error.keyPattern?.emailKey ? 'email' : 'username'
      }
    },

    /** Replaces the password, which ends every session. @returns false if the stored hash differs from `user.passwordHash` */
    changePassword: (user: User, hash: string, call: Call) =>
      setHash(user, hash, { $inc: { sessionEpoch: 1 } }, call),

    async endSessions(userId: string, call: Call): Promise<void> {
      const update = { $inc: { sessionEpoch: 1 } }
      await database.run('users.update', call, (maxTimeMS) =>
        users.updateOne({ _id: userId }, update, { maxTimeMS }),
      )
    },

    /** Stores a new hash of the same password. @returns false if the stored hash differs from `user.passwordHash` */
    upgradeHash: (user: User, hash: string, call: Call) => setHash(user, hash, {}, call),

    /** Lists the oldest admins first. */
    async listAdmins(limit: number, call: Call): Promise<User[]> {
      const documents = await database.run('users.list', call, (maxTimeMS) =>
        users.find({ role: 'admin' }).sort({ createdAt: 1, _id: 1 }).limit(limit).maxTimeMS(maxTimeMS).lean(),
      )
      return documents.map(userOf)
    },

    setRole: createSetRole(database, users),
  }
}

/**
 * Creates the function that changes the role of a user, which ends every session of the user. It returns `last` if no admin
 * would be left, and `unchanged` if the user has the role already.
 */
function createSetRole(database: Database, users: mongoose.Model<UserDocument>) {
  const roleChanges = database.connection.model<RoleChangesDocument>('RoleChanges', roleChangesSchema)
  return (userId: string, role: Role, call: Call): Promise<'changed' | 'unchanged' | 'last'> =>
    database.transaction('users.transaction', call, async (session, maxTimeMS) => {
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
    })
}
