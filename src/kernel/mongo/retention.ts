import { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import { ConfigError } from '#kernel/config/config-error.ts'
import { duration } from '#kernel/config/values.ts'

import type { Database } from './database.ts'
import type { Migration } from './migrations.ts'

const day = 86_400_000
const byDefault = 7 * day
const name = 'retention'
const unauthorized = 13

/**
 * `RETENTION`: how long what is over is kept for those who may still ask. Milliseconds. At least two days: idempotency
 * keys are kept for one, and a day more so that no clock decides.
 */
export const retentionSettings = z.object({
  RETENTION: duration
    .pipe(
      z
        .int()
        .min(2 * day, 'must be 2d or more')
        .max(3_650 * day, 'must be 3650d or less'),
    )
    .default(byDefault),
})

/**
 * Lets MongoDB remove a collection's documents some time after they last changed.
 * @param which those that may go: nobody may need them any more by then, whatever arrives how late
 */
export const expiryMigration = (
  migration: string,
  collection: string,
  which: Record<string, unknown>,
): Migration => ({
  name: migration,
  indexes: {
    [collection]: [
      {
        name,
        key: { updatedAt: 1 },
        expireAfterSeconds: byDefault / 1_000,
        partialFilterExpression: which,
      },
    ],
  },
})

/**
 * Makes a collection's retention what the setting says.
 * @throws ConfigError if it is to change and the account may not do that
 */
export async function setRetention(
  database: Database,
  collection: string,
  milliseconds: number,
  call: Call,
): Promise<void> {
  const expireAfterSeconds = milliseconds / 1_000
  const { db } = database.connection
  const indexes = await database.run(call, async (maxTimeMS) =>
    db?.collection(collection).indexes({ maxTimeMS }),
  )
  // Only then: an account that reads and writes may not change an index.
  if (indexes?.some((index) => index.name === name && index.expireAfterSeconds === expireAfterSeconds)) return
  try {
    await database.run(call, async (maxTimeMS) =>
      db?.command({ collMod: collection, index: { name, expireAfterSeconds }, maxTimeMS }),
    )
  } catch (error) {
    if ((error as { code?: unknown }).code !== unauthorized) throw error
    throw new ConfigError([
      `RETENTION is to change ${collection}: the MongoDB account needs collMod there (role dbAdmin on ${db?.databaseName})`,
    ])
  }
}
