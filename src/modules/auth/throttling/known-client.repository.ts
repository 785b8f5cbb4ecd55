import { Schema } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { strictSchema } from '#kernel/mongo/inserts.ts'

interface KnownClientDocument {
  /** The account's id and a network from which the account's owner has signed in. */
  _id: string
  signedInAt: Date
}

const knownClientSchema = new Schema<KnownClientDocument>(
  { _id: { type: String, required: true }, signedInAt: { type: Date, required: true } },
  { ...strictSchema, collection: 'knownClients' },
)

export type KnownClientRepository = ReturnType<typeof createKnownClientRepository>

/** Remembers the networks from which the owner of each account has signed in. */
export function createKnownClientRepository(database: Database) {
  const clients = database.connection.model<KnownClientDocument>('KnownClient', knownClientSchema)
  const idOf = (account: string, network: string) => `${account} ${network}`

  return {
    /** @param account an account's id. For a name without an account it is `keyOfName`: the answer is false, and takes as long */
    async isKnown(account: string, network: string, call: Call): Promise<boolean> {
      const id = idOf(account, network)
      const client = await database.run('clients.find', call, (maxTimeMS) =>
        clients.findById(id).maxTimeMS(maxTimeMS).lean(),
      )
      return client !== null
    },

    async remember(userId: string, network: string, call: Call): Promise<void> {
      const signedInAt = new Date()
      await database.run('clients.remember', call, (maxTimeMS) =>
        clients.updateOne(
          { _id: idOf(userId, network) },
          { $set: { signedInAt } },
          { upsert: true, maxTimeMS },
        ),
      )
    },
  }
}
