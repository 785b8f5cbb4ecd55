import type { Call } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import type { Principal } from '#kernel/principal.ts'
import type { SampleItemRepository } from './sample-item.repository.ts'
import type { SampleItem, SampleItemDraft } from './sample-item.ts'

export type SampleItemService = ReturnType<typeof createSampleItemService>

/** Creates and reads sample items. Customers reach their own, and admins reach all of them. */
export function createSampleItemService(sampleItems: SampleItemRepository) {
  return {
    create: (draft: SampleItemDraft, { userId }: Principal, call: Call): Promise<SampleItem> =>
      sampleItems.insert(draft, userId, call),

    /** @throws DomainError `sample_item_not_found`, also for one of another user, so that its id reveals nothing */
    async find(sampleItemId: string, { role, userId }: Principal, call: Call): Promise<SampleItem> {
      const scope = role === 'admin' ? { sampleItemId } : { sampleItemId, userId }
      const found = await sampleItems.find(scope, call)
      if (!found) throw new DomainError('sample_item_not_found', `there is no sample item ${sampleItemId}`)
      return found
    },
  }
}
