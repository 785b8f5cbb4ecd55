import { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import { ConfigError } from '#kernel/config/config-error.ts'
import { duration } from '#kernel/config/values.ts'
import type { Database } from './database.ts'
import type { Migration } from './migrations.ts'

const dayMs = 86_400_000
const defaultRetentionMs = 7 * dayMs
const indexName = 'retention'
const unauthorized = 13

/**
 * `RETENTION`: the time for which finished documents are kept, in milliseconds. The minimum is two days: one day for which
 * idempotency keys are valid, and one day for clocks that differ.
 */
export const retentionSettings = z.object({
  RETENTION: duration
    .pipe(
      z
        .int()
        .min(2 * dayMs, 'must be 2d or more')
        .max(3_650 * dayMs, 'must be 3650d or less'),
    )
    .default(defaultRetentionMs),
})

/**
 * Creates a migration with the index by which MongoDB removes documents when `RETENTION` has passed since their last
 * change.
 * @param filter selects the documents to remove. No request may need them after this time
 */
export const expiryMigration = (
  migration: string,
  collection: string,
  filter: Record<string, unknown>,
): Migration => ({
  name: migration,
  indexes: {
    [collection]: [
      {
        name: indexName,
        key: { updatedAt: 1 },
        expireAfterSeconds: defaultRetentionMs / 1_000,
        partialFilterExpression: filter,
      },
    ],
  },
})

/**
 * Sets the retention of a collection's index.
 * @throws ConfigError if the index has another retention and the account may not change it
 */
export async function setRetention(
  database: Database,
  collection: string,
  retentionMs: number,
  call: Call,
): Promise<void> {
  const expireAfterSeconds = retentionMs / 1_000
  const { db } = database.connection
  const indexes = await database.run(`${collection}.indexes`, call, async (maxTimeMS) =>
    db?.collection(collection).indexes({ maxTimeMS }),
  )
  // The index is left alone if it is right, because an account with readWrite may not change an index.
  if (
    indexes?.some(
      ({ name, ...index }) => name === indexName && index.expireAfterSeconds === expireAfterSeconds,
    )
  )
    return
  try {
    await database.run(`${collection}.retention`, call, async (maxTimeMS) =>
      db?.command({ collMod: collection, index: { name: indexName, expireAfterSeconds }, maxTimeMS }),
    )
  } catch (error) {
    if ((error as { code?: unknown }).code !== unauthorized) throw error
    throw new ConfigError([
      `RETENTION differs from the index of ${collection}, and the MongoDB account may not change it: grant the account collMod there (role dbAdmin on ${db?.databaseName})`,
    ])
  }
}
