import { ensureCollection, type Migration } from '#kernel/mongo/migrations.ts'

export const sampleItemMigrations: Migration[] = [
  {
    name: '001-collection-and-index',
    // The shard key is `userId`. The index also serves a list of what a user created, newest first.
    indexes: { sampleItems: [{ key: { userId: 1, _id: -1 } }] },
    up: (db) => ensureCollection(db, 'sampleItems'),
  },
]
