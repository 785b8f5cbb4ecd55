import { z } from '@hono/zod-openapi'
import { id, text, timestamp } from '#kernel/schemas.ts'

/** The bodies of the requests and answers of the module. */

export const sampleItem = z
  .object({
    sampleItemId: id,
    userId: id.openapi({ description: 'The id of the user who created the sample item.' }),
    name: z.string(),
    createdAt: timestamp,
  })
  .openapi('SampleItem')

export const sampleItemDraft = z.strictObject({ name: text(1, 200) }).openapi('SampleItemDraft')
