import type { Migration } from '#kernel/mongo/migrations.ts'
import { expiryMigration } from '#kernel/mongo/retention.ts'

export const orderMigrations: Migration[] = [
  {
    name: '001-indexes',
    indexes: {
      orders: [
        // One order per user and key, whatever arrives at once: what the idempotency of buying rests on.
        { key: { userId: 1, key: 1 }, unique: true, partialFilterExpression: { key: { $exists: true } } },
        { key: { userId: 1, status: 1, createdAt: -1, _id: -1 } },
        { key: { status: 1, createdAt: -1, _id: -1 } },
      ],
    },
  },
  {
    name: '002-unfinished-orders',
    indexes: {
      // Holds the few orders that are at work or left behind, and none of those that are done.
      orders: [
        {
          key: { status: 1, leaseUntil: 1 },
          partialFilterExpression: { status: { $in: ['pending', 'cancelling'] } },
        },
      ],
    },
  },
  // Nothing holds stock for a rejected order, and it never changes again. A retry finds its answer for as long as keys
  // are kept; one that comes later still is a new order, as every request is whose key is forgotten.
  expiryMigration('003-retention', 'orders', { status: 'rejected' }),
]
