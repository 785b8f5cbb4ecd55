import { Schema } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { strictSchema } from '#kernel/mongo/inserts.ts'

interface KnownClientDocument {
  /** The account's id and the network that its owner has signed in from. */
  _id: string
  signedInAt: Date
}

const knownClientSchema = new Schema<KnownClientDocument>(
  { _id: { type: String, required: true }, signedInAt: { type: Date, required: true } },
  { ...strictSchema, collection: 'knownClients' },
)

export type KnownClientRepository = ReturnType<typeof createKnownClientRepository>

/** From where the sign-ins of an account have succeeded. */
export function createKnownClientRepository(database: Database) {
  const clients = database.connection.model<KnownClientDocument>('KnownClient', knownClientSchema)
  const idOf = (account: string, network: string) => `${account} ${network}`

  return {
    /** @param account whatever a sign-in names: of one that does not exist it is false, and takes as long */
    isKnown: async (account: string, network: string, call: Call): Promise<boolean> =>
      (await database.run(call, (limit) =>
        clients
          .findOne({ _id: idOf(account, network) })
          .maxTimeMS(limit)
          .lean(),
      )) !== null,

    async remember(userId: string, network: string, call: Call): Promise<void> {
      const signedInAt = new Date()
      await database.run(call, (maxTimeMS) =>
        clients.updateOne(
          { _id: idOf(userId, network) },
          { $set: { signedInAt } },
          { upsert: true, maxTimeMS },
        ),
      )
    },
  }
}
