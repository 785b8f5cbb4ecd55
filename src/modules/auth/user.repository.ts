import mongoose, { Schema, type Types } from 'mongoose'
import type { Call } from '../../kernel/call.ts'
import type { Migration } from '../../kernel/migrations.ts'
import { type Database, insertOne, strictSchema } from '../../kernel/mongo.ts'
import { isDuplicateKey } from '../../kernel/mongo-errors.ts'
import type { Role } from '../../kernel/principal.ts'

/** An account as the module holds it. */
export interface User {
  userId: string
  username: string
  email: string
  role: Role
  passwordHash: string
  createdAt: Date
}

interface UserDocument extends Omit<User, 'userId'> {
  _id: Types.ObjectId
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
    createdAt: { type: Date, required: true },
  },
  { ...strictSchema, collection: 'users' },
)

export const authMigrations: Migration[] = [
  {
    name: '001-unique-users',
    async up(db) {
      await db.collection('users').createIndexes([
        { key: { emailKey: 1 }, unique: true, name: 'email' },
        { key: { usernameKey: 1 }, unique: true, name: 'username' },
      ])
    },
  },
]

const userOf = (document: UserDocument): User => ({
  userId: document._id.toHexString(),
  username: document.username,
  email: document.email,
  role: document.role,
  passwordHash: document.passwordHash,
  createdAt: document.createdAt,
})

export type UserRepository = ReturnType<typeof createUserRepository>

export function createUserRepository(database: Database) {
  const users = database.connection.model<UserDocument>('User', userSchema)

  const findOne = async (
    filter: mongoose.QueryFilter<UserDocument>,
    call: Call,
  ): Promise<User | undefined> => {
    const document = await database.run(call, (limit) => users.findOne(filter).maxTimeMS(limit).lean())
    return document ? userOf(document) : undefined
  }

  return {
    find: (userId: string, call: Call) => findOne({ _id: userId }, call),
    findByEmail: (email: string, call: Call) => findOne({ emailKey: email.toLowerCase() }, call),
    findByUsername: (username: string, call: Call) => findOne({ usernameKey: username.toLowerCase() }, call),
    isEmpty: async (call: Call) => (await findOne({}, call)) === undefined,

    /** @returns which of the two is taken if one is; the unique indexes decide among those that come together */
    async add(user: Omit<User, 'userId' | 'createdAt'>, call: Call): Promise<User | 'email' | 'username'> {
      const keys = { usernameKey: user.username.toLowerCase(), emailKey: user.email.toLowerCase() }
      try {
        const fields = { ...user, ...keys, createdAt: new Date() }
        return userOf(await database.run(call, (maxTimeMS) => insertOne(users, fields, { maxTimeMS })))
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
        return error.keyPattern?.emailKey ? 'email' : 'username'
      }
    },
  }
}
