/** A sample item inside the module. */
export interface SampleItem {
  sampleItemId: string
  /** The id of the user who created the sample item. */
  userId: string
  name: string
  createdAt: Date
}

/** What a user sends to create a sample item. */
export interface SampleItemDraft {
  name: string
}

/** The sample item as clients see it. */
export const sampleItemResponse = (sampleItem: SampleItem) => ({
  sampleItemId: sampleItem.sampleItemId,
  userId: sampleItem.userId,
  name: sampleItem.name,
  createdAt: sampleItem.createdAt.toISOString(),
})
