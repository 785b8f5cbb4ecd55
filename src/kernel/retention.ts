import { z } from '@hono/zod-openapi'
import type { Call } from './call.ts'
import { duration } from './config.ts'
import type { Migration } from './migrations.ts'
import type { Database } from './mongo.ts'

const day = 86_400_000
const byDefault = 7 * day

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
export const expire = (name: string, collection: string, which: Record<string, unknown>): Migration => ({
  name,
  async up(db) {
    await db.collection(collection).createIndexes([
      {
        name: 'retention',
        key: { updatedAt: 1 },
        expireAfterSeconds: byDefault / 1_000,
        partialFilterExpression: which,
      },
    ])
  },
})

/** Makes a collection's retention what the setting says. */
export const setRetention = async (
  database: Database,
  collection: string,
  milliseconds: number,
  call: Call,
): Promise<void> => {
  await database.run(call, async (maxTimeMS) =>
    database.connection.db?.command({
      collMod: collection,
      index: { name: 'retention', expireAfterSeconds: milliseconds / 1_000 },
      maxTimeMS,
    }),
  )
}
