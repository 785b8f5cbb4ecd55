import { dropIndex, type Migration } from '#kernel/mongo/migrations.ts'
import { expiryMigration } from '#kernel/mongo/retention.ts'
import { feedIndexes } from './order-feed.repository.ts'
import { listIndexes, setAsideStatuses } from './order-list.repository.ts'
import { followedStatuses, listedStatuses } from './order-list.ts'
import type { OrderStatus } from './order-status.ts'

const oneOf = (statuses: readonly OrderStatus[]) => ({
  partialFilterExpression: { status: { $in: [...statuses] } },
})

export const orderMigrations: Migration[] = [
  {
    name: '001-indexes',
    indexes: {
      orders: [
        // Idempotency rests on this index: it admits one order per user and key, however many requests arrive at once.
        { key: { userId: 1, key: 1 }, unique: true, partialFilterExpression: { key: { $exists: true } } },
      ],
    },
  },
  {
    name: '002-unfinished-orders',
    indexes: {
      // The index is small: it holds only unfinished orders.
      orders: [
        {
          key: { status: 1, leaseUntil: 1 },
          partialFilterExpression: { status: { $in: ['pending', 'cancelling'] } },
        },
      ],
    },
  },
  // A rejected order never changes again, so it may expire. A retry finds the answer until then. A later request with the same key
  // places a new order, as after the expiry of any key.
  expiryMigration('003-retention', 'orders', { status: 'rejected' }),
  {
    name: '004-lists',
    indexes: { orders: [{ key: feedIndexes.ofAll, ...oneOf(followedStatuses) }] },
  },
  {
    name: '005-fewer-indexes',
    indexes: {
      orders: [
        { key: listIndexes.newest, ...oneOf(listedStatuses) },
        { key: { userId: 1, ...listIndexes.newest }, ...oneOf(listedStatuses) },
        { key: listIndexes.setAside, ...oneOf(setAsideStatuses) },
        { key: { userId: 1, ...listIndexes.setAside }, ...oneOf(setAsideStatuses) },
        { key: feedIndexes.ofUser },
      ],
    },
    // The lists of replicas of earlier versions name these indexes. Without them, those replicas read through the indexes above.
    async up(db) {
      const superseded: Record<string, 1 | -1>[] = [
        { userId: 1, status: 1, createdAt: -1, _id: -1 },
        { status: 1, createdAt: -1, _id: -1 },
        { userId: 1, createdAt: -1, _id: -1 },
        { createdAt: -1, _id: -1 },
        { userId: 1, updatedAt: 1, _id: 1 },
      ]
      for (const key of superseded) await dropIndex(db, 'orders', key)
    },
  },
]
